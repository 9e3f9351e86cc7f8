//! Sizes that are no durations: prints them as one JSON object for the harness.
//!
//! Must hold: each is computed from the real structure, none is an estimate written here.
//!
//! Usage: `facts`

use portway_bench::routes::{Input, Shape};

const ROUTES: usize = 10_000;

fn main() {
    let tables = Shape::ALL.map(|(shape, _)| Input::new(ROUTES, shape).table);
    let largest = tables
        .iter()
        .map(|table| table.memory_bytes() / table.len())
        .max()
        .unwrap_or(0);
    println!("{{\"route_bytes_each\": {largest}}}");
}
