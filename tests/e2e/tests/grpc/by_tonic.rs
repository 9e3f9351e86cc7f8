//! tonic as client and as server, and its gRPC-Web beside the gateway's. Messages are raw bytes.

mod echo;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use bytes::Bytes;
use portway_testkit::{Folder, Gateway, RawClient, RawReply, eventually};
use tonic::codegen::CompressionEncoding;
use tonic::codegen::tokio_stream::{self, StreamExt};
use tonic::metadata::MetadataValue;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use echo::{Raw, Server};

use crate::http2_upstream::yaml;
use crate::support::h2_origin::H2Origin;

type Client = tonic::client::Grpc<Channel>;

fn method(name: &str) -> http::uri::PathAndQuery {
    format!("/test.Echo/{name}").parse().expect("a path")
}

/// Runs something with a client that calls through a gateway before a tonic server.
fn with_client<F: Future<Output = ()>>(act: impl FnOnce(Client) -> F) {
    let server = Server::start();
    let gateway = Gateway::start(&yaml(server.addr, "", ""));
    let url = format!("http://{}", gateway.addr());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let channel = Endpoint::from_shared(url).expect("a URL").connect_lazy();
        let client = Client::new(channel).max_decoding_message_size(64 << 20);
        let limited = tokio::time::timeout(Duration::from_secs(30), act(client));
        limited.await.expect("done in time");
    });
}

/// To be waited for before each call.
async fn ready(client: &mut Client) {
    client.ready().await.expect("a connection");
}

#[test]
fn unary_calls_pass_with_their_metadata() {
    with_client(|mut client| async move {
        let mut request = Request::new(Bytes::from_static(b"hello"));
        let fields = request.metadata_mut();
        fields.insert("x-text", "a, b".parse().expect("text"));
        fields.insert_bin("x-data-bin", MetadataValue::from_bytes(&[0, 255, 10]));
        ready(&mut client).await;
        let reply = client.unary(request, method("Unary"), Raw).await;
        let reply = reply.expect("a reply");
        assert_eq!(reply.metadata().get("x-text").expect("it came"), "a, b");
        let octets = reply.metadata().get_bin("x-data-bin").expect("it came");
        assert_eq!(octets.to_bytes().expect("octets"), &[0, 255, 10][..]);
        assert_eq!(reply.into_inner(), "hello");
        let big = Bytes::from(vec![7; 16 << 20]);
        ready(&mut client).await;
        let reply = client
            .unary(Request::new(big.clone()), method("Unary"), Raw)
            .await;
        assert_eq!(reply.expect("a reply").into_inner(), big);
    });
}

#[test]
fn streams_pass_in_each_direction() {
    with_client(|mut client| async move {
        let messages = tokio_stream::iter((0..100).map(|n| Bytes::from(vec![0; n])));
        ready(&mut client).await;
        let counted = client.client_streaming(Request::new(messages), method("ClientStream"), Raw);
        assert_eq!(counted.await.expect("a reply").into_inner(), "100 4950");
        let request = Request::new(Bytes::from_static(b"50 1000"));
        ready(&mut client).await;
        let replies = client
            .server_streaming(request, method("ServerStream"), Raw)
            .await;
        let replies: Vec<Result<Bytes, Status>> =
            replies.expect("a reply").into_inner().collect().await;
        assert_eq!(replies.len(), 50);
        assert!(
            replies
                .iter()
                .all(|m| m.as_ref().is_ok_and(|m| m.len() == 1000))
        );
        let (send, receive) = tokio::sync::mpsc::channel(1);
        let sent = tokio_stream::wrappers::ReceiverStream::new(receive);
        ready(&mut client).await;
        let replies = client
            .streaming(Request::new(sent), method("Bidi"), Raw)
            .await;
        let mut replies = replies.expect("a reply").into_inner();
        for word in ["one", "two"] {
            send.send(Bytes::from(word)).await.expect("room");
            let reply = replies
                .message()
                .await
                .expect("a reply")
                .expect("a message");
            assert_eq!(reply, word);
        }
        drop(send);
        assert_eq!(replies.message().await.expect("an end"), None);
    });
}

