//! What the target is asked instead of what the client asked, and what a request is placed by.
//!
//! Must hold: the client's canonical path stays as it is, for the log and for policy; a rewritten path
//! is canonical again. A value nobody sent places nothing.

use std::net::IpAddr;
use std::sync::Arc;

use portway_balance::{PolicyKind, hash};
use portway_http::Exchange;
use portway_http::hygiene::path::{PathRules, canonicalize};
use portway_plan::Rewrite;
use portway_upstream::spec::HashOn;

/// Sets the path and Host for the target.
pub fn rewrite(rewrite: &Rewrite, exchange: &mut Exchange) {
    if let Some(host) = &rewrite.host {
        exchange.target_host = Some(Arc::clone(host));
    }
    if let Some(prefix) = &rewrite.strip_prefix {
        let rest = exchange
            .request
            .path
            .strip_prefix(prefix.trim_end_matches('/'));
        let rest = rest.unwrap_or(&exchange.request.path);
        exchange.target_path.clear();
        if !rest.starts_with('/') {
            exchange.target_path.push('/');
        }
        exchange.target_path.push_str(rest);
    }
    if let Some((pattern, replacement)) = &rewrite.path {
        let from = if exchange.target_path.is_empty() {
            &exchange.request.path
        } else {
            &exchange.target_path
        };
        let replaced = pattern.replace(from, replacement.as_str()).into_owned();
        let mut path = String::new();
        // What a group put together may not be canonical any more; what cannot be is left alone.
        if replaced.starts_with('/')
            && canonicalize(replaced.as_bytes(), PathRules::default(), &mut path).is_ok()
        {
            exchange.target_path = path;
        }
    }
}

/// What a hashing policy places this request by; the others need nothing.
#[must_use]
pub fn place(on: &HashOn, policy: PolicyKind, exchange: &Exchange) -> Option<u64> {
    matches!(policy, PolicyKind::RingHash | PolicyKind::Maglev)
        .then(|| hash_of(on, exchange))
        .flatten()
}

/// The hash of what was sent for `on`; `None` if nothing was.
#[must_use]
pub fn hash_of(on: &HashOn, exchange: &Exchange) -> Option<u64> {
    let request = &exchange.request;
    match on {
        HashOn::ClientIp => Some(match exchange.client.ip {
            IpAddr::V4(ip) => hash(&ip.octets()),
            IpAddr::V6(ip) => hash(&ip.octets()),
        }),
        HashOn::Path => Some(hash(request.path.as_bytes())),
        HashOn::Url => {
            let query = request.query.as_deref().unwrap_or_default();
            Some(hash(
                format!("{}{}?{query}", request.host, request.path).as_bytes(),
            ))
        }
        HashOn::Header(name) => request.headers.get(name).map(|v| hash(v.as_bytes())),
        HashOn::Cookie(name) => request.cookie(name).map(|v| hash(v.as_bytes())),
        HashOn::Query(name) => request.query_value(name).map(|v| hash(v.as_bytes())),
    }
}
