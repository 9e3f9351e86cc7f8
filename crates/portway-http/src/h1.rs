//! HTTP/1.0 and 1.1 on both sides (RFC 9112): one connection type, a strict parser over `httparse`,
//! body framing, and a serializer.
//!
//! Must hold: a head is parsed only when it is complete and every line ends in CRLF; whatever leaves
//! the end of a message in doubt is refused; what is sent was written here, field by field.
//! Never: waits by itself (everything polls; deadlines are the caller's), allocates per message in the
//! steady state, or spawns.

pub mod chunked;
pub mod conn;
pub mod incoming;
pub mod io;
pub mod parse;
pub(crate) mod passing;
pub mod pump;
pub mod serialize;
pub mod writer;

pub use conn::{BufferPool, Conn, Role};
pub use incoming::{Home, Incoming};
pub use io::Io;
pub use parse::{HeadLimits, ReplyHead, RequestHead};
pub use pump::Pump;
pub use serialize::{DateCache, Persistence};
pub use writer::ReplyWriter;
