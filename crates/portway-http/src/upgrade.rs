//! Switching an HTTP/1.1 connection (RFC 9110, section 7.8) or one stream of HTTP/2 (RFC 8441) to another
//! protocol, and the two ends of a tunnel once that has happened.
//!
//! Must hold: only a whole, bodiless GET of HTTP/1.1 asks, or a CONNECT of HTTP/2 that names WebSocket;
//! a tunnel opens only after the target has agreed to the protocol that was asked for; what the client
//! sends early is held until then (CVE-2026-2833, CVE-2024-23326). Bytes pass unread but for the ends of
//! WebSocket frames, so that a closing frame of the gateway's never lands inside one.

pub mod frames;
pub mod key;
mod line;
mod side;

pub use line::{Line, Parting};
pub use side::{Leaving, Side};

use http::header::{HeaderName, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Version};

use crate::Request;
use crate::h1::RequestHead;
use crate::hygiene::framing::Framing;

/// What proves that a server has read a handshake; [`key`] makes both.
pub const WEBSOCKET_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
/// The proof.
pub const WEBSOCKET_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");

/// WebSocket's name in Upgrade and in `:protocol`.
pub const WEBSOCKET: &str = "websocket";

/// How far an exchange's switch has come.
#[derive(Debug, Default)]
pub enum Upgrade {
    /// None was asked for.
    #[default]
    No,
    /// The client asked for this.
    Asked(Wanted),
    /// The target has switched.
    Switched(Switched),
}

/// A protocol to switch to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// WebSocket.
    WebSocket,
    /// One that only some routes allow, by its name in Upgrade.
    Other(HeaderValue),
}

/// A target that has switched.
#[derive(Debug)]
pub struct Switched {
    /// To what.
    pub to: Wanted,
    /// The way to it.
    pub target: Line,
}

impl Wanted {
    /// What an Upgrade field names, if it is one protocol that can be asked for.
    fn of(value: &HeaderValue) -> Option<Wanted> {
        let name = value.as_bytes().trim_ascii();
        if name.eq_ignore_ascii_case(WEBSOCKET.as_bytes()) {
            return Some(Wanted::WebSocket);
        }
        let name = std::str::from_utf8(name).ok()?;
        is_name(name).then(|| Wanted::Other(value.clone()))
    }

    /// Whether it goes by this name (protocol names do not differ by letter case).
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name().eq_ignore_ascii_case(name.as_bytes())
    }

    fn name(&self) -> &[u8] {
        match self {
            Wanted::WebSocket => WEBSOCKET.as_bytes(),
            Wanted::Other(name) => name.as_bytes().trim_ascii(),
        }
    }

    /// Writes the fields that ask for it, or agree to it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"connection: upgrade\r\nupgrade: ");
        out.extend_from_slice(self.name());
        out.extend_from_slice(b"\r\n");
    }
}

/// Whether a protocol of this name may be asked of a target at all. Another version of HTTP, or TLS, is
/// none: the gateway would pass on requests that it has not looked at.
#[must_use]
pub fn is_name(name: &str) -> bool {
    const NEVER: [&str; 5] = ["h2c", "h2", "h3", "http", "tls"];
    let protocol = name.split('/').next().unwrap_or_default();
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~/".contains(&b);
    !name.is_empty()
        && name.bytes().all(token)
        && !NEVER
            .iter()
            .any(|never| protocol.eq_ignore_ascii_case(never))
}

impl Upgrade {
    /// What a request of HTTP/1 asks for. What may not be switched to is not asked for either: the field
    /// is dropped, and the request goes on as any other.
    #[must_use]
    pub fn of(head: &RequestHead, request: &Request) -> Upgrade {
        let plain = request.method == Method::GET
            && request.version == Version::HTTP_11
            && head.framing == Framing::None;
        match head.upgrade.as_ref().and_then(Wanted::of) {
            Some(wanted) if plain => Upgrade::Asked(wanted),
            _ => Upgrade::No,
        }
    }

    /// What the target is to be asked for.
    #[must_use]
    pub fn asked(&self) -> Option<&Wanted> {
        match self {
            Upgrade::Asked(wanted) => Some(wanted),
            _ => None,
        }
    }

    /// Whether the target is to be asked for a WebSocket.
    #[must_use]
    pub fn asks_for_websocket(&self) -> bool {
        self.asked() == Some(&Wanted::WebSocket)
    }

    /// The target has agreed; the way to it.
    pub fn switch(&mut self, target: Line) {
        if let Upgrade::Asked(to) = std::mem::take(self) {
            *self = Upgrade::Switched(Switched { to, target });
        }
    }

    /// The target, if it has switched.
    pub fn take(&mut self) -> Option<Switched> {
        match std::mem::take(self) {
            Upgrade::Switched(switched) => Some(switched),
            _ => None,
        }
    }
}

/// Whether the Upgrade field of a target's 101 names what was asked for.
#[must_use]
pub fn is_agreed(headers: &HeaderMap, asked: &Wanted) -> bool {
    let named = headers.get(UPGRADE).and_then(Wanted::of);
    named.is_some_and(|named| named.name().eq_ignore_ascii_case(asked.name()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_is_asked_for_and_no_way_around_the_gateway() {
        let of = |value: &'static str| Wanted::of(&HeaderValue::from_static(value));
        assert_eq!(of(" WebSocket"), Some(Wanted::WebSocket));
        assert!(of("My-Protocol/2").is_some_and(|wanted| wanted.is("my-protocol/2")));
        for never in [
            "h2c",
            "H2C",
            "h2",
            "HTTP/2.0",
            "TLS/1.0",
            "",
            "a, b",
            "a b",
            "websocket, h2c",
        ] {
            assert_eq!(of(never), None, "{never}");
        }
    }
}
