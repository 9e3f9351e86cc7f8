//! What a request's fields say about the request itself, collected while they go by, in any protocol.
//!
//! Must hold: hop-by-hop fields, Host and the framing fields are consumed here and never passed on; a
//! field that only trusted peers may send is dropped unless the peer is one; a second Host is refused.

use http::header::HeaderValue;
use portway_core::{Code, ProxyError};

use super::fields::{self, ConnectionOptions, FieldKind};
use super::framing::FramingScan;

/// What becomes of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It is for the other end.
    Yes,
    /// It ends here.
    No,
}

/// Whether the peer's word on who the client is counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// It is a trusted proxy.
    Trusted,
    /// It is anybody.
    Unknown,
}

/// What the fields of one request's head say.
#[derive(Default)]
pub struct Intake<'h> {
    /// How long the body is.
    pub framing: FramingScan,
    /// What Connection asks for.
    pub connection: ConnectionOptions,
    /// The Connection fields themselves.
    pub connection_values: Vec<&'h [u8]>,
    /// The Host field.
    pub host: Option<&'h [u8]>,
    /// The protocol it asks to switch to.
    pub upgrade: Option<HeaderValue>,
    /// Whether the client waits for `100 Continue`.
    pub expects_continue: bool,
}

impl<'h> Intake<'h> {
    /// Takes the next field.
    ///
    /// # Errors
    /// [`Code::BadHost`], [`Code::AmbiguousFraming`] or [`Code::ExpectationFailed`].
    #[inline]
    pub fn take(&mut self, name: &[u8], value: &'h [u8], peer: Peer) -> Result<Keep, ProxyError> {
        match fields::classify(name) {
            FieldKind::EndToEnd => return Ok(Keep::Yes),
            FieldKind::Forwarded | FieldKind::Internal if peer == Peer::Trusted => {
                return Ok(Keep::Yes);
            }
            FieldKind::Forwarded | FieldKind::Internal | FieldKind::Alias => {}
            FieldKind::HopByHop | FieldKind::Te => {}
            FieldKind::Host if self.host.is_some() => {
                return Err(ProxyError::new(
                    Code::BadHost,
                    "there is more than one Host field",
                ));
            }
            FieldKind::Host => self.host = Some(value),
            FieldKind::ContentLength => self.framing.content_length(value)?,
            FieldKind::TransferEncoding => self.framing.transfer_encoding(value)?,
            FieldKind::Connection => {
                self.connection.add(value);
                self.connection_values.push(value);
            }
            FieldKind::Upgrade => {
                // Several fields are one list (RFC 9110, section 5.3).
                let whole = match self.upgrade.take() {
                    None => HeaderValue::from_bytes(value),
                    Some(first) => {
                        HeaderValue::from_bytes(&[first.as_bytes(), b", ", value].concat())
                    }
                };
                self.upgrade = whole.ok();
            }
            FieldKind::Expect if value.eq_ignore_ascii_case(b"100-continue") => {
                self.expects_continue = true;
            }
            FieldKind::Expect => {
                return Err(ProxyError::new(
                    Code::ExpectationFailed,
                    "only `100-continue` is understood",
                ));
            }
        }
        Ok(Keep::No)
    }
}
