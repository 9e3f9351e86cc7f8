//! gRPC as far as a gateway must know it: which exchanges are calls, how long they may take, how they
//! ended, and how to refuse one (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
//!
//! Must hold: a refused call gets a trailers-only reply, since its client reads no other; messages are
//! never looked into here. gRPC-Web is not gRPC here.

pub mod messages;
pub mod web;

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use portway_core::{GrpcStatus, ProxyError, Side};

use crate::{Body, Reply, Request};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// How a call ended, once that is known: the reply's head or its trailers say it.
pub type Ending = Rc<Cell<Option<GrpcStatus>>>;

/// Whether the request is a gRPC call.
#[must_use]
pub fn is_call(request: &Request) -> bool {
    request.method == Method::POST && is_grpc(&request.headers)
}

/// Whether the body is gRPC: `application/grpc`, alone or with `+proto` and the like; not
/// `application/grpc-web`.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let value = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    value.is_some_and(|value| {
        value.len() >= GRPC.len()
            && value[..GRPC.len()].eq_ignore_ascii_case(GRPC)
            && matches!(value.get(GRPC.len()), None | Some(b'+' | b';' | b' '))
    })
}

/// How long the caller waits (`grpc-timeout`): at most eight digits and a unit. `None` if it does not
/// say, or says something else.
#[must_use]
pub fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(GRPC_TIMEOUT)?.as_bytes();
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let amount = digits
        .iter()
        .fold(0u64, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(amount * 3600),
        b'M' => Duration::from_secs(amount * 60),
        b'S' => Duration::from_secs(amount),
        b'm' => Duration::from_millis(amount),
        b'u' => Duration::from_micros(amount),
        b'n' => Duration::from_nanos(amount),
        _ => return None,
    })
}

/// Tells the target how much is left of the time that the caller waits, if that is less than what the
/// caller said by more than `slack`. A caller that said nothing says nothing.
pub fn lower_timeout(headers: &mut HeaderMap, left: Duration, slack: Duration) {
    if timeout(headers).is_some_and(|said| left + slack < said) {
        headers.insert(GRPC_TIMEOUT, timeout_value(left));
    }
}

/// The finest unit in which eight digits are enough.
fn timeout_value(time: Duration) -> HeaderValue {
    const MOST: u128 = 99_999_999;
    let units = [
        (time.as_micros(), 'u'),
        (time.as_millis(), 'm'),
        (u128::from(time.as_secs()), 'S'),
        (u128::from(time.as_secs() / 3600).min(MOST), 'H'),
    ];
    let (amount, unit) = units
        .into_iter()
        .find(|(amount, _)| *amount <= MOST)
        .expect("the last one is not over it");
    HeaderValue::try_from(format!("{amount}{unit}")).expect("digits and a letter")
}

/// The status in a reply's head (trailers-only) or in its trailers.
#[must_use]
pub fn status(fields: &HeaderMap) -> Option<GrpcStatus> {
    let value = fields.get(GRPC_STATUS)?;
    Some(GrpcStatus::parse(value.as_bytes()))
}

/// How a reply without `grpc-status` is to be understood
/// (<https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>).
#[must_use]
pub fn status_of_http(status: StatusCode) -> GrpcStatus {
    let code = match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502..=504 => 14,
        _ => 2,
    };
    GrpcStatus::from_code(code).unwrap_or(GrpcStatus::UNKNOWN)
}

/// The gateway's refusal of a call, trailers-only. What is said follows the rules of problem documents:
/// what the gateway and its upstreams did is for the log.
#[must_use]
pub fn refusal(error: &ProxyError) -> Reply {
    let mut reply = Reply::new(StatusCode::OK, Body::Empty)
        .with_header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    reply.headers.extend(ending_fields(error));
    reply
}

/// The fields that end a call for this reason: in the head of a refusal, or as the trailers of a reply
/// that broke off.
#[must_use]
pub fn ending_fields(error: &ProxyError) -> HeaderMap {
    let code = error.kind;
    let mut message = String::from(code.title());
    if error.side == Side::Downstream && !error.detail.is_empty() {
        message.push_str(": ");
        message.push_str(&error.detail);
    }
    let mut fields = HeaderMap::with_capacity(2);
    let status = HeaderValue::from(u16::from(code.grpc_status()));
    fields.insert(GRPC_STATUS, status);
    if let Ok(message) = HeaderValue::try_from(percent_encoded(&message)) {
        fields.insert(GRPC_MESSAGE, message);
    }
    fields
}

/// Percent-encoding of `grpc-message`: all but visible ASCII and the space, and `%` itself.
fn percent_encoded(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use portway_core::Code;

    fn with(name: HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn knows_a_call_by_its_content_type() {
        for (value, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC; charset=x", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&with(CONTENT_TYPE, value)), is, "{value}");
        }
    }

    #[test]
    fn reads_timeouts_of_every_unit_and_nothing_else() {
        let read = |value| timeout(&with(GRPC_TIMEOUT, value));
        assert_eq!(read("2H"), Some(Duration::from_secs(7200)));
        assert_eq!(read("1M"), Some(Duration::from_secs(60)));
        assert_eq!(read("99999999S"), Some(Duration::from_secs(99_999_999)));
        assert_eq!(read("100m"), Some(Duration::from_millis(100)));
        assert_eq!(read("5u"), Some(Duration::from_micros(5)));
        assert_eq!(read("0n"), Some(Duration::ZERO));
        for bad in ["", "S", "1", "1s", "-1S", "123456789S", "1.5S", " 1S"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_timeout_is_lowered_and_never_raised() {
        let lowered = |said: &'static str, left: Duration| {
            let mut headers = with(GRPC_TIMEOUT, said);
            lower_timeout(&mut headers, left, Duration::from_millis(10));
            headers[GRPC_TIMEOUT].to_str().unwrap().to_owned()
        };
        let seconds = Duration::from_secs;
        assert_eq!(lowered("5S", seconds(5)), "5S");
        assert_eq!(lowered("5S", seconds(9)), "5S");
        assert_eq!(lowered("5S", Duration::from_millis(4995)), "5S");
        assert_eq!(lowered("5S", Duration::from_micros(1_500_001)), "1500001u");
        assert_eq!(lowered("1H", seconds(600)), "600000m");
        assert_eq!(lowered("9999H", seconds(30_000_000)), "30000000S");
        assert_eq!(lowered("99999999H", seconds(360_000_000)), "100000H");
        assert_eq!(lowered("1S", Duration::ZERO), "0u");
        let mut none = HeaderMap::new();
        lower_timeout(&mut none, Duration::ZERO, Duration::ZERO);
        assert!(none.is_empty());
    }

    #[test]
    fn a_refusal_says_why_in_one_line_of_ascii() {
        let error = ProxyError::new(Code::NoRoute, "no route for `/é%\n`");
        let reply = refusal(&error);
        assert_eq!(reply.headers["grpc-status"], "12");
        let message = reply.headers["grpc-message"].to_str().unwrap();
        assert!(
            message.ends_with(": no route for `/%C3%A9%25%0A`"),
            "{message}"
        );
        let secret = refusal(&ProxyError::new(Code::ConnectFailure, "10.0.0.1:80"));
        let message = secret.headers["grpc-message"].to_str().unwrap();
        assert_eq!(message, Code::ConnectFailure.title());
    }
}
