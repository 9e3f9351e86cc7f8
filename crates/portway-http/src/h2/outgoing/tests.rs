use std::collections::VecDeque;
use std::future::poll_fn;

use ::h2::{RecvStream, client, server};
use http::{HeaderValue, Request, Response};

use super::*;

/// Frames from a list, then the end.
#[derive(Default)]
struct Listed {
    frames: VecDeque<Result<Frame, ProxyError>>,
    pulled: usize,
    /// Says when it is over, as a body of known length does.
    tells: bool,
}

impl Listed {
    fn data(pieces: &[usize]) -> Listed {
        let frame = |n: &usize| Ok(Frame::Data(Bytes::from(vec![b'x'; *n])));
        Listed {
            frames: pieces.iter().map(frame).collect(),
            ..Listed::default()
        }
    }
}

impl Frames for Listed {
    fn poll_frame(&mut self, _: &mut Context<'_>) -> PollFrame {
        let next = self.frames.pop_front();
        self.pulled += usize::from(next.is_some());
        Poll::Ready(next)
    }

    fn is_over(&self) -> bool {
        self.tells && self.frames.is_empty()
    }
}

/// A server's reply stream and the client's end of it, both connections driven in the background.
async fn pair(window: u32) -> (SendStream<Bytes>, RecvStream) {
    let (near, far) = tokio::io::duplex(1024 * 1024);
    let serving = tokio::task::spawn_local(async move {
        let mut connection = server::handshake(far).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        tokio::task::spawn_local(async move { while connection.accept().await.is_some() {} });
        respond.send_response(Response::new(()), false).unwrap()
    });
    let mut builder = client::Builder::new();
    builder.initial_window_size(window);
    let (mut send, connection) = builder.handshake::<_, Bytes>(near).await.unwrap();
    tokio::task::spawn_local(async move {
        let _ = connection.await;
    });
    let request = Request::get("http://a/").body(()).unwrap();
    let (reply, _) = send.send_request(request, true).unwrap();
    let stream = reply.await.unwrap().into_body();
    (serving.await.unwrap(), stream)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    tokio::task::LocalSet::new().block_on(&runtime.unwrap(), test);
}

async fn send(outgoing: &mut Outgoing, source: &mut Listed) -> Result<(), ProxyError> {
    poll_fn(|cx| outgoing.poll(cx, source)).await
}

async fn read(stream: &mut RecvStream) -> Result<usize, ::h2::Error> {
    let mut bytes = 0;
    while let Some(data) = stream.data().await {
        let data = data?;
        bytes += data.len();
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok(bytes)
}

#[test]
fn the_last_octets_carry_the_end_where_it_is_known() {
    run(async {
        let (stream, mut reply) = pair(65_535).await;
        let mut source = Listed::data(&[5, 7]);
        source.tells = true;
        let mut outgoing = Outgoing::new(stream, Role::Client, BodyLength::Exact(12));
        send(&mut outgoing, &mut source).await.unwrap();
        assert_eq!(reply.data().await.unwrap().unwrap().len(), 5);
        assert_eq!(reply.data().await.unwrap().unwrap().len(), 7);
        assert!(reply.is_end_stream());
    });
}

#[test]
fn trailers_need_no_room() {
    run(async {
        let (stream, mut reply) = pair(10).await;
        let mut source = Listed::data(&[10]);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        source.frames.push_back(Ok(Frame::Trailers(trailers)));
        let mut outgoing = Outgoing::new(stream, Role::Client, BodyLength::Unknown);
        send(&mut outgoing, &mut source).await.unwrap();
        assert_eq!(reply.data().await.unwrap().unwrap().len(), 10);
        assert!(reply.data().await.is_none());
        assert_eq!(reply.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn pulls_no_more_than_the_reader_makes_room_for() {
    run(async {
        let (stream, mut reply) = pair(1000).await;
        let mut source = Listed::data(&[800; 50]);
        let mut outgoing = Outgoing::new(stream, Role::Client, BodyLength::Unknown);
        let mut sending = Box::pin(send(&mut outgoing, &mut source));
        for _ in 0..100 {
            let polled = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
            tokio::task::yield_now().await;
        }
        drop(sending);
        assert_eq!(source.pulled, 2);
        assert!(outgoing.waits_for_peer());
        let reading = tokio::task::spawn_local(async move { read(&mut reply).await });
        send(&mut outgoing, &mut source).await.unwrap();
        assert_eq!(reading.await.unwrap().unwrap(), 40_000);
    });
}

#[test]
fn a_body_that_broke_is_reset() {
    run(async {
        let (stream, mut reply) = pair(65_535).await;
        let mut source = Listed::data(&[5]);
        let broken = ProxyError::new(Code::UpstreamReset, "broken");
        source.frames.push_back(Err(broken));
        let mut outgoing = Outgoing::new(stream, Role::Client, BodyLength::Unknown);
        let error = send(&mut outgoing, &mut source).await.unwrap_err();
        assert_eq!(error.kind, Code::UpstreamReset);
        let error = read(&mut reply).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    });
}

#[test]
fn a_body_of_another_length_than_announced_is_reset() {
    for announced in [4, 6] {
        run(async {
            let (stream, mut reply) = pair(65_535).await;
            let mut outgoing = Outgoing::new(stream, Role::Client, BodyLength::Exact(announced));
            let sent = send(&mut outgoing, &mut Listed::data(&[5])).await;
            assert_eq!(sent.unwrap_err().kind, Code::Internal);
            read(&mut reply).await.unwrap_err();
        });
    }
}

#[test]
fn a_body_dropped_half_way_is_reset() {
    run(async {
        let (stream, mut reply) = pair(10).await;
        let mut outgoing = Outgoing::new(stream, Role::Client, BodyLength::Unknown);
        let mut source = Listed::data(&[20]);
        let started = poll_fn(|cx| Poll::Ready(outgoing.poll(cx, &mut source))).await;
        assert!(started.is_pending());
        drop(outgoing);
        let error = read(&mut reply).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::INTERNAL_ERROR));
    });
}

#[test]
fn a_reader_that_resets_is_noticed_while_the_body_is_waited_for() {
    run(async {
        let (stream, reply) = pair(65_535).await;
        struct Never;
        impl Frames for Never {
            fn poll_frame(&mut self, _: &mut Context<'_>) -> PollFrame {
                Poll::Pending
            }
            fn is_over(&self) -> bool {
                false
            }
        }
        let mut outgoing = Outgoing::new(stream, Role::Client, BodyLength::Unknown);
        drop(reply);
        let stopped = poll_fn(|cx| outgoing.poll(cx, &mut Never)).await;
        assert_eq!(stopped.unwrap_err().kind, Code::ClientGone);
    });
}
