//! Checks over HTTP/2: a GET, and gRPC's own
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).
//!
//! Must hold: the two small messages of the gRPC check are written and read by hand, strictly: a target
//! is well only if it says SERVING and ends the call with OK.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, StatusCode, Version};
use portway_core::GrpcStatus;
use portway_http::grpc;
use portway_http::h2::ask::{Answer, ask};
use tokio::io::{AsyncRead, AsyncWrite};

/// `GET path`.
pub(super) fn get(
    scheme: &str,
    addr: SocketAddr,
    path: &str,
    host: Option<&str>,
) -> Result<Request<Bytes>, String> {
    let host = host.map_or_else(|| addr.to_string(), str::to_owned);
    question(Method::GET, &format!("{scheme}://{host}{path}"))
}

/// The status of the reply.
pub(super) async fn status(
    io: impl AsyncRead + AsyncWrite + Unpin,
    question: Request<Bytes>,
) -> Result<StatusCode, String> {
    Ok(ask(io, question).await?.status)
}

/// Whether the service is serving.
pub(super) fn check(
    scheme: &str,
    addr: SocketAddr,
    service: &str,
) -> Result<Request<Bytes>, String> {
    let url = format!("{scheme}://{addr}/grpc.health.v1.Health/Check");
    let mut question = question(Method::POST, &url)?;
    for (name, value) in [("content-type", "application/grpc"), ("te", "trailers")] {
        let value = http::HeaderValue::from_static(value);
        question.headers_mut().insert(name, value);
    }
    *question.body_mut() = message(service);
    Ok(question)
}

/// Whether the answer is SERVING; or why not.
pub(super) async fn serving(
    io: impl AsyncRead + AsyncWrite + Unpin,
    question: Request<Bytes>,
) -> Result<(), String> {
    judge(&ask(io, question).await?)
}

fn question(method: Method, url: &str) -> Result<Request<Bytes>, String> {
    Request::builder()
        .method(method)
        .version(Version::HTTP_2)
        .uri(url)
        .header("user-agent", "portway-health")
        .body(Bytes::new())
        .map_err(|error| format!("the check cannot be asked: {error}"))
}

/// `HealthCheckRequest` with its one field, `service` (1, a string), behind gRPC's prefix.
fn message(service: &str) -> Bytes {
    let mut field = Vec::with_capacity(service.len() + 12);
    if !service.is_empty() {
        field.push(0x0a);
        let mut length = service.len();
        while length >= 0x80 {
            field.push((length as u8 & 0x7f) | 0x80);
            length >>= 7;
        }
        field.push(length as u8);
        field.extend_from_slice(service.as_bytes());
    }
    let mut out = vec![0];
    out.extend_from_slice(&(field.len() as u32).to_be_bytes());
    out.extend_from_slice(&field);
    Bytes::from(out)
}

fn judge(answer: &Answer) -> Result<(), String> {
    if answer.status != StatusCode::OK {
        return Err(format!("status {}, wanted 200", answer.status.as_u16()));
    }
    let ended = answer.trailers.as_ref().and_then(grpc::status);
    let ended = ended.or_else(|| grpc::status(&answer.headers));
    match ended.unwrap_or(GrpcStatus::UNKNOWN) {
        status if status.code() == 0 => {}
        status => return Err(format!("gRPC status {status}")),
    }
    match answer.body.as_ref() {
        // `status` (1, a varint) is SERVING (1).
        [0, 0, 0, 0, 2, 0x08, 1] => Ok(()),
        [0, 0, 0, 0, 2, 0x08, 2] => Err("not serving".to_owned()),
        _ => Err("the service is not known to be serving".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};

    fn answer(body: &'static [u8], status: &'static str) -> Answer {
        let trailers = [("grpc-status", status)].map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        Answer {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::from_static(body),
            trailers: Some(HeaderMap::from_iter(trailers)),
        }
    }

    #[test]
    fn only_serving_and_ok_is_well() {
        assert_eq!(judge(&answer(&[0, 0, 0, 0, 2, 8, 1], "0")), Ok(()));
        for (body, status) in [
            (&[0, 0, 0, 0, 2, 8, 2][..], "0"),
            (&[0, 0, 0, 0, 0], "0"),
            (&[], "0"),
            (&[0, 0, 0, 0, 2, 8, 1], "14"),
            (&[], "12"),
        ] {
            assert!(judge(&answer(body, status)).is_err(), "{body:?} {status}");
        }
    }

    #[test]
    fn names_the_service_in_its_message() {
        assert_eq!(message("")[..], [0, 0, 0, 0, 0]);
        assert_eq!(message("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
        let long = "x".repeat(300);
        assert_eq!(message(&long)[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 2]);
    }
}
