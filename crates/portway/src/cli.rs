//! The command line.
//!
//! Must hold: scripts depend on it; an option keeps its name and meaning.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use portway_telemetry::app_log::LogLevel;

/// An API gateway and reverse proxy.
#[derive(Debug, Parser)]
#[command(name = "portway", version, about, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve.
    Run(RunArgs),
    /// Report every problem of a config.
    Check(ConfigArgs),
    /// Sample services, a gateway before them, and what to try.
    Demo(DemoArgs),
    /// Say which route a request takes, and why the others do not.
    Explain(ExplainArgs),
    /// Print the JSON schema of the config.
    Schema,
    /// Print a config of any accepted format as native YAML.
    Convert(ConvertArgs),
}

/// A config.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// The config file; ./portway.yaml if there is one, else the built-in demo config.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// Serving.
#[derive(Debug, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// How much to tell on standard error: off, error, warn, info, debug or trace.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LogLevel,
}

/// The demo.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Try everything, say what happened, and exit.
    #[arg(long)]
    pub tour: bool,
    /// How much to tell on standard error: off, error, warn, info, debug or trace; warn if none is
    /// given, and off with --tour, which causes trouble on purpose.
    #[arg(long, value_name = "LEVEL")]
    pub log_level: Option<LogLevel>,
}

/// A question.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub config: ConfigArgs,
    /// The method.
    #[arg(short = 'X', long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// A header field, `Name: value`; as often as needed.
    #[arg(short = 'H', long = "header", value_name = "FIELD")]
    pub headers: Vec<String>,
    /// The listener's name; by the URL's port, or the first, if none is given.
    #[arg(short, long, value_name = "NAME")]
    pub listener: Option<String>,
    /// The URL; without scheme and host, any host.
    pub url: String,
}

/// A file.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// The file.
    pub file: PathBuf,
}
