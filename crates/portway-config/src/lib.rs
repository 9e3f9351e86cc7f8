//! A config file as typed values that know their place: text in, [`Document`] out.
//!
//! Must hold: every problem of a file is reported, each with its place and what to do; a secret
//! never shows in a message; whatever the text is, nothing panics and the work is linear in its length.
//! Never: opens the network, reads a clock, or touches a file except through the given [`Env`].

pub mod decode;
pub mod document;
mod emit;
mod env;
mod macros;
pub mod node;
mod plain;
mod spanned;
mod substitute;
pub mod value;
mod yaml;

pub use decode::{Decode, Each, Given, OneOrMany, Table, defaults};
pub use document::{Document, FilterEntry, FilterSchema, Source, parse, schema};
pub use emit::{convert, redacted, to_yaml};
pub use env::{Env, FixedEnv, ProcessEnv};
pub use node::{Entry, Kind, Node, Origin, Scalar};
pub use spanned::Spanned;
pub use substitute::Hidden;
pub use value::{Address, Bind, NoAddress, Percent, Scheme, Secret, Size, StatusRange};

use std::sync::Arc;

use portway_core::diagnostic::Diagnostics;

/// The tree of one YAML or JSON document, its substitutions replaced. `None` if the text is not one.
/// A value that could not be replaced is empty, and noted.
pub fn parse_node(
    file: &str,
    text: &str,
    env: &dyn Env,
    problems: &mut Diagnostics,
) -> Option<Node> {
    let mut node = yaml::read(&Arc::from(file), text, problems)?;
    let _ = substitute::substitute(&mut node, env, problems);
    Some(node)
}

/// A JSON schema (draft 2020-12).
pub type Schema = serde_json::Value;

#[doc(hidden)]
pub use portway_core as core;
#[doc(hidden)]
pub use serde_json as json;
