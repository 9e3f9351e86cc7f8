//! The `jwt` type of the auth filter: a bearer token in `Authorization` (RFC 6750, section 2.1).
//!
//! Must hold: headers made of claims are taken from the client first, in every spelling that a target
//! may read as the same name, on excluded paths too; two Authorization fields are refused, for the
//! target might read the other. The token itself travels on: targets may want to look at it.

use std::sync::Arc;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};
use portway_config::Node;
use portway_config::decode::was_refused;
use portway_core::Code;
use portway_filter::{Built, Compile, Filter, Flow, Hooks, Step};
use portway_http::Exchange;

use super::cache::Cache;
use super::token::{CLOCK_SKEW_MAX, Reason, Rules, Verifier};
use super::{Algorithm, AuthConfig, Excluded};
use crate::names::{header_name, is_hop_by_hop, remove_twins};

/// Makes the filter; `None` after a problem was noted.
pub fn compile(
    node: &Node,
    config: &AuthConfig,
    excluded: Option<Excluded>,
    cx: &mut Compile<'_>,
) -> Option<Built> {
    let algorithms = match config.algorithms.as_deref() {
        None | Some([]) => &[Algorithm::Hs256],
        Some(list) => list,
    };
    let secret = secret(node, config, algorithms, cx);
    let claims_to_headers = claims_to_headers(config, cx);
    if config.clock_skew.value() > CLOCK_SKEW_MAX {
        let what = "so large a clock skew lets tokens live on long after their end";
        cx.error(config.clock_skew.span(), what, "use at most 1h");
    }
    let require = config.require.clone();
    let (permissions, roles) = require
        .map(|r| (r.permissions, r.roles))
        .unwrap_or_default();
    Some(Built::Filter(Arc::new(Jwt {
        verifier: Verifier::new(Rules {
            algorithms: algorithms.iter().map(|a| to_jsonwebtoken(*a)).collect(),
            secret: secret?,
            issuers: config.issuer.to_vec(),
            audiences: config.audience.to_vec(),
            clock_skew: config.clock_skew.value(),
            require_exp: config.require_exp,
            claims_to_headers: claims_to_headers?,
            permissions,
            roles,
        }),
        cache: Cache::default(),
        excluded: excluded?,
    })))
}

fn secret(
    node: &Node,
    config: &AuthConfig,
    algorithms: &[Algorithm],
    cx: &mut Compile<'_>,
) -> Option<Box<[u8]>> {
    let Some(secret) = &config.secret else {
        if !was_refused(node, "secret", &config.secret) {
            let hint = "add the secret shared with the issuer, as in `secret: ${JWT_SECRET}`";
            cx.error(&node.span, "the key `secret` is missing", hint);
        }
        return None;
    };
    if secret.is_empty() {
        let what = "with an empty secret anyone could sign tokens";
        cx.error(
            secret.span(),
            what,
            "check that the variable it comes from is set",
        );
        return None;
    }
    let bytes_min = algorithms
        .iter()
        .map(|a| key_bytes_min(*a))
        .max()
        .unwrap_or_default();
    if secret.expose().len() < bytes_min {
        let what = format!("the secret is shorter than {bytes_min} bytes and could be guessed");
        cx.warn(secret.span(), what, "make one with `openssl rand -hex 32`");
    }
    Some(secret.expose().as_bytes().into())
}

/// RFC 7518, section 3.2: a key as long as the hash or longer.
fn key_bytes_min(algorithm: Algorithm) -> usize {
    match algorithm {
        Algorithm::Hs256 => 32,
        Algorithm::Hs384 => 48,
        Algorithm::Hs512 => 64,
    }
}

fn to_jsonwebtoken(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::Hs384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::Hs512 => jsonwebtoken::Algorithm::HS512,
    }
}

fn claims_to_headers(
    config: &AuthConfig,
    cx: &mut Compile<'_>,
) -> Option<Vec<(String, HeaderName)>> {
    let mut list = Vec::new();
    for (claim, header) in config.claims_to_headers.iter() {
        let Some(name) = header_name(header, cx.diagnostics) else {
            continue;
        };
        let carries_message = name == http::header::HOST || name == http::header::CONTENT_LENGTH;
        if carries_message || is_hop_by_hop(&name) {
            let what = format!("`{}` cannot carry a claim", **header);
            cx.error(
                header.span(),
                what,
                "use a name of its own, as in X-User-ID",
            );
            continue;
        }
        list.push((claim.to_string(), name));
    }
    (list.len() == config.claims_to_headers.len()).then_some(list)
}

struct Jwt {
    verifier: Verifier,
    cache: Cache,
    excluded: Excluded,
}

impl Jwt {
    fn decide(&self, exchange: &mut Exchange) -> Result<(), (Code, &'static str, HeaderValue)> {
        let unauthorized = |r: Reason| (Code::Unauthorized, r.as_str(), r.challenge());
        let token = bearer(&exchange.request.headers).map_err(unauthorized)?;
        let now = exchange.started_wall_ns / 1_000_000_000;
        let verified = self
            .cache
            .verify(token, &self.verifier, now)
            .map_err(unauthorized)?;
        exchange.consumer.clone_from(&verified.consumer);
        if !verified.enough {
            let detail = "the token does not grant what this route requires";
            let challenge = HeaderValue::from_static("Bearer error=\"insufficient_scope\"");
            return Err((Code::Forbidden, detail, challenge));
        }
        for (name, value) in &verified.headers {
            exchange.request.headers.insert(name, value.clone());
        }
        exchange.extensions.insert(Arc::clone(&verified.claims));
        Ok(())
    }
}

impl Filter for Jwt {
    fn hooks(&self) -> Hooks {
        Hooks::Request
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let headers = &mut exchange.request.headers;
        for (_, name) in &self.verifier.rules().claims_to_headers {
            headers.remove(name);
            remove_twins(headers, name);
        }
        if self.excluded.matches(&exchange.request.path) {
            return Step::Now(Flow::Continue);
        }
        let Err((code, detail, challenge)) = self.decide(exchange) else {
            return Step::Now(Flow::Continue);
        };
        let reply = exchange.refuse(code, detail);
        Step::Now(Flow::stop(reply.with_header(WWW_AUTHENTICATE, challenge)))
    }
}

/// The token of the one Authorization field, whose scheme is case-insensitive (RFC 9110, 11.1).
fn bearer(headers: &HeaderMap) -> Result<&str, Reason> {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let field = fields.next().ok_or(Reason::Missing)?;
    if fields.next().is_some() {
        return Err(Reason::Several);
    }
    let text = field.to_str().map_err(|_| Reason::Malformed)?;
    let (scheme, token) = text.split_once(' ').ok_or(Reason::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Reason::Missing);
    }
    Ok(token.trim())
}
