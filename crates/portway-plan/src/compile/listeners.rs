//! Listeners: what clients may do and how long they may take.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use portway_config::document::{self, Document, Listener};
use portway_core::{Diagnostics, ListenerId, limits};
use portway_filter::Chain;
use portway_http::h1::HeadLimits;
use portway_http::h1::parse::FIELDS_HARD_MAX;
use portway_http::hygiene::forwarded::TrustedProxies;
use portway_http::hygiene::path::{DotSegments, EncodedSlashes, PathRules};

use super::filters::{Globals, of_listener};
use super::passthrough::{proxy_header, serves};
use super::routes::Names;
use super::{Compiler, Names as Known};
use crate::plan::{ClientTimeouts, Exposed, ListenerPlan, Serves, Versions};

/// A smaller head would refuse ordinary browsers.
const HEAD_BYTES_MIN: usize = 1024;

/// The listeners' ids by name.
pub(super) fn names(document: &Document, problems: &mut Diagnostics) -> Known<ListenerId> {
    let mut names = Known::new("listener");
    for (at, listener) in document.listeners.iter().enumerate() {
        names.add(&listener.name, ListenerId(at as u32), problems);
    }
    names
}

/// The listeners.
pub(super) fn listeners(
    compiler: &Compiler<'_>,
    names: &Names<'_>,
    globals: &Globals,
    problems: &mut Diagnostics,
) -> Vec<ListenerPlan> {
    let mut bound: HashMap<SocketAddr, &Listener> = HashMap::new();
    let mut plans = Vec::new();
    for listener in &names.document.listeners {
        let bind = listener.bind.value();
        if let Some(other) = bound.get(&bind).filter(|_| bind.port() != 0) {
            problems.error(
                listener.bind.span(),
                format!(
                    "{bind} is already the address of listener `{}`",
                    *other.name
                ),
                "give each listener an address of its own",
            );
        } else if let Some(other) = bound.values().find(|o| covers(bind, o.bind.value())) {
            problems.error(
                listener.bind.span(),
                format!(
                    "{bind} overlaps with {} of listener `{}`",
                    *other.bind, *other.name
                ),
                "use different ports, or give both listeners the address of one interface",
            );
        }
        bound.insert(bind, listener);
        let filters = of_listener(compiler, &listener.filters, &listener.name, problems);
        let serves = serves(listener, names, globals, problems);
        let mut plan = listener_plan(listener, names.document, serves, problems);
        plan.filters = filters;
        plans.push(plan);
    }
    plans
}

/// Whether one of two different addresses is the wildcard of the other.
fn covers(a: SocketAddr, b: SocketAddr) -> bool {
    let wild = |ip: IpAddr| ip.is_unspecified();
    a.port() == b.port() && a.port() != 0 && a != b && (wild(a.ip()) || wild(b.ip()))
}

fn listener_plan(
    listener: &Listener,
    document: &Document,
    serves: Serves,
    problems: &mut Diagnostics,
) -> ListenerPlan {
    let process = &document.process;
    let http = &listener.http;
    let head_bytes_max = http.max_header_bytes.len();
    if head_bytes_max < HEAD_BYTES_MIN {
        problems.error(
            http.max_header_bytes.span(),
            format!("a head of at most {head_bytes_max} bytes refuses ordinary requests"),
            "set at least 1KiB",
        );
    }
    let fields_max = http.max_headers.value();
    if fields_max == 0 || fields_max > FIELDS_HARD_MAX {
        problems.error(
            http.max_headers.span(),
            format!("the number of header fields must be from 1 to {FIELDS_HARD_MAX}"),
            "100 is the default",
        );
    }
    if listener.max_connections.value() == 0 {
        problems.error(
            listener.max_connections.span(),
            "0 would refuse every connection",
            "set at least 1",
        );
    }
    check_http3(listener, problems);
    let exposes = |page| listener.expose.iter().any(|e| e.value() == page);
    let exposed = |page| {
        if exposes(page) {
            Exposed::Yes
        } else {
            Exposed::No
        }
    };
    ListenerPlan {
        name: Arc::from(listener.name.as_str()),
        bind: listener.bind.value(),
        versions: versions(http),
        h3_port: http.h3_port,
        tls: super::tls::of_listener(listener, document, problems),
        redirect_https: super::tls::redirect_https(&listener.redirect_https),
        serves,
        proxy_header: proxy_header(listener, problems),
        filters: Chain::default(),
        head: HeadLimits {
            head_bytes_max,
            fields_max,
            target_bytes_max: limits::TARGET_BYTES_MAX.min(head_bytes_max),
            path: path_rules(&http.normalize_path),
        },
        timeouts: ClientTimeouts {
            header: process.header_timeout.value(),
            read: process.read_timeout.value(),
            write: process.write_timeout.value(),
            idle: process.idle_timeout.value(),
        },
        body_bytes_max: http.max_request_body.0,
        trusted: TrustedProxies::new(listener.trusted_proxies.clone()),
        connections_max: listener.max_connections.value(),
        expose_health: exposed(document::Exposed::Health),
        expose_metrics: exposed(document::Exposed::Metrics),
    }
}

/// Those that are named; those over TCP if none is.
pub(super) fn versions(http: &document::HttpOptions) -> Versions {
    let none = http.versions.is_empty();
    let named = |version| http.versions.iter().any(|v| v.value() == version);
    Versions {
        h1: none || named(document::Version::H1),
        h2: none || named(document::Version::H2),
        h3: named(document::Version::H3),
    }
}

/// Notes what stands against HTTP/3 on a listener.
fn check_http3(listener: &Listener, problems: &mut Diagnostics) {
    let mut named = listener.http.versions.iter();
    let Some(version) = named.find(|v| v.value() == document::Version::H3) else {
        return;
    };
    let speaks = versions(&listener.http);
    let is_https = listener.protocol.value() == document::ListenerProtocol::Https;
    let (what, hint) = if !portway_http::HTTP3 {
        (
            "this build of Portway does not speak HTTP/3",
            "remove h3, or build with the feature `http3`",
        )
    } else if !is_https {
        (
            "h3 is for listeners with TLS: QUIC has no other kind",
            "write `protocol: https` and `tls`, or remove h3",
        )
    } else if !speaks.h1 && !speaks.h2 {
        (
            "h3 alone: clients learn of it from a reply over TCP (Alt-Svc)",
            "add h1 or h2, as in `versions: [h1, h2, h3]`",
        )
    } else if listener.proxy_protocol.value() != document::ProxyProtocol::Off {
        (
            "h3 on a listener whose connections begin with a PROXY protocol header, which QUIC has not",
            "remove h3, or `proxy_protocol`",
        )
    } else {
        return;
    };
    problems.error(version.span(), what, hint);
}

fn path_rules(cleaning: &document::Cleaning) -> PathRules {
    PathRules {
        dot_segments: match cleaning.dot_segments {
            document::DotSegments::Resolve => DotSegments::Resolve,
            document::DotSegments::Reject => DotSegments::Reject,
        },
        merge_slashes: cleaning.merge_slashes,
        encoded_slashes: match cleaning.encoded_slashes {
            document::EncodedSlashes::Reject => EncodedSlashes::Reject,
            document::EncodedSlashes::Keep => EncodedSlashes::Keep,
        },
    }
}
