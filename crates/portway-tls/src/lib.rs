//! TLS on both sides: what listeners present and ask for ([`Acceptor`]), how targets are reached
//! ([`Connector`]), and the encrypted [`Stream`] between.
//!
//! Must hold: everything that is read from a file is read and checked before it serves, all problems
//! at once, each with the place in the config that names the file; a session is resumed only on the
//! listener and for the host that it was made for. Private keys stay inside the keys that sign: no way
//! of printing anything here shows one.
//! Never: opens a socket, or goes on with a handshake that failed. This is the only crate that names
//! `rustls`.

pub mod acceptor;
pub mod connector;
mod crypto;
pub mod error;
pub mod file;
pub mod identity;
pub mod peek;
pub mod session;
pub mod slot;
pub mod spec;
pub mod store;
pub mod stream;
pub mod tickets;

pub use acceptor::{Accepted, Acceptor, Listed};
pub use connector::{Connector, TargetName};
pub use error::HandshakeError;
pub use identity::{CertificateInfo, Identity};
pub use session::Session;
pub use slot::{Slot, Slots};
pub use spec::{
    AcceptSpec, Alpn, CertificateFiles, CertificateSpec, ClientAuth, ClientAuthSpec, ConnectSpec,
    Names,
};
pub use stream::Stream;
