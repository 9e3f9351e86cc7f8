//! Upstreams: where targets come from, how one is picked, what is checked and how long things may take.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use portway_balance::{PolicyKind, WEIGHT_MAX};
use portway_config::document::{
    self, CircuitBreaker, Discover, DnsRecord, DnsSource, Document, HashOn as HashOnConfig,
    LoadBalance, Policy, Target, TargetProtocol, Timeouts, Upstream,
};
use portway_config::{Each, Scheme, Spanned};
use portway_core::{Diagnostics, Span, UpstreamId};
use portway_discovery::source::{DnsSpec, FileSpec, NamedTarget, SourceSpec};
use portway_filter::{BreakerPolicy, BreakerSettings};
use portway_upstream::spec::{
    BalanceSpec, HashOn, LimitSpec, PoolSpec, Protocol, SendProxy, StickySpec, TimeoutSpec,
    UpstreamSpec,
};

use super::Names;
use super::health::{health, outlier};

/// The upstreams and their ids by name.
pub(super) fn upstreams(
    document: &Document,
    problems: &mut Diagnostics,
) -> (Vec<UpstreamSpec>, Names<UpstreamId>) {
    let mut names = Names::new("upstream");
    let mut specs = Vec::with_capacity(document.upstreams.len());
    for upstream in &document.upstreams {
        names.add(&upstream.name, UpstreamId(specs.len() as u32), problems);
        specs.push(upstream_spec(upstream, problems));
    }
    (specs, names)
}

fn upstream_spec(upstream: &Upstream, problems: &mut Diagnostics) -> UpstreamSpec {
    let breaker = upstream.circuit_breaker.as_ref();
    check_protocol(upstream, problems);
    UpstreamSpec {
        name: Arc::from(upstream.name.as_str()),
        source: source(upstream, problems),
        protocol: spoken(upstream),
        tls: super::tls::of_upstream(upstream, problems),
        balance: balance(&upstream.load_balance, problems),
        health: upstream
            .health_check
            .as_ref()
            .map(|check| health(check, problems)),
        outlier: upstream
            .outlier_detection
            .as_ref()
            .map(|o| outlier(o, problems)),
        breaker: breaker.and_then(|b| breaker_policy(b, problems)),
        limits: breaker.map_or_else(LimitSpec::default, |b| LimitSpec {
            connections_max: b.max_connections,
            pending_max: b.max_pending,
            requests_max: b.max_requests,
        }),
        timeouts: timeouts(&upstream.timeouts, problems),
        pool: PoolSpec {
            idle_per_target_max: upstream.pool.max_idle_per_target,
        },
        proxy_protocol: match upstream.proxy_protocol.value() {
            document::SendProxy::Off => None,
            document::SendProxy::V1 => Some(SendProxy::V1),
            document::SendProxy::V2 => Some(SendProxy::V2),
        },
    }
}

/// What is spoken with the targets, by the upstream's word or by their addresses.
pub(super) fn spoken(upstream: &Upstream) -> Protocol {
    let targets = upstream.targets.value();
    let mut all = targets.iter().flat_map(|t| t.iter());
    let said = all.find_map(|t| t.addr.scheme.filter(|scheme| scheme.is_http2()));
    match (upstream.protocol.value(), said) {
        (TargetProtocol::H1, _) => Protocol::H1,
        (TargetProtocol::H2 | TargetProtocol::H2c, _) => Protocol::H2,
        (TargetProtocol::Grpc, _) => Protocol::H2Only,
        (TargetProtocol::Auto, Some(Scheme::H2c)) => Protocol::H2,
        (TargetProtocol::Auto, Some(_)) => Protocol::H2Only,
        (TargetProtocol::Auto, None) if has_tls(upstream) => Protocol::Either,
        (TargetProtocol::Auto, None) => Protocol::H1,
    }
}

