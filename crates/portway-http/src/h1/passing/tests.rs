use std::future::poll_fn;
use std::task::Poll;

use portway_core::limits::{BODY_READ_BYTES, LARGE_READ_BYTES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;

use crate::body::Body;
use crate::h1::{BufferPool, Conn, Incoming, Io, ReplyWriter, Role};
use crate::hygiene::framing::Framing;

const ALL: usize = 16 << 20;

async fn pair(window_bytes: Option<u32>) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    if let Some(bytes) = window_bytes {
        socket.set_recv_buffer_size(bytes).unwrap();
    }
    let near = socket.connect(listener.local_addr().unwrap());
    let (near, far) = tokio::join!(near, listener.accept());
    (near.unwrap(), far.unwrap().0)
}

fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

/// A connection to a target that has sent the head of a reply with so many octets and goes on.
async fn reply(pool: &BufferPool, length: usize) -> (Conn, JoinSet<()>) {
    let (near, mut far) = pair(None).await;
    let mut sending = JoinSet::new();
    sending.spawn(async move {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        far.write_all(head.as_bytes()).await.unwrap();
        far.write_all(&octets(length)).await.unwrap();
        std::future::pending::<()>().await;
    });
    let conn = Conn::new(Io::Tcp(near), Role::Target, pool);
    let mut spare = http::HeaderMap::new();
    poll_fn(|cx| conn.poll_reply_head(cx, false, &mut spare))
        .await
        .unwrap();
    (conn, sending)
}

/// Where the worker's large buffer begins.
fn large_at(pool: &BufferPool) -> *const u8 {
    pool.large(LARGE_READ_BYTES).as_ptr()
}

#[tokio::test]
async fn a_client_that_stops_reading_leaves_the_large_buffer_to_others() {
    let pool = BufferPool::default();
    let before = large_at(&pool);
    let (target, _sending) = reply(&pool, ALL).await;
    let (mut far, near) = pair(Some(64 * 1024)).await;
    let client = Conn::new(Io::Tcp(near), Role::Client, &pool);
    let (mut writer, mut body) = (
        ReplyWriter::new(Framing::Length(ALL as u64)),
        Body::H1(Incoming::new(target)),
    );
    let mut most_owed = 0;
    poll_fn(|cx| {
        let polled = writer.poll(cx, &client, &mut body);
        assert!(polled.is_pending(), "nobody reads");
        let owed = writer.bytes - client.written();
        let allowed = (2 * client.written()).max(BODY_READ_BYTES as u64);
        assert!(owed <= allowed, "{owed} wait, {allowed} may");
        most_owed = most_owed.max(owed);
        if writer.waits_for_client() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    assert!(most_owed > 0);
    assert_eq!(large_at(&pool), before, "somebody holds on to it");

    let reading = async {
        let mut got = vec![0; ALL];
        far.read_exact(&mut got).await.unwrap();
        got
    };
    let writing = poll_fn(|cx| writer.poll(cx, &client, &mut body));
    let (got, written) = tokio::join!(reading, writing);
    written.unwrap();
    assert!(got == octets(ALL));
    assert_eq!(large_at(&pool), before);
}

#[tokio::test]
async fn who_keeps_a_large_frame_costs_the_worker_a_new_buffer_and_nobody_their_octets() {
    let pool = BufferPool::default();
    let (first, _sending) = reply(&pool, ALL).await;
    let (second, _sending) = reply(&pool, ALL).await;
    let (mut first, mut second) = (
        Body::H1(Incoming::new(first)),
        Body::H1(Incoming::new(second)),
    );
    let mut kept = Vec::new();
    let mut got = [0, 0];
    while got[0] < ALL || got[1] < ALL {
        for (body, got) in [&mut first, &mut second].into_iter().zip(&mut got) {
            let frame = poll_fn(|cx| body.poll_passing(cx, LARGE_READ_BYTES)).await;
            if let Some(crate::Frame::Data(data)) = frame.transpose().unwrap() {
                kept.push((*got, data.clone()));
                *got += data.len();
            }
        }
    }
    let expected = octets(ALL);
    for (at, data) in kept {
        assert!(data == expected[at..at + data.len()], "at {at}");
    }
}

#[tokio::test]
async fn a_read_into_the_large_buffer_ends_with_the_body() {
    let pool = BufferPool::default();
    let (near, mut far) = pair(None).await;
    let length = BODY_READ_BYTES + 1;
    far.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 65537\r\n\r\n")
        .await
        .unwrap();
    let conn = Conn::new(Io::Tcp(near), Role::Target, &pool);
    let mut spare = http::HeaderMap::new();
    let head = poll_fn(|cx| conn.poll_reply_head(cx, false, &mut spare)).await;
    head.unwrap();
    far.write_all(&octets(length)).await.unwrap();
    far.write_all(b"HTTP/1.1 200 unasked for").await.unwrap();
    let mut body = Body::H1(Incoming::new(conn.clone()));
    let mut got = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.poll_passing(cx, LARGE_READ_BYTES)).await {
        let crate::Frame::Data(data) = frame.unwrap() else {
            panic!("no trailers were sent")
        };
        got.extend_from_slice(&data);
    }
    assert!(got == octets(length));
    assert!(!conn.is_quiet(), "what follows is still there to be seen");
}
