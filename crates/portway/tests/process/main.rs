//! The binary as its users meet it: command line, signals, changed files, the operators' API.

mod cli;
mod floods;
mod life;
mod operators;
mod services;
mod support;
mod tls;
