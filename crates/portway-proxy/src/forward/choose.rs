//! Where an exchange goes by what the config says of its kind: the part of a split, the target that a client
//! is to come back to.
//!
//! Must hold: what a client sends chooses among what the config offers, and nothing else.

use http::header::{HeaderValue, SET_COOKIE};
use portway_core::UpstreamId;
use portway_http::{Exchange, Reply};
use portway_plan::{Action, Split};
use portway_upstream::Target;
use portway_upstream::spec::StickySpec;

use crate::worker::Worker;

/// The upstream that an action leads to.
pub(super) fn choose_upstream(worker: &Worker, action: &Action, exchange: &Exchange) -> UpstreamId {
    match action {
        Action::Upstream(id) => *id,
        Action::Split(split) => choose_part(worker, split, exchange),
        _ => unreachable_upstream(),
    }
}

/// `act` only forwards routes with an upstream; the first upstream is as good an answer as any.
fn unreachable_upstream() -> UpstreamId {
    debug_assert!(false, "only routes with an upstream are forwarded");
    UpstreamId(0)
}

fn choose_part(worker: &Worker, split: &Split, exchange: &Exchange) -> UpstreamId {
    let total: u64 = split
        .parts
        .iter()
        .map(|(_, weight)| u64::from(*weight))
        .sum();
    let point = split
        .sticky_by
        .as_ref()
        .and_then(|on| crate::rewrite::hash_of(on, exchange))
        // The high bits of a product spread a hash evenly over any total (Lemire, 2016).
        .map(|hash| ((u128::from(hash) * u128::from(total)) >> 64) as u64)
        .unwrap_or_else(|| worker.random.borrow_mut().u64(0..total.max(1)));
    let mut left = point;
    for (id, weight) in &split.parts {
        match left.checked_sub(u64::from(*weight)) {
            None => return *id,
            Some(rest) => left = rest,
        }
    }
    split
        .parts
        .last()
        .map_or_else(unreachable_upstream, |(id, _)| *id)
}

/// The target that the client's cookie names.
pub(super) fn sticky_key(sticky: &StickySpec, exchange: &Exchange) -> Option<u64> {
    u64::from_str_radix(exchange.request.cookie(&sticky.cookie)?, 16).ok()
}

/// Tells a new client (or one whose target is gone) which target is its own.
pub(super) fn stick(sticky: &StickySpec, exchange: &Exchange, reply: &mut Reply, target: &Target) {
    if sticky_key(sticky, exchange) == Some(target.key) {
        return;
    }
    let age = sticky
        .ttl
        .map_or(String::new(), |ttl| format!("; Max-Age={}", ttl.as_secs()));
    let secure = if exchange.client.secure {
        "; Secure"
    } else {
        ""
    };
    let cookie = format!(
        "{}={:016x}; Path=/; HttpOnly; SameSite=Lax{age}{secure}",
        sticky.cookie, target.key
    );
    if let Ok(value) = HeaderValue::try_from(cookie) {
        reply.headers.append(SET_COOKIE, value);
    }
}
