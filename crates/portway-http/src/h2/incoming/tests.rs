use std::future::poll_fn;

use ::h2::SendStream;
use http::{HeaderValue, Request};

use super::*;

/// A client sends a body, a server reads it, over a connection in memory.
fn between(send: impl AsyncFnOnce(SendStream<Bytes>), read: impl AsyncFnOnce(Incoming)) {
    with_length(BodyLength::Unknown, send, read);
}

fn with_length(
    declared: BodyLength,
    send: impl AsyncFnOnce(SendStream<Bytes>),
    read: impl AsyncFnOnce(Incoming),
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(async {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let client = async {
            let (mut requests, connection) = ::h2::client::handshake(ours).await.unwrap();
            let request = Request::post("http://a/").body(()).unwrap();
            let (reply, body) = requests.send_request(request, false).unwrap();
            let sending = async {
                send(body).await;
                let _ = reply.await;
                drop(requests);
            };
            let _ = tokio::join!(connection, sending);
        };
        let server = async {
            let mut connection = ::h2::server::handshake(theirs).await.unwrap();
            let (request, mut respond) = connection.accept().await.unwrap().unwrap();
            let incoming = Incoming::new(request.into_body(), Role::Client, declared);
            let reading = async {
                read(incoming).await;
                let _ = respond.send_response(http::Response::new(()), true);
                drop(respond);
            };
            let driving = async { while let Some(Ok(_)) = connection.accept().await {} };
            tokio::select! {
                _ = async { tokio::join!(reading, driving) } => {}
            }
        };
        tokio::join!(client, server);
    });
}

async fn frame(body: &mut Incoming) -> Option<Result<Frame, ProxyError>> {
    poll_fn(|cx| body.poll_frame(cx)).await
}

#[test]
fn hands_out_octets_then_trailers_then_the_end() {
    between(
        async |mut out| {
            out.send_data(Bytes::from_static(b"one"), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("x-sum", HeaderValue::from_static("1"));
            trailers.insert("authorization", HeaderValue::from_static("admin"));
            out.send_trailers(trailers).unwrap();
        },
        async |mut body| {
            let counter = body.counter();
            assert!(matches!(frame(&mut body).await, Some(Ok(Frame::Data(d))) if d == "one"));
            let Some(Ok(Frame::Trailers(trailers))) = frame(&mut body).await else {
                panic!("no trailers");
            };
            assert_eq!(trailers["x-sum"], "1");
            assert!(!trailers.contains_key("authorization"));
            assert!(frame(&mut body).await.is_none());
            assert!(body.is_over());
            assert_eq!(counter.get(), 3);
        },
    );
}

#[test]
fn gives_room_only_for_what_was_used_up() {
    between(
        async |mut out| {
            for last in [false, false, true] {
                out.send_data(Bytes::from(vec![b'x'; 1000]), last).unwrap();
            }
        },
        async |mut body| {
            let mut read = 0;
            while let Some(Ok(Frame::Data(data))) = frame(&mut body).await {
                read += data.len();
                let used = body.stream.flow_control().used_capacity();
                assert!(used >= data.len(), "{used} of {}", data.len());
                assert_eq!(body.unreleased, data.len());
            }
            assert_eq!(read, 3000);
            assert_eq!(body.stream.flow_control().used_capacity(), 0);
        },
    );
}

#[test]
fn refuses_more_octets_than_the_limit() {
    between(
        async |mut out| out.send_data(Bytes::from_static(b"12345"), true).unwrap(),
        async |mut body| {
            body.limit(4);
            let error = frame(&mut body).await.unwrap().unwrap_err();
            assert_eq!(error.kind, Code::PayloadTooLarge);
            assert!(frame(&mut body).await.is_none(), "over after an error");
        },
    );
}

#[test]
fn refuses_another_length_than_declared() {
    for (declared, what) in [(4, "longer"), (6, "shorter")] {
        with_length(
            BodyLength::Exact(declared),
            async |mut out| out.send_data(Bytes::from_static(b"12345"), true).unwrap(),
            async |mut body| {
                let error = loop {
                    match frame(&mut body).await.expect(what) {
                        Ok(_) => {}
                        Err(error) => break error,
                    }
                };
                assert_eq!(error.kind, Code::BadRequest);
                assert!(error.detail.contains(what), "{}", error.detail);
            },
        );
    }
}

#[test]
fn a_reset_is_an_error_and_not_an_end() {
    between(
        async |mut out| {
            out.send_data(Bytes::from_static(b"half"), false).unwrap();
            out.send_reset(Reason::CANCEL);
        },
        async |mut body| {
            let error = loop {
                match frame(&mut body).await.expect("no end") {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            };
            assert_eq!(error.kind, Code::ClientGone);
        },
    );
}

#[test]
fn asks_for_the_body_when_it_is_first_wanted() {
    between(
        async |mut out| out.send_data(Bytes::from_static(b"x"), true).unwrap(),
        async |body| {
            let asked = Rc::new(Cell::new(0));
            let count = Rc::clone(&asked);
            let mut body = body.before_first(move || count.set(count.get() + 1));
            assert_eq!(asked.get(), 0);
            while frame(&mut body).await.is_some() {}
            assert_eq!(asked.get(), 1);
        },
    );
}
