//! A try over whatever the target picks in the TLS handshake.
//!
//! Must hold: each half keeps its own rules (see the two modules beside this one).

use portway_http::{Exchange, Unsent};

use super::{Attempt, Tried, h1, h2};
use crate::either::Either;

/// Sends the exchange; ready with the reply's head.
pub(super) async fn run(
    attempt: &Attempt<'_>,
    either: &Either,
    exchange: &mut Exchange,
    mut unsent: Unsent,
) -> Tried {
    if exchange.upgrade.asked().is_some() && !exchange.upgrade.asks_for_websocket() {
        // Only HTTP/1 has such a thing.
        return h1::run_apart(attempt, exchange, unsent).await;
    }
    if let Some(conn) = either.take_conn() {
        let kept = conn.clone();
        let mut tried = h1::run_on(attempt, either.conns(), exchange, kept, unsent).await;
        let stale = h1::was_stale(&tried, &conn, exchange);
        match tried.unsent.take() {
            Some(again) if stale => unsent = again,
            rest => {
                tried.unsent = rest;
                return tried;
            }
        }
    }
    h2::run(attempt, either.streams(), exchange, unsent).await
}
