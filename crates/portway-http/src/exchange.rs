//! One request and its reply on their way through, whatever the protocol on either side.
//!
//! Must hold: what is here was checked on entry; filters and forward read it and never parse bytes
//! again. An exchange is finished exactly once.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::{Extensions, HeaderMap, StatusCode};
use portway_core::{Code, GrpcStatus, ListenerId, Mono, ProxyError, RouteId, UpstreamId};
use portway_tls::Session;
use smallvec::SmallVec;

use crate::upgrade::Upgrade;
use crate::{Body, OwnFields, Reply, Request, grpc, h1, h2};

/// The protocol that the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
    /// HTTP/3
    Http3,
}

impl Protocol {
    /// As the access log and `Via` write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Http10 => "HTTP/1.0",
            Protocol::Http11 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2",
            Protocol::Http3 => "HTTP/3",
        }
    }
}

/// Who sent the request, through which door.
#[derive(Clone, Debug)]
pub struct ClientSide {
    /// The other end of the socket.
    pub peer: SocketAddr,
    /// The address that policies use: the peer's, or what trusted proxies said of it.
    pub ip: IpAddr,
    /// Whether the peer is one of the listener's trusted proxies.
    pub trusted: bool,
    /// Which listener accepted the connection.
    pub listener: ListenerId,
    /// The port the listener is bound to.
    pub local_port: u16,
    /// Whether the client's side is encrypted.
    pub secure: bool,
    /// What targets are told about the client, as lines of a head, where that was written before.
    pub told: Option<Rc<[u8]>>,
    /// What the handshake agreed on, with the client's identity if it has a certificate.
    pub tls: Option<Arc<Session>>,
}

impl ClientSide {
    /// `https` or `http`.
    #[must_use]
    pub fn scheme(&self) -> &'static str {
        if self.secure { "https" } else { "http" }
    }
}

/// The id that ties log lines, replies and targets' own logs to one exchange. Kept in place: no
/// allocation. At most 64 visible ASCII characters.
#[derive(Clone, Copy)]
pub struct RequestId {
    length: u8,
    bytes: [u8; RequestId::MAX],
}

impl RequestId {
    /// The longest id taken over from a client, in bytes.
    pub const MAX: usize = 64;

    /// No id: the request_id filter is not in use.
    pub const NONE: RequestId = RequestId {
        length: 0,
        bytes: [0; RequestId::MAX],
    };

    /// Takes over an id that came with the request, if it is short and harmless.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<RequestId> {
        let harmless = |b: &u8| b.is_ascii_alphanumeric() || b"-_.:+/=".contains(b);
        if value.is_empty() || value.len() > RequestId::MAX || !value.iter().all(harmless) {
            return None;
        }
        let mut bytes = [0; RequestId::MAX];
        bytes[..value.len()].copy_from_slice(value);
        Some(RequestId {
            length: value.len() as u8,
            bytes,
        })
    }

    /// A version 7 UUID (RFC 9562, section 5.7) from wall time in milliseconds and 74 random bits.
    #[must_use]
    pub fn v7(unix_ms: u64, random: u128) -> RequestId {
        let time = u128::from(unix_ms & 0xffff_ffff_ffff) << 80;
        let value = time | (random & 0x0fff_3fff_ffff_ffff_ffff) | 0x7000_8000_0000_0000_0000;
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = [0; RequestId::MAX];
        let mut at = 0;
        for (i, byte) in value.to_be_bytes().into_iter().enumerate() {
            if matches!(i, 4 | 6 | 8 | 10) {
                bytes[at] = b'-';
                at += 1;
            }
            bytes[at] = HEX[usize::from(byte >> 4)];
            bytes[at + 1] = HEX[usize::from(byte & 15)];
            at += 2;
        }
        RequestId {
            length: at as u8,
            bytes,
        }
    }

    /// The id; empty if there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// Its octets: visible ASCII.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Whether there is no id.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.length == 0
    }
}

