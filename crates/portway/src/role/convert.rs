//! `portway convert`: any accepted format to native YAML.

use portway_core::Diagnostics;

use crate::cli::ConvertArgs;
use crate::source::Source;
use crate::{Exit, report};

/// Prints the file as native YAML. Substitutions stay as they are written.
pub fn convert(args: &ConvertArgs) -> Exit {
    let source = Source::File(args.file.clone());
    let text = match source.read() {
        Ok(text) => text,
        Err(why) => {
            eprintln!("{}: error: cannot read the file: {why}", source.name());
            return Exit::Problem;
        }
    };
    let mut problems = Diagnostics::new();
    let converted = portway_config::convert(&source.name(), &text, &mut problems);
    let failed = problems.has_errors();
    report::write(&mut std::io::stderr().lock(), &problems.sorted());
    match converted {
        Some(yaml) if !failed => {
            print!("{yaml}");
            Exit::Fine
        }
        _ => Exit::Problem,
    }
}
