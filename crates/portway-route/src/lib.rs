//! Which route an exchange takes, and why.
//!
//! A [`RouteTable`] is built once per snapshot from [`RouteSpec`]s in file order and then only read:
//! a hash table of hosts leads to a radix tree of paths, whose leaves hold candidates. Every pair of
//! a route and one of its hosts gets a rank from one total order before the first request, so that
//! finding is "the smallest rank that matches" and can stop as soon as nothing smaller is left.
//!
//! Must hold: [`RouteTable::find`] always equals a linear scan that ranks every matching route, and
//! [`RouteTable::explain`] tells the same winner. Finding allocates nothing unless it must list the
//! methods of a 405.
//! Never: does I/O, reads a clock, normalizes a request's path or host (the caller passes the
//! canonical ones), or runs a regex that is not linear in its input.
//!
//! The order, best first: higher `priority`; exact host, longest wildcard host, any host; exact
//! path, regex, longest prefix (read from the left, a literal segment beats a `{name}` one, which
//! beats `{*rest}`, which beats the end of the pattern); more conditions; order in the file.

mod by_header;
mod condition;
mod explain;
mod host;
mod hosts;
mod params;
mod path;
mod pattern;
mod query;
mod rank;
mod search;
mod shadow;
mod spec;
mod table;
mod tree;
mod value;

pub use explain::{Candidate, Explanation, Verdict};
pub use host::HostPattern;
pub use params::Params;
pub use path::{PARAMS_MAX, PATTERN_BYTES_MAX, PathPattern};
pub use pattern::Pattern;
pub use shadow::Shadowed;
pub use spec::{BuildProblem, RouteSpec};
pub use table::{Found, Lookup, Methods, RouteTable};
pub use value::ValueMatch;
