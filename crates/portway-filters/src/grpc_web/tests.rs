use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use portway_core::{Code, ProxyError};
use portway_http::body::{BodyStream, PollFrame};
use portway_http::{BodyLength, Frame};

use super::*;
use crate::testing::{chain, exchange, header, request, response};

struct Frames(VecDeque<Result<Frame, ProxyError>>);

impl BodyStream for Frames {
    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> PollFrame {
        Poll::Ready(self.0.pop_front())
    }

    fn length(&self) -> BodyLength {
        BodyLength::Unknown
    }
}

fn body(frames: impl IntoIterator<Item = Result<Frame, ProxyError>>) -> Body {
    Body::Stream(Box::pin(Frames(frames.into_iter().collect())))
}

fn data(octets: &'static [u8]) -> Result<Frame, ProxyError> {
    Ok(Frame::Data(Bytes::from_static(octets)))
}

fn trailers(status: &'static str) -> Result<Frame, ProxyError> {
    let name = HeaderName::from_static("grpc-status");
    let value = HeaderValue::from_static(status);
    Ok(Frame::Trailers(HeaderMap::from_iter([(name, value)])))
}

/// All of a body's data, frame by frame.
fn read(body: &mut Body) -> Vec<Result<Bytes, Code>> {
    let mut cx = Context::from_waker(Waker::noop());
    let mut all = Vec::new();
    while let Poll::Ready(Some(frame)) = body.poll_frame(&mut cx) {
        all.push(match frame {
            Ok(Frame::Data(data)) => Ok(data),
            Ok(Frame::Trailers(_)) => panic!("trailers"),
            Err(error) => Err(error.kind),
        });
    }
    all
}

