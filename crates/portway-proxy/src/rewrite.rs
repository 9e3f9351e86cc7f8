//! What the target is asked instead of what the client asked, and what a request is placed by.
//!
//! Must hold: the client's canonical path stays as it is, for the log and for policy; a rewritten path
//! is canonical again, by the rules of the listener, or the request is refused. A path that a filter has
//! made for the target is final. A value nobody sent places nothing.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use portway_balance::{PolicyKind, hash};
use portway_core::{Code, ProxyError};
use portway_http::Exchange;
use portway_http::hygiene::path::{PathRules, canonicalize};
use portway_plan::Rewrite;
use portway_upstream::spec::HashOn;

use crate::local::behind;

/// Sets the path and Host for the target. `rules` are those by which the client's path became canonical.
///
/// # Errors
///
/// [`Code::AmbiguousPath`] if what a group put together has no canonical form: the client chose it, and
/// must not get what a target has under the path as it was.
pub fn rewrite(
    rewrite: &Rewrite,
    rules: PathRules,
    exchange: &mut Exchange,
) -> Result<(), ProxyError> {
    if let Some(host) = &rewrite.host {
        exchange.target_host = Some(Arc::clone(host));
    }
    if !exchange.target_path.is_empty() {
        return Ok(()); // a filter has said where it goes
    }
    if let Some(prefix) = &rewrite.strip_prefix
        && let Some(rest) = behind(prefix, &exchange.request.path)
    {
        exchange.target_path.clear();
        if rest.is_empty() {
            exchange.target_path.push('/');
        }
        exchange.target_path.push_str(rest);
    }
    if let Some((pattern, replacement)) = &rewrite.path {
        let from = match exchange.target_path.as_str() {
            "" => &exchange.request.path,
            stripped => stripped,
        };
        if let Cow::Owned(mut replaced) = pattern.replace(from, replacement.as_str()) {
            if !replaced.starts_with('/') {
                replaced.insert(0, '/'); // a group that is empty, or begins behind the slash
            }
            canonicalize(replaced.as_bytes(), rules, &mut exchange.target_path).map_err(|why| {
                let detail = format!(
                    "what the route makes of the path is no path: {}",
                    why.detail
                );
                ProxyError::new(Code::AmbiguousPath, detail)
            })?;
        }
    }
    Ok(())
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
