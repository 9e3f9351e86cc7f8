//! The answer to an issuer of certificates that checks a name by a request.
//!
//! Must hold: only while an order is under way, and only for its tokens.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use portway_acme::Keeper;
use portway_http::{Body, Exchange, Reply};

use super::without_body_for_head;

/// Where issuers look (RFC 8555, section 8.3).
pub const CHECKS: &str = "/.well-known/acme-challenge/";

/// The answer for a token; `None` if nobody waits for it here.
pub fn check_of_name(keeper: &Keeper, token: &str, exchange: &Exchange) -> Option<Reply> {
    if !matches!(exchange.request.method, Method::GET | Method::HEAD) {
        return None;
    }
    let answer = keeper.answer(token)?;
    let reply = Reply::new(
        StatusCode::OK,
        Body::from(Bytes::from(answer.into_string())),
    );
    let kind = HeaderValue::from_static("application/octet-stream");
    let reply = reply.with_header(CONTENT_TYPE, kind);
    Some(without_body_for_head(exchange, reply))
}