/// An exchange that asks in this form, after the request hook.
fn asked(content_type: &str, more: &[(&'static str, &str)], body: Body) -> Exchange {
    let mut fields = vec![("content-type", content_type)];
    fields.extend(more);
    let mut exchange = exchange(&fields);
    exchange.request.method = Method::POST;
    exchange.body = body;
    assert!(request(&chain(kind(), "{}"), &mut exchange).is_none());
    exchange
}

fn answered(exchange: &mut Exchange, content_type: &'static str, body: Body) -> Reply {
    let mut reply = Reply::new(StatusCode::OK, body)
        .with_header(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response(&chain(kind(), "{}"), exchange, &mut reply);
    reply
}

const MESSAGE: &[u8] = b"\0\0\0\0\x02hi";
const OK: &[u8] = b"\x80\0\0\0\x10grpc-status: 0\r\n";

#[test]
fn a_binary_call_becomes_a_grpc_call_and_its_trailers_a_frame() {
    let mut exchange = asked("application/grpc-web+proto", &[], body([data(MESSAGE)]));
    assert!(grpc::is_call(&exchange.request));
    assert_eq!(
        exchange.request.headers["content-type"],
        "application/grpc+proto"
    );
    assert_eq!(read(&mut exchange.body), [Ok(Bytes::from_static(MESSAGE))]);
    let from_service = body([data(MESSAGE), trailers("0")]);
    let mut reply = answered(&mut exchange, "application/grpc+proto", from_service);
    assert_eq!(reply.headers["content-type"], "application/grpc-web+proto");
    let frames = read(&mut reply.body);
    assert_eq!(
        frames,
        [Ok(Bytes::from_static(MESSAGE)), Ok(Bytes::from_static(OK))]
    );
    assert!(reply.body.is_empty());
}

#[test]
fn a_text_call_is_decoded_and_answered_piece_by_piece_in_text() {
    let text = body([
        data(b"AAAA"),
        data(b"AA"),
        data(b"JoaQ=="),
        Ok(Frame::Trailers(HeaderMap::new())),
    ]);
    let mut exchange = asked("application/grpc-web-text", &[], text);
    assert_eq!(exchange.request.headers["content-type"], "application/grpc");
    let octets: Vec<u8> = read(&mut exchange.body)
        .into_iter()
        .flat_map(|piece| piece.unwrap())
        .collect();
    assert_eq!(octets, MESSAGE);
    let from_service = body([data(MESSAGE), trailers("0")]);
    let mut reply = answered(&mut exchange, "application/grpc", from_service);
    assert_eq!(reply.headers["content-type"], "application/grpc-web-text");
    let frames = read(&mut reply.body);
    assert_eq!(frames[0].as_deref(), Ok(&b"AAAAAAJoaQ=="[..]));
    assert_eq!(
        frames[1].as_deref(),
        Ok(&b"gAAAABBncnBjLXN0YXR1czogMA0K"[..])
    );
}

#[test]
fn the_form_of_the_reply_may_be_asked_for() {
    let accept = [("accept", "application/grpc-web-text")];
    let mut exchange = asked("application/grpc-web", &accept, Body::Empty);
    assert!(!exchange.request.headers.contains_key("accept"));
    let reply = answered(&mut exchange, "application/grpc", body([]));
    assert_eq!(reply.headers["content-type"], "application/grpc-web-text");
}

#[test]
fn text_that_is_none_breaks_the_request() {
    for bad in [&b"AAA!"[..], b"AAAAA"] {
        let mut exchange = asked("application/grpc-web-text", &[], body([data(bad)]));
        let frames = read(&mut exchange.body);
        assert_eq!(frames.last(), Some(&Err(Code::BadRequest)), "{frames:?}");
    }
}

#[test]
fn a_refusal_keeps_its_status_in_the_head() {
    let mut exchange = asked("application/grpc-web", &[], Body::Empty);
    let mut reply = exchange.refuse(Code::Unauthorized, "no key");
    response(&chain(kind(), "{}"), &mut exchange, &mut reply);
    assert_eq!(reply.headers["content-type"], "application/grpc-web");
    assert_eq!(reply.headers["grpc-status"], "16");
    assert!(reply.body.is_empty());
}

#[test]
fn a_reply_that_breaks_off_or_says_nothing_ends_with_a_status() {
    let broken = ProxyError::new(Code::UpstreamReset, "10.0.0.1");
    for (last, status) in [
        (Some(Err(broken)), "grpc-status: 14\r\n"),
        (None, "grpc-status: 2\r\n"),
    ] {
        let mut exchange = asked("application/grpc-web", &[], Body::Empty);
        exchange.notes.grpc = Some(grpc::Ending::default());
        let frames = [Some(data(MESSAGE)), last].into_iter().flatten();
        let mut reply = answered(&mut exchange, "application/grpc", body(frames));
        let frames = read(&mut reply.body);
        let frame = frames[1].as_ref().unwrap();
        assert_eq!(frame[0], 0x80);
        let lines = String::from_utf8_lossy(&frame[5..]).into_owned();
        assert!(lines.starts_with(status), "{lines}");
        assert!(!lines.contains("10.0.0.1"), "{lines}");
    }
    let mut exchange = asked("application/grpc-web", &[], Body::Empty);
    let gone = ProxyError::new(Code::ClientGone, "");
    let mut reply = answered(&mut exchange, "application/grpc", body([Err(gone)]));
    assert_eq!(read(&mut reply.body), [Err(Code::ClientGone)]);
}

#[test]
fn what_is_no_call_passes_as_it_is() {
    let mut exchange = asked("application/grpc", &[], body([data(b"x")]));
    let mut reply = answered(&mut exchange, "application/grpc", body([data(b"y")]));
    assert_eq!(reply.headers["content-type"], "application/grpc");
    assert_eq!(read(&mut reply.body), [Ok(Bytes::from_static(b"y"))]);
    let mut web = asked("application/grpc-web", &[], Body::Empty);
    let reply = answered(&mut web, "text/html", body([data(b"y")]));
    assert_eq!(reply.headers["content-type"], "text/html");
}

#[test]
fn a_page_may_see_the_status_where_its_origin_is_allowed() {
    let mut exchange = asked("application/grpc-web", &[], Body::Empty);
    let exposed = "access-control-expose-headers";
    let mut reply = Reply::new(StatusCode::OK, Body::Empty)
        .with_header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response(&chain(kind(), "{}"), &mut exchange, &mut reply);
    assert_eq!(header(&reply, exposed), "");
    let any = HeaderValue::from_static("*");
    reply.headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, any);
    response(
        &chain(kind(), "{expose_status: false}"),
        &mut exchange,
        &mut reply,
    );
    assert_eq!(header(&reply, exposed), "");
    response(&chain(kind(), "{}"), &mut exchange, &mut reply);
    assert!(header(&reply, exposed).contains("grpc-status"));
}