/// All of them over the client's one connection; each says something, hears it, and then the next round.
#[test]
fn a_thousand_streams_are_open_at_once() {
    const STREAMS: usize = 1000;
    with_client(|mut client| async move {
        let mut open = Vec::new();
        for _ in 0..STREAMS {
            let (send, receive) = tokio::sync::mpsc::channel(1);
            let sent = tokio_stream::wrappers::ReceiverStream::new(receive);
            ready(&mut client).await;
            let replies = client.streaming(Request::new(sent), method("Bidi"), Raw);
            open.push((send, replies.await.expect("a reply").into_inner()));
        }
        for round in ["one", "two"] {
            for (send, _) in &open {
                send.send(Bytes::from(round)).await.expect("room");
            }
            for (_, replies) in &mut open {
                let reply = replies.message().await.expect("a reply");
                assert_eq!(reply.expect("a message"), round);
            }
        }
        for (send, mut replies) in open {
            drop(send);
            assert_eq!(replies.message().await.expect("an end"), None);
        }
    });
}

#[test]
fn failures_pass_with_their_words_and_details() {
    with_client(|mut client| async move {
        let nothing = || Request::new(Bytes::new());
        ready(&mut client).await;
        let refused = client.unary(nothing(), method("Refuse"), Raw).await;
        let refused = refused.expect_err("a refusal");
        assert_eq!(refused.code(), Code::FailedPrecondition);
        assert_eq!(refused.message(), "no, not é%");
        assert_eq!(refused.details(), b"\0\xff");
        ready(&mut client).await;
        let late = client
            .server_streaming(nothing(), method("RefuseLate"), Raw)
            .await;
        let mut late = late.expect("a reply").into_inner();
        assert_eq!(late.message().await.expect("one"), Some(Bytes::from("one")));
        let failed = late.message().await.expect_err("a failure");
        assert_eq!(
            (failed.code(), failed.message()),
            (Code::DataLoss, "after one")
        );
        ready(&mut client).await;
        let unknown = client.unary(nothing(), method("Nothing"), Raw).await;
        assert_eq!(unknown.expect_err("a refusal").code(), Code::Unimplemented);
        let mut hasty = nothing();
        hasty.set_timeout(Duration::from_millis(200));
        ready(&mut client).await;
        let late = client.unary(hasty, method("Silent"), Raw).await;
        let code = late.expect_err("no reply").code();
        // Whoever was first: tonic says CANCELLED of its own deadline.
        assert!(
            matches!(code, Code::DeadlineExceeded | Code::Cancelled),
            "{code:?}"
        );
    });
}

#[test]
fn compressed_messages_pass_as_they_are() {
    with_client(|client| async move {
        let mut client = client
            .send_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Gzip);
        let message = Bytes::from("again and ".repeat(50_000));
        ready(&mut client).await;
        let reply = client.unary(Request::new(message.clone()), method("Unary"), Raw);
        let reply = reply.await.expect("a reply");
        assert_eq!(
            reply.metadata().get("grpc-encoding").expect("compressed"),
            "gzip"
        );
        assert_eq!(reply.into_inner(), message);
    });
}

/// A message as gRPC frames it.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend((message.len() as u32).to_be_bytes());
    frame.extend(message);
    frame
}

fn ask(addr: std::net::SocketAddr, content_type: &str, path: &str, body: &[u8]) -> RawReply {
    let mut request = format!(
        "POST /test.Echo/{path} HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\n\
         X-Grpc-Web: 1\r\nX-Text: t\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    request.extend(body);
    RawClient::ask(addr, request)
}

/// A text's octets, by a reader that shares no code with the gateway's.
fn from_text(text: &[u8]) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        other => panic!("{other}"),
    };
    let group = |group: &[u8]| {
        let padding = group.iter().filter(|c| **c == b'=').count();
        let bits = group.iter().fold(0u32, |bits, c| {
            bits << 6 | u32::from(if *c == b'=' { 0 } else { value(*c) })
        });
        bits.to_be_bytes()[1..4 - padding].to_vec()
    };
    text.chunks(4).flat_map(group).collect()
}

