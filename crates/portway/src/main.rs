//! The `portway` command: reads the command line and starts the role it names.
//!
//! Must hold: wiring only; what a role does is in its file. Exit codes are a contract: 0 fine, 1 a
//! config or usage problem, 2 could not bind or start.

mod alloc;
mod cli;
mod gauges;
mod process;
mod reload;
mod report;
mod role;
mod running;
mod services;
mod source;
mod told;
mod upgrade;
mod watch;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// How a role ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// As it should.
    Fine,
    /// The config or the command line has a problem.
    Problem,
    /// Something could not be bound or started.
    NotStarted,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Problem => 1,
            Exit::NotStarted => 2,
        })
    }
}

fn main() -> ExitCode {
    alloc::refuse_huge_pages();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version come this way too, and are fine. Nothing to do about a closed pipe.
            let _ = error.print();
            let fine = !error.use_stderr();
            return if fine { Exit::Fine } else { Exit::Problem }.into();
        }
    };
    let exit = match cli.command {
        Command::Run(args) => role::run::run(&args),
        Command::Check(args) => role::check::check(&args),
        Command::Demo(args) => role::demo::demo(&args),
        Command::Explain(args) => role::explain::explain(&args),
        Command::Schema => role::schema::schema(),
        Command::Convert(args) => role::convert::convert(&args),
    };
    exit.into()
}