fn has_tls(upstream: &Upstream) -> bool {
    let targets = upstream.targets.value();
    let mut all = targets.iter().flat_map(|t| t.iter());
    upstream.tls.is_some() || all.any(|t| t.addr.scheme.and_then(Scheme::is_secure) == Some(true))
}

/// What the upstream says of its protocol and what its addresses say must agree.
fn check_protocol(upstream: &Upstream, problems: &mut Diagnostics) {
    let protocol = &upstream.protocol;
    let name = &*upstream.name;
    let targets = upstream.targets.value();
    let find = |is: fn(Scheme) -> bool| {
        let mut all = targets.iter().flat_map(|t| t.iter());
        let found = all.find_map(|t| t.addr.scheme.filter(|s| is(*s)).map(|s| (&t.addr, s)));
        found.map(|(address, scheme)| (address.span(), scheme.as_str()))
    };
    let http2 = find(Scheme::is_http2);
    let open = find(|scheme| matches!(scheme, Scheme::Http | Scheme::Https));
    let has_tls = has_tls(upstream);
    match (protocol.value(), http2, open) {
        (TargetProtocol::H1, Some((at, scheme)), _) => problems.error(
            at,
            format!("a target of {scheme}:// in upstream `{name}` of protocol h1"),
            "write http:// or https://, or remove `protocol`",
        ),
        (TargetProtocol::Auto, Some((_, scheme)), Some((at, other))) => problems.error(
            at,
            format!("upstream `{name}` has targets that speak {scheme}:// and {other}://"),
            "give them one scheme, say `protocol`, or make two upstreams",
        ),
        (TargetProtocol::H2, _, _) if !has_tls => problems.error(
            protocol.span(),
            format!("`protocol: h2` is over TLS, which upstream `{name}` has not"),
            "write https:// addresses, or `protocol: h2c`",
        ),
        (TargetProtocol::H2c, _, _) if has_tls => problems.error(
            protocol.span(),
            format!("`protocol: h2c` is without TLS, which upstream `{name}` has"),
            "write `protocol: h2`",
        ),
        _ => {}
    }
}

fn source(upstream: &Upstream, problems: &mut Diagnostics) -> SourceSpec {
    let name = &*upstream.name;
    match (upstream.targets.value(), upstream.discover.value()) {
        (Some(targets), None) => static_source(name, targets, problems),
        (None, Some(discover)) => discovered(discover, problems),
        (Some(_), Some(discover)) => {
            problems.error(
                discover.span(),
                format!("upstream `{name}` has both `targets` and `discover`"),
                "keep one of them",
            );
            SourceSpec::Static(Vec::new())
        }
        (None, None) if upstream.targets.is_written() || upstream.discover.is_written() => {
            SourceSpec::Static(Vec::new())
        }
        (None, None) => {
            problems.error(
                upstream.name.span(),
                format!("upstream `{name}` has no targets"),
                "add `targets: [ { addr: \"http://127.0.0.1:8081\" } ]` or `discover`",
            );
            SourceSpec::Static(Vec::new())
        }
    }
}

fn static_source(
    name: &str,
    targets: &Spanned<Each<Target>>,
    problems: &mut Diagnostics,
) -> SourceSpec {
    check_targets(name, targets, problems);
    let named = targets
        .iter()
        .map(|target| NamedTarget {
            host: target.addr.host.to_string(),
            port: target.addr.port,
            weight: target.weight.value(),
        })
        .collect();
    SourceSpec::Static(named)
}

