//! Switching an HTTP/1.1 connection to another protocol (RFC 9110, section 7.8), and the two connections
//! of a tunnel once that has happened.
//!
//! Must hold: only a whole, bodiless GET of HTTP/1.1 asks; a tunnel opens only after the target's 101
//! names the protocol that was asked for; what the client sends early is held until then
//! (CVE-2026-2833, CVE-2024-23326). Bytes pass unread but for the ends of WebSocket frames, so that a
//! closing frame of the gateway's never lands inside one.

mod frames;
mod side;

pub use side::{Leaving, Side};

use http::{HeaderValue, Method, Version};

use crate::Request;
use crate::h1::{Conn, RequestHead};
use crate::hygiene::framing::Framing;

/// How far an exchange's switch has come.
#[derive(Debug, Default)]
pub enum Upgrade {
    /// None was asked for.
    #[default]
    No,
    /// The client asked for a WebSocket.
    Asked,
    /// The target has switched; its connection.
    Switched(Conn),
}

impl Upgrade {
    /// What a request asks for. What may not be switched to is not asked for either: the field is
    /// dropped, and the request goes on as any other.
    #[must_use]
    pub fn of(head: &RequestHead, request: &Request) -> Upgrade {
        let websocket = head.upgrade.as_ref().is_some_and(is_websocket);
        let plain = request.method == Method::GET
            && request.version == Version::HTTP_11
            && head.framing == Framing::None;
        if websocket && plain {
            Upgrade::Asked
        } else {
            Upgrade::No
        }
    }

    /// Whether the target is to be asked.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        matches!(self, Upgrade::Asked)
    }

    /// The target's connection, if it has switched.
    pub fn take(&mut self) -> Option<Conn> {
        match std::mem::take(self) {
            Upgrade::Switched(conn) => Some(conn),
            _ => None,
        }
    }
}

/// Whether an Upgrade field names WebSocket and nothing else (RFC 6455, section 4.1).
#[must_use]
pub fn is_websocket(value: &HeaderValue) -> bool {
    value
        .as_bytes()
        .trim_ascii()
        .eq_ignore_ascii_case(b"websocket")
}

/// The fields that ask for a WebSocket, or agree to it.
pub const FIELDS: &[u8] = b"connection: upgrade\r\nupgrade: websocket\r\n";