impl std::fmt::Debug for RequestId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The client's connection, as far as the upstream side may see it.
#[derive(Debug, Default)]
pub enum Downstream {
    /// There is none to look at (a mirrored request).
    #[default]
    Detached,
    /// An HTTP/1 connection.
    H1(h1::Conn),
    /// A stream of an HTTP/2 connection.
    H2(Rc<h2::Stream>),
    /// A stream of an HTTP/3 connection.
    #[cfg(feature = "http3")]
    H3(Rc<crate::h3::Stream>),
}

impl Downstream {
    /// When to give up a client that has ended its side of the connection, but may still read. To be
    /// asked after [`Downstream::poll_gone`].
    #[must_use]
    pub fn gone_at(&self, now: Mono) -> Mono {
        match self {
            Downstream::H1(conn) => conn.gone_at(now),
            _ => Mono::NEVER,
        }
    }

    /// Ready when the client has gone away. To be polled only once its request has been read whole.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Downstream::Detached => Poll::Pending,
            Downstream::H1(conn) => conn.poll_gone(cx),
            Downstream::H2(stream) => stream.poll_gone(cx),
            #[cfg(feature = "http3")]
            Downstream::H3(stream) => stream.poll_gone(cx),
        }
    }

    /// Queues an informational reply (1xx); it leaves at the latest with the final one. HTTP/1.0 does
    /// not know them (RFC 9110, section 15.2).
    pub fn inform(&self, protocol: Protocol, status: StatusCode, headers: &HeaderMap) {
        match (self, protocol) {
            (Downstream::H1(conn), Protocol::Http11) => {
                conn.queue(|out| h1::serialize::informational_head(out, status, headers));
                // A full socket sends it with the final reply.
                let _ = conn.poll_flush(&mut Context::from_waker(Waker::noop()));
            }
            (Downstream::H2(stream), _) => stream.inform(status, headers),
            #[cfg(feature = "http3")]
            (Downstream::H3(stream), _) => stream.inform(status, headers),
            _ => {}
        }
    }
}

/// What happened on the way, for the log, the metrics and the trace.
#[derive(Debug, Default)]
pub struct Notes {
    /// Why the gateway answered by itself, or why the exchange broke.
    pub code: Option<Code>,
    /// What exactly, in words.
    pub error: Option<Box<str>>,
    /// Which upstream was chosen.
    pub upstream: Option<UpstreamId>,
    /// The address of the target of the last try.
    pub target: Option<Rc<str>>,
    /// Tries after the first.
    pub retries: u8,
    /// From the first try's start to the last reply head, nanoseconds; `None` if nothing was tried.
    pub upstream_ns: Option<u64>,
    /// How a gRPC call ended; `None` for what is none.
    pub grpc: Option<grpc::Ending>,
    /// Octets of the request's body that were read.
    pub bytes_in: u64,
    /// Octets of the reply's body that were written to the client.
    pub bytes_out: u64,
}

/// One request and its reply.
#[derive(Debug)]
pub struct Exchange {
    /// The checked head. Filters may change it.
    pub request: Request,
    /// The path for the target where a filter or a rewrite made it another one; empty otherwise.
    pub target_path: String,
    /// The Host for the target where a rewrite or the upstream sets one.
    pub target_host: Option<Arc<str>>,
    /// The client's connection.
    pub downstream: Downstream,
    /// The request's body, read at most once.
    pub body: Body,
    /// Who sent it.
    pub client: ClientSide,
    /// Protocol of the client's side.
    pub protocol: Protocol,
    /// The id, once the request_id filter has set it.
    pub request_id: RequestId,
    /// The header that carries the id, if not the usual one.
    pub request_id_header: Option<http::HeaderName>,
    /// When the first byte of the head was seen.
    pub started: Mono,
    /// Wall time then, nanoseconds since the Unix epoch.
    pub started_wall_ns: u64,
    /// The clock's latest reading on the exchange's way: for what need not be exact.
    pub seen_at: Mono,
    /// The request's head and body must be complete by then.
    pub read_deadline: Mono,
    /// The route, once found.
    pub route: Option<RouteId>,
    /// The caller, once an authentication filter has established it.
    pub consumer: Option<Arc<str>>,
    /// The most octets the request body may have; 0 for no limit. Lowered by body_limit.
    pub body_bytes_max: u64,
    /// An empty map with room, for the fields of the reply.
    pub spare_headers: HeaderMap,
    /// Fields that the gateway itself adds to the reply.
    pub own_fields: OwnFields,
    /// Another protocol that the connection is to switch to.
    pub upgrade: Upgrade,
    /// What happened on the way.
    pub notes: Notes,
    /// Values that one filter leaves for another, by type.
    pub extensions: Extensions,
    /// A number that a filter leaves for its own response hook, by the filter's address.
    pub marks: SmallVec<[(usize, u64); 2]>,
}