/// Messages, and the lines of the trailers.
fn frames(mut body: &[u8]) -> (Vec<Vec<u8>>, Vec<String>) {
    let (mut messages, mut trailers) = (Vec::new(), Vec::new());
    while let [flag, a, b, c, d, rest @ ..] = body {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (frame, behind) = rest.split_at(length);
        match *flag {
            0 => messages.push(frame.to_vec()),
            0x80 => trailers.extend(String::from_utf8_lossy(frame).lines().map(|line| {
                // Whether a space follows the colon is the writer's choice.
                line.replace(": ", ":")
            })),
            other => panic!("flag {other}"),
        }
        body = behind;
    }
    assert!(body.is_empty());
    trailers.sort();
    (messages, trailers)
}

#[test]
fn browsers_get_what_tonics_own_translator_gives_them() {
    let server = Server::start();
    let oracle = Server::start_web();
    let route = "filters: [ { grpc_web: {} } ]";
    let gateway = Gateway::start(&yaml(server.addr, "", route));
    for (path, message) in [
        ("Unary", &b"hello"[..]),
        ("Unary", b""),
        ("ServerStream", b"20 1000"),
        ("RefuseLate", b""),
        ("Refuse", b""),
        ("Nothing", b""),
    ] {
        let binary = framed(message);
        let theirs = ask(oracle.addr, "application/grpc-web+proto", path, &binary);
        let ours = ask(gateway.addr(), "application/grpc-web+proto", path, &binary);
        assert_eq!(ours.status, theirs.status, "{path}");
        let field = |reply: &RawReply, name: &str| reply.field(name).map(str::to_owned);
        let content_type = field(&ours, "content-type").unwrap_or_default();
        assert!(content_type.starts_with("application/grpc-web"), "{path}");
        for name in ["grpc-status", "grpc-message", "x-text"] {
            assert_eq!(field(&ours, name), field(&theirs, name), "{path} {name}");
        }
        // A refusal that has its status in the head needs no frame.
        let (messages, trailers) = frames(&ours.body);
        let (their_messages, their_trailers) = frames(&theirs.body);
        assert_eq!(messages, their_messages, "{path}");
        if ours.field("grpc-status").is_none() {
            assert_eq!(trailers, their_trailers, "{path}");
        }
        let text = portway_http::grpc::web::Form::Text.write(binary.into());
        let ours_in_text = ask(gateway.addr(), "application/grpc-web-text", path, &text);
        let content_type = ours_in_text.field("content-type").unwrap_or_default();
        assert!(
            content_type.starts_with("application/grpc-web-text"),
            "{path}"
        );
        let octets = from_text(&ours_in_text.body);
        assert_eq!(frames(&octets), (messages, trailers), "{path}");
    }
}