fn check_targets(name: &str, targets: &Spanned<Each<Target>>, problems: &mut Diagnostics) {
    if !targets.complete {
        // What was lost may be what seems to be missing.
    } else if targets.is_empty() {
        problems.error(
            targets.span(),
            format!("upstream `{name}` has an empty list of targets"),
            "add at least one `{ addr: \"http://127.0.0.1:8081\" }`",
        );
    } else if targets.iter().all(|t| t.weight.value() == 0) {
        problems.error(
            targets[0].weight.span(),
            format!("all targets of upstream `{name}` have weight 0"),
            "give at least one target a weight of 1 or more",
        );
    }
    let mut seen = HashSet::new();
    for target in targets.iter() {
        too_heavy(&target.weight, problems);
        if !seen.insert((target.addr.host.to_string(), target.addr.port)) {
            problems.error(
                target.addr.span(),
                format!(
                    "target {}:{} is listed twice in upstream `{name}`",
                    target.addr.host, target.addr.port
                ),
                "list it once and raise its weight instead",
            );
        }
    }
}

fn discovered(discover: &Spanned<Discover>, problems: &mut Diagnostics) -> SourceSpec {
    match &**discover {
        Discover::Dns(dns) => {
            let srv = dns.record == DnsRecord::Srv;
            check_dns(dns, problems);
            let mut spec = if srv {
                DnsSpec::service(&dns.name)
            } else {
                DnsSpec::host(&dns.name, 0)
            };
            match &dns.port {
                Some(port) if !srv => spec.port = port.value(),
                None if !srv => problems.error(
                    dns.span(),
                    "an address record has no port",
                    "add `port: 80`, or look up `record: srv`",
                ),
                _ => {}
            }
            spec.resolver = dns.resolver;
            positive(&dns.refresh_min, problems);
            spec.refresh_min = dns.refresh_min.value();
            spec.refresh_max = dns.refresh_max.value();
            SourceSpec::Dns(spec)
        }
        Discover::File(file) => SourceSpec::File(FileSpec {
            path: file.path.as_str().into(),
        }),
    }
}

fn check_dns(dns: &DnsSource, problems: &mut Diagnostics) {
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let name = dns.name.strip_suffix('.').unwrap_or(&dns.name);
    if name.len() > 253 || !name.split('.').all(label) {
        problems.error(
            dns.name.span(),
            format!("`{}` is not a DNS name", dns.name.escape_default()),
            "write a name like users.internal",
        );
    }
    if let Some(port) = dns.port.as_ref().filter(|p| p.value() == 0) {
        problems.error(port.span(), "0 is not a port", "use a port from 1 to 65535");
    }
    if dns.refresh_min.value() > dns.refresh_max.value() {
        problems.error(
            dns.refresh_min.span(),
            "`refresh_min` is longer than `refresh_max`",
            "make it shorter",
        );
    }
}

fn balance(config: &LoadBalance, problems: &mut Diagnostics) -> BalanceSpec {
    let policy = policy_kind(config.policy.value());
    let hashes = matches!(policy, PolicyKind::RingHash | PolicyKind::Maglev);
    if let Some(on) = config.hash_on.as_ref().filter(|_| !hashes) {
        problems.warn(
            on.span(),
            format!(
                "`hash_on` does nothing with policy {}",
                config.policy.value().as_str()
            ),
            "use `policy: ring_hash` or `maglev`, or remove it",
        );
    }
    let sticky = config.sticky.as_ref().map(|sticky| {
        if !is_token(&sticky.cookie) {
            problems.error(
                sticky.cookie.span(),
                format!("`{}` is not a cookie name", *sticky.cookie),
                "use letters, digits, `-` and `_`",
            );
        }
        StickySpec {
            cookie: sticky.cookie.to_string(),
            ttl: sticky.ttl,
        }
    });
    BalanceSpec {
        policy,
        hash_on: config
            .hash_on
            .as_ref()
            .map_or(HashOn::ClientIp, |on| hash_on(on, problems)),
        slow_start: config.slow_start,
        panic_threshold_percent: (config.panic_threshold.fraction() * 100.0).round() as u8,
        sticky,
    }
}