impl Exchange {
    /// An exchange with nothing in it, to be filled by a protocol's reader.
    #[must_use]
    pub fn blank() -> Exchange {
        let nowhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Exchange {
            request: Request::blank(),
            target_path: String::new(),
            target_host: None,
            downstream: Downstream::Detached,
            body: Body::Empty,
            client: ClientSide {
                peer: nowhere,
                ip: nowhere.ip(),
                trusted: false,
                listener: ListenerId(0),
                local_port: 0,
                secure: false,
                told: None,
                tls: None,
            },
            protocol: Protocol::Http11,
            request_id: RequestId::NONE,
            request_id_header: None,
            started: Mono(0),
            started_wall_ns: 0,
            seen_at: Mono(0),
            read_deadline: Mono::NEVER,
            route: None,
            consumer: None,
            body_bytes_max: 0,
            spare_headers: HeaderMap::new(),
            own_fields: OwnFields::default(),
            upgrade: Upgrade::No,
            notes: Notes::default(),
            extensions: Extensions::new(),
            marks: SmallVec::new(),
        }
    }

    /// Forgets the last exchange but keeps its buffers.
    pub fn clear(&mut self) {
        self.request.clear();
        self.target_path.clear();
        self.target_host = None;
        self.downstream = Downstream::Detached;
        self.body = Body::Empty;
        self.protocol = Protocol::Http11;
        self.request_id = RequestId::NONE;
        self.request_id_header = None;
        self.read_deadline = Mono::NEVER;
        self.route = None;
        self.consumer = None;
        self.body_bytes_max = 0;
        self.own_fields.clear();
        self.upgrade = Upgrade::No;
        self.notes = Notes::default();
        self.extensions.clear();
        self.marks.clear();
    }

    /// A reply made by the gateway for this exchange, noted as such.
    pub fn problem(&mut self, error: ProxyError) -> Reply {
        self.notes.code = Some(error.kind);
        let reply = if grpc::is_call(&self.request) {
            let ending = self.notes.grpc.get_or_insert_default();
            ending.set(GrpcStatus::from_code(error.kind.grpc_status()));
            grpc::refusal(&error)
        } else {
            Reply::problem(&error, self)
        };
        self.notes.error = Some(error.to_string().into());
        reply
    }

    /// The same, from a code and what exactly was wrong.
    pub fn refuse(&mut self, code: Code, detail: &str) -> Reply {
        self.problem(ProxyError::new(code, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_a_version_7_uuid() {
        let id = RequestId::v7(0x0123_4567_89ab, u128::MAX);
        assert_eq!(id.as_str(), "01234567-89ab-7fff-bfff-ffffffffffff");
    }

    #[test]
    fn takes_over_only_harmless_ids() {
        assert_eq!(
            RequestId::parse(b"abc-1").map(|i| i.as_str().to_owned()),
            Some("abc-1".into())
        );
        assert!(RequestId::parse(b"").is_none());
        assert!(RequestId::parse(b"a\"b").is_none());
        assert!(RequestId::parse(&[b'a'; 65]).is_none());
    }
}