#[test]
fn a_browsers_message_comes_before_the_next_is_made() {
    let server = Server::start();
    let route = "filters: [ { grpc_web: {} } ]";
    let gateway = Gateway::start(&yaml(server.addr, "", route));
    for (content_type, begun) in [
        ("application/grpc-web", &b"\0\0\0\0\x05begun"[..]),
        ("application/grpc-web-text", b"AAAAAAViZWd1bg=="),
    ] {
        let mut body = framed(b"");
        if content_type.ends_with("text") {
            body = b"AAAAAAA=".to_vec();
        }
        let mut client = TcpStream::connect(gateway.addr()).expect("a connection");
        let head = format!(
            "POST /test.Echo/Forever HTTP/1.1\r\nHost: a\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), &body].concat();
        client.write_all(&request).expect("sent");
        let mut came = Vec::new();
        while !came.windows(begun.len()).any(|octets| octets == begun) {
            let mut piece = [0; 4096];
            let n = client.read(&mut piece).expect("more");
            assert_ne!(n, 0, "{}", String::from_utf8_lossy(&came));
            came.extend(&piece[..n]);
        }
    }
}

#[test]
fn a_browsers_call_that_breaks_off_ends_with_a_status() {
    let origin = H2Origin::start(|mut call| async move {
        let mut head = http::Response::new(());
        let grpc = http::HeaderValue::from_static("application/grpc");
        head.headers_mut().insert("content-type", grpc);
        let mut stream = call.respond(head);
        let _ = stream.send_data(framed(b"begun").into(), false);
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.send_reset(h2::Reason::INTERNAL_ERROR);
    });
    let route = "filters: [ { grpc_web: {} } ]";
    let gateway = Gateway::start(&yaml(origin.addr, "", route));
    let broken = ask(
        gateway.addr(),
        "application/grpc-web",
        "Broken",
        &framed(b""),
    );
    let (messages, trailers) = frames(&broken.body);
    assert_eq!(messages, [b"begun"]);
    assert_eq!(trailers.last().map(String::as_str), Some("grpc-status:14"));
}

#[test]
fn a_browsers_call_whose_time_runs_out_ends_with_a_status() {
    let origin = H2Origin::start(|mut call| async move {
        let mut head = http::Response::new(());
        let grpc = http::HeaderValue::from_static("application/grpc");
        head.headers_mut().insert("content-type", grpc);
        let mut stream = call.respond(head);
        let _ = stream.send_data(framed(b"begun").into(), false);
        let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
        let mut seen = call.seen.lock().expect("not poisoned");
        seen.resets.extend(reset);
    });
    let (folder, route) = (Folder::new(), "timeouts: { request: 300ms }");
    let log = folder.path().join("access.log");
    let filters = format!(
        "{route}, filters: [ {{ logging: {{ output: \"{}\" }} }}, {{ grpc_web: {{}} }} ]",
        log.display()
    );
    let gateway = Gateway::start(&yaml(origin.addr, "", &filters));
    let ended_late = |body: &[u8]| {
        let (messages, trailers) = frames(body);
        assert_eq!(messages, [b"begun"]);
        assert_eq!(trailers.last().map(String::as_str), Some("grpc-status:4"));
    };
    let binary = framed(b"");
    let text = portway_http::grpc::web::Form::Text.write(binary.clone().into());
    let late = ask(gateway.addr(), "application/grpc-web", "Late", &binary);
    ended_late(&late.body);
    let late = ask(gateway.addr(), "application/grpc-web-text", "Late", &text);
    ended_late(&from_text(&late.body));
    let mut client = crate::http2::client::Client::connect(gateway.addr());
    for _ in 0..2 {
        let request = crate::http2::client::post("/test.Echo/Late");
        let request = request.header("content-type", "application/grpc-web");
        ended_late(&client.send(request, b"\0\0\0\0\0").body);
    }
    eventually("the calls are cancelled", || {
        origin.seen().resets.len() == 4
    });
    let lines = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("all are logged", || lines().lines().count() == 4);
    for line in lines().lines() {
        let record: serde_json::Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(record["code"], "upstream_timeout", "{line}");
        assert_eq!(record["grpc_status"], 4, "{line}");
    }
}

#[test]
fn a_browser_that_may_not_call_gets_a_status() {
    let server = Server::start();
    let auth = "auth: { type: apikey, keys: [ { key: secret-key-16-xx, consumer: c } ] }";
    let route = format!("filters: [ {{ {auth} }}, {{ cors: {{}} }}, {{ grpc_web: {{}} }} ]");
    let gateway = Gateway::start(&yaml(server.addr, "", &route));
    let refused = ask(
        gateway.addr(),
        "application/grpc-web",
        "Unary",
        &framed(b""),
    );
    assert_eq!(refused.status, 200);
    assert_eq!(refused.field("grpc-status"), Some("16"));
    assert_eq!(refused.field("content-type"), Some("application/grpc-web"));
    let exposed = refused.field("access-control-expose-headers");
    assert!(exposed.is_some_and(|names| names.contains("grpc-status")));
}
