//! `server` and `admin`: the process, its short-form listener, and the operators' API.

use std::net::IpAddr;
use std::time::Duration;

use portway_core::diagnostic::Diagnostics;
use portway_core::{Span, limits};
use serde_json::{Value, json};

use super::tls::ListenerTls;
use crate::decode::{Decode, Given, wrong};
use crate::node::{Node, Scalar};
use crate::spanned::Spanned;
use crate::value::{Bind, Secret};
use crate::{Schema, choice, config};

config! {
    /// One HTTP listener, and defaults for the process.
    #[later("proxy_protocol", "protocol")]
    pub(crate) struct Server {
        /// The address to listen on; every address of the machine if there is none.
        pub host: Option<Spanned<IpAddr>>,
        /// The port to listen on; 8080 if there is none and no `listeners`.
        pub port: Option<Spanned<u16>>,
        /// TLS; the listener is an https one then.
        pub tls: Given<ListenerTls>,
        /// Worker threads: `auto` for one per core, or a number.
        pub workers: Spanned<Workers> = Workers::Auto,
        /// A request must be complete by then, head and body.
        pub read_timeout: Spanned<Duration> = limits::READ_TIMEOUT,
        /// A reply is given up after so long without progress in writing it.
        pub write_timeout: Spanned<Duration> = limits::WRITE_TIMEOUT,
        /// A connection without a request is closed after so long.
        pub idle_timeout: Spanned<Duration> = limits::IDLE_TIMEOUT,
        /// The request's head must be complete by then.
        pub header_timeout: Spanned<Duration> = limits::HEADER_TIMEOUT,
        /// On SIGTERM: what still runs by then is cut.
        pub drain_timeout: Spanned<Duration> = limits::DRAIN_TIMEOUT,
        /// Operators' pages that this listener answers too.
        pub expose: Vec<Spanned<Exposed>> = Vec::new(),
    }
}

choice! {
    /// An operators' page on a public listener.
    pub enum Exposed {
        /// `/health`.
        Health = "health",
        /// `/metrics`.
        Metrics = "metrics",
    }
}

/// What concerns the process as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Worker threads.
    pub workers: Spanned<Workers>,
    /// A request must be complete by then, head and body.
    pub read_timeout: Spanned<Duration>,
    /// A reply is given up after so long without progress in writing it.
    pub write_timeout: Spanned<Duration>,
    /// A connection without a request is closed after so long.
    pub idle_timeout: Spanned<Duration>,
    /// The request's head must be complete by then.
    pub header_timeout: Spanned<Duration>,
    /// On SIGTERM: what still runs by then is cut.
    pub drain_timeout: Spanned<Duration>,
}

/// How many worker threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One per core.
    Auto,
    /// So many; from 1 to 1024.
    Exactly(u16),
}

/// More threads than any machine has cores for.
const WORKERS_MAX: i64 = 1024;

impl Decode for Workers {
    type Plain = Workers;

    fn from_plain(plain: Workers, _: &Span) -> Workers {
        plain
    }

    fn decode(node: &Node, problems: &mut Diagnostics) -> Option<Workers> {
        match node.scalar() {
            Some(Scalar::String("auto")) => return Some(Workers::Auto),
            Some(Scalar::Int(count @ 1..=WORKERS_MAX)) => {
                return u16::try_from(count).ok().map(Workers::Exactly);
            }
            _ => {}
        }
        wrong(
            node,
            "`auto` or a number of threads from 1 to 1024",
            problems,
        );
        None
    }

    fn schema() -> Schema {
        json!({
            "anyOf": [
                { "const": "auto" },
                { "type": "integer", "minimum": 1, "maximum": WORKERS_MAX },
                { "type": "string", "pattern": r"\$\{.+\}" },
            ],
        })
    }

    fn to_json(&self) -> Value {
        match self {
            Workers::Auto => "auto".into(),
            Workers::Exactly(count) => (*count).into(),
        }
    }
}

config! {
    /// The operators' API: health, metrics, state. On the loopback interface by default.
    #[later("tls")]
    pub struct Admin {
        /// Where it listens: an address and port, or the path of a unix socket.
        pub bind: Spanned<Bind> = Bind::Tcp(([127, 0, 0, 1], 9901).into()),
        /// What callers must present; needed unless it listens on loopback or a socket.
        pub token: Option<Spanned<Secret>>,
    }
}
