use std::cell::Cell;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::Context;

use portway_core::Clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpListener;

use super::*;
use crate::Wheel;

/// Two ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(addr), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

/// Hides that it is a plain socket, as an encrypted one would.
struct Opaque(TcpStream);

impl AsyncRead for Opaque {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Opaque {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Stream for Opaque {
    fn plain(&self) -> Option<&TcpStream> {
        None
    }
}

const HOUR: Duration = Duration::from_secs(3600);

async fn relay<C: Stream>(client: &mut C, target: &mut TcpStream) -> (End, Passed) {
    relay_by(&RelayPool::default(), client, target).await
}

async fn relay_by<C: Stream>(
    pool: &RelayPool,
    client: &mut C,
    target: &mut TcpStream,
) -> (End, Passed) {
    let wheel = Wheel::new(Clock::system());
    let timer = wheel.timer();
    let relay = Relay {
        pool,
        timer: &timer,
        idle: HOUR,
        early_up: Vec::new(),
        early_down: Vec::new(),
    };
    let total = Cell::new(Passed::default());
    let end = relay.run(client, target, |new| {
        let known = total.get();
        total.set(Passed {
            up: known.up + new.up,
            down: known.down + new.down,
        });
        Mono::NEVER
    });
    (end.await, total.get())
}

/// Bytes of which no two places look the same.
fn content(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..length).map(|_| next()).collect()
}

/// Sends the content, in writes of a size, and reads what the other side says until its end.
async fn talk(mut stream: TcpStream, say: &[u8], write: usize) -> Vec<u8> {
    let (mut reading, mut writing) = stream.split();
    let mut heard = Vec::new();
    let saying = async {
        for piece in say.chunks(write) {
            writing.write_all(piece).await.unwrap();
        }
        writing.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(saying, reading.read_to_end(&mut heard));
    read.unwrap();
    heard
}

#[tokio::test]
async fn passes_every_byte_both_ways_by_copy_and_by_pipe() {
    for (length, write) in [(0, 1), (1, 1), (5_000, 700), (20_000_000, 300_000)] {
        let (client, mut near) = pair().await;
        let (mut far, target) = pair().await;
        let (up, down) = (content(length, 3), content(length / 2, 5));
        let ((end, passed), at_client, at_target) = tokio::join!(
            relay(&mut near, &mut far),
            talk(client, &up, write),
            talk(target, &down, write),
        );
        assert!(matches!(end, End::Closed), "{end:?}");
        assert!(at_target == up && at_client == down, "{length}");
        let lengths = (up.len() as u64, down.len() as u64);
        assert_eq!((passed.up, passed.down), lengths);
    }
}

#[tokio::test]
async fn passes_bytes_of_a_connection_that_is_no_plain_socket() {
    let (client, near) = pair().await;
    let (mut far, target) = pair().await;
    let (up, down) = (content(9_000_000, 3), content(9_000_000, 5));
    let mut near = Opaque(near);
    let ((end, _), at_client, at_target) = tokio::join!(
        relay(&mut near, &mut far),
        talk(client, &up, 1 << 20),
        talk(target, &down, 1 << 20),
    );
    assert!(matches!(end, End::Closed), "{end:?}");
    assert!(at_target == up && at_client == down);
}

/// Bytes that went through pipes while so many went each way.
async fn piped_of<C: Stream>(length: usize, wrap: impl FnOnce(TcpStream) -> C) -> u64 {
    let (client, near) = pair().await;
    let (mut far, target) = pair().await;
    let content = content(length, 3);
    let (pool, mut near) = (RelayPool::default(), wrap(near));
    let ((end, passed), _, _) = tokio::join!(
        relay_by(&pool, &mut near, &mut far),
        talk(client, &content, 1 << 20),
        talk(target, &content, 1 << 20),
    );
    assert!(matches!(end, End::Closed), "{end:?}");
    assert_eq!((passed.up, passed.down), (length as u64, length as u64));
    pool.piped_bytes()
}

#[tokio::test]
async fn many_bytes_between_plain_sockets_stay_in_the_kernel_and_no_others() {
    const MANY: usize = 20_000_000;
    let piped = piped_of(MANY, |stream| stream).await;
    let all = 2 * MANY as u64;
    assert!(piped <= all && piped > all / 2, "{piped} of {all}");
    assert_eq!(piped_of(MANY, Opaque).await, 0, "what is encrypted cannot");
    assert_eq!(piped_of(5_000, |stream| stream).await, 0, "few are copied");
}

#[tokio::test]
async fn goes_on_the_other_way_when_one_way_has_ended() {
    let (mut client, mut near) = pair().await;
    let (mut far, mut target) = pair().await;
    let asking = async {
        client.write_all(b"question").await.unwrap();
        client.shutdown().await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answer
    };
    let answering = async {
        let mut question = Vec::new();
        target.read_to_end(&mut question).await.unwrap(); // the end of the client has come through
        for word in [&b"slow "[..], b"answer"] {
            tokio::time::sleep(Duration::from_millis(20)).await;
            target.write_all(word).await.unwrap();
        }
        drop(target);
        question
    };
    let ((end, _), answer, question) = tokio::join!(relay(&mut near, &mut far), asking, answering);
    assert!(matches!(end, End::Closed), "{end:?}");
    assert_eq!(
        (&*question, &*answer),
        (&b"question"[..], &b"slow answer"[..])
    );
}

#[tokio::test]
async fn a_reset_is_told_apart_from_an_end() {
    let (client, mut near) = pair().await;
    let (mut far, target) = pair().await;
    target.set_zero_linger().unwrap();
    drop(target);
    let (end, _) = relay(&mut near, &mut far).await;
    assert!(matches!(end, End::Target(_)) && end.is_broken(), "{end:?}");
    drop(client);
}

#[tokio::test]
async fn a_writer_that_is_not_read_stops_its_reader() {
    let (client, mut near) = pair().await;
    let (mut far, target) = pair().await;
    let filling = async {
        let mut sent = 0usize;
        loop {
            client.writable().await.unwrap();
            match client.try_write(&[7; 65_536]) {
                Ok(n) => sent += n,
                Err(_) => {
                    // Nobody reads: once all buffers of the kernel are full, nothing more is taken.
                    let more = tokio::time::timeout(Duration::from_millis(200), client.writable());
                    if more.await.is_err() {
                        return sent;
                    }
                }
            }
        }
    };
    tokio::select! {
        _ = relay(&mut near, &mut far) => panic!("it cannot end"),
        sent = filling => assert!(sent < 64 << 20, "{sent} bytes are somewhere"),
    }
    drop(target);
}

#[tokio::test]
async fn an_idle_tunnel_ends_and_a_busy_one_does_not() {
    let (mut client, mut near) = pair().await;
    let (mut far, mut target) = pair().await;
    let (clock, hand) = Clock::manual();
    let wheel = Wheel::new(clock);
    let timer = wheel.timer();
    let pool = RelayPool::default();
    let relay = Relay {
        pool: &pool,
        timer: &timer,
        idle: Duration::from_secs(10),
        early_up: b"early".to_vec(),
        early_down: Vec::new(),
    };
    let turning = async {
        for _ in 0..5 {
            client.write_all(b"x").await.unwrap();
            tokio::time::sleep(Duration::from_millis(20)).await;
            hand.advance(Duration::from_secs(6));
            wheel.tick();
        }
        let mut heard = [0; 10];
        target.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"earlyxxxxx");
        hand.advance(Duration::from_secs(6));
        wheel.tick();
    };
    let (end, ()) = tokio::join!(relay.run(&mut near, &mut far, |_| Mono::NEVER), turning);
    assert!(matches!(end, End::Idle), "{end:?}");
}

#[tokio::test]
async fn a_deadline_that_comes_while_it_runs_cuts_it() {
    let (_client, mut near) = pair().await;
    let (mut far, _target) = pair().await;
    let (clock, hand) = Clock::manual();
    let wheel = Wheel::new(clock);
    let timer = wheel.timer();
    let cut = Cell::new(Mono::NEVER);
    let pool = RelayPool::default();
    let relay = Relay {
        pool: &pool,
        timer: &timer,
        idle: HOUR,
        early_up: Vec::new(),
        early_down: Vec::new(),
    };
    let turning = async {
        tokio::task::yield_now().await;
        cut.set(wheel.now() + Duration::from_secs(1));
        wheel.wake_all();
        tokio::task::yield_now().await;
        hand.advance(Duration::from_secs(2));
        wheel.tick();
    };
    let (end, ()) = tokio::join!(relay.run(&mut near, &mut far, |_| cut.get()), turning);
    assert!(matches!(end, End::Cut), "{end:?}");
}
