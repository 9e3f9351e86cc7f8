//! Nothing is here: this crate is its tests. What they stand on is portway-testkit.
