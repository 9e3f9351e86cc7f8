//! Certificates that the gateway obtains by itself (ACME, RFC 8555): ordered, kept on disk, renewed in
//! time, by the [`Keeper`].
//!
//! Must hold: an order goes out only if what comes of it can be kept; one process at a time orders for a
//! folder; failures wait longer each time, and as long as the server asks; a key leaves this process only
//! into a file that its user alone can read. A certificate is swapped in without touching connections.
//! Never: on the request path, except for answering a server's check, which is one look-up.

mod account;
mod checks;
mod failure;
mod http;
mod keeper;
mod order;
mod schedule;
pub mod spec;
mod store;

pub use keeper::{Keeper, Status, Wanted};
pub use spec::{AcmeSpec, Challenge, ExternalAccount};
pub use store::problem_of;
