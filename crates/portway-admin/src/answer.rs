//! Answers of the operators' API.
//!
//! Must hold: an answer says that it must not be stored, and a browser must not guess its type.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

/// An answer with its whole body.
pub(crate) type Answered = Response<Full<Bytes>>;

/// An answer of any type.
pub(crate) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Answered {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// A JSON answer.
pub(crate) fn json_answer(status: StatusCode, value: &Value) -> Answered {
    answer(status, "application/json", lines(value))
}

/// A problem (RFC 9457) with a stable code.
pub(crate) fn problem(status: StatusCode, code: &str, detail: &str) -> Answered {
    problem_with(status, code, detail, json!({}))
}

/// A problem with members of its own.
pub(crate) fn problem_with(status: StatusCode, code: &str, detail: &str, more: Value) -> Answered {
    let mut value = json!({
        "type": "about:blank",
        "title": status.canonical_reason().unwrap_or("Error"),
        "status": status.as_u16(),
        "code": code,
        "detail": detail,
    });
    if let (Value::Object(all), Value::Object(more)) = (&mut value, more) {
        all.extend(more);
    }
    answer(status, "application/problem+json", lines(&value))
}

fn lines(value: &Value) -> String {
    format!("{value:#}\n")
}
