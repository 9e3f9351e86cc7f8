//! `portway schema`: the JSON schema of the config.

use crate::{Exit, process};

/// Prints it.
pub fn schema() -> Exit {
    println!("{:#}", process::schema(&portway_filters::all()));
    Exit::Fine
}
