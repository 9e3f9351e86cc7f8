//! What every policy promises, seen from outside: never a wrong target, shares by weight, little
//! moved when a target goes.

mod fleet;
mod hashing;
mod learning;
mod least_busy;
mod safety;
mod shares;