fn policy_kind(policy: Policy) -> PolicyKind {
    match policy {
        Policy::RoundRobin => PolicyKind::RoundRobin,
        Policy::WeightedRoundRobin => PolicyKind::WeightedRoundRobin,
        Policy::Random => PolicyKind::Random,
        Policy::LeastConnections => PolicyKind::LeastConnections,
        Policy::P2c => PolicyKind::P2c,
        Policy::Ewma => PolicyKind::Ewma,
        Policy::RingHash => PolicyKind::RingHash,
        Policy::Maglev => PolicyKind::Maglev,
    }
}

/// What a request is placed by.
pub(super) fn hash_on(on: &Spanned<HashOnConfig>, problems: &mut Diagnostics) -> HashOn {
    match &**on {
        HashOnConfig::ClientIp => HashOn::ClientIp,
        HashOnConfig::Path => HashOn::Path,
        HashOnConfig::Url => HashOn::Url,
        HashOnConfig::Cookie(name) => HashOn::Cookie(name.clone()),
        HashOnConfig::Query(name) => HashOn::Query(name.clone()),
        HashOnConfig::Header(name) => match HeaderName::from_bytes(name.as_bytes()) {
            Ok(name) => HashOn::Header(name),
            Err(_) => {
                problems.error(
                    on.span(),
                    format!("`{name}` is not a header name"),
                    "use letters, digits and `-`",
                );
                HashOn::ClientIp
            }
        },
    }
}

fn is_token(text: &str) -> bool {
    HeaderName::from_bytes(text.as_bytes()).is_ok()
}

/// `None` if it only limits: nobody who asks for a limit asks for a breaker.
fn breaker_policy(config: &CircuitBreaker, problems: &mut Diagnostics) -> Option<BreakerPolicy> {
    let limits = [
        config.max_connections,
        config.max_pending,
        config.max_requests,
    ];
    let is_silent = config.failure_threshold.is_none()
        && config.failure_rate.is_none()
        && config.minimum_requests.is_none()
        && config.window.is_none()
        && config.open_for.is_none()
        && config.half_open_requests.is_none();
    if is_silent && limits.iter().any(|max| *max != 0) {
        return None;
    }
    let settings = BreakerSettings {
        failure_threshold: config.failure_threshold,
        failure_rate: config.failure_rate.as_ref(),
        minimum_requests: config.minimum_requests,
        window: config.window.as_ref(),
        open_for: config.open_for.as_ref(),
        half_open_requests: config.half_open_requests.as_ref(),
    };
    let policy = settings.policy(problems)?;
    (policy.failure_threshold != 0 || policy.failure_rate.is_some()).then_some(policy)
}

fn timeouts(config: &Timeouts, problems: &mut Diagnostics) -> TimeoutSpec {
    let each = [
        &config.connect,
        &config.response_header,
        &config.idle,
        &config.tunnel,
    ];
    for timeout in each.into_iter().chain(&config.request) {
        positive(timeout, problems);
    }
    TimeoutSpec {
        connect: config.connect.value(),
        response_header: config.response_header.value(),
        request: config.request.as_ref().map(Spanned::value),
        idle: config.idle.value(),
        tunnel: config.tunnel.value(),
    }
}

/// Notes a weight that no balancer can count with.
pub(super) fn too_heavy(weight: &Spanned<u32>, problems: &mut Diagnostics) {
    if weight.value() > WEIGHT_MAX {
        problems.error(
            weight.span(),
            format!("a weight is at most {WEIGHT_MAX}"),
            "only the ratio to the other weights counts",
        );
    }
}

/// A time of zero would fail everything at once.
pub(super) fn positive(time: &Spanned<Duration>, problems: &mut Diagnostics) {
    if time.is_zero() {
        zero(
            time.span(),
            "a time of 0 would end everything at once",
            "set at least 1ms",
            problems,
        );
    }
}

pub(super) fn at_least_one(count: &Spanned<u32>, problems: &mut Diagnostics) {
    if count.value() == 0 {
        zero(count.span(), "the count must be at least 1", "", problems);
    }
}

fn zero(span: &Span, what: &str, hint: &str, problems: &mut Diagnostics) {
    problems.error(span, what, hint);
}
