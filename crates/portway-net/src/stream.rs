//! Reading from and writing to a TCP connection without the C library in between.
//!
//! Must hold: a caller that is told to wait is woken when the socket can go on; a task that always
//! finds data still yields now and then. Never: blocks, or raises SIGPIPE.
//!
//! The C library's `send` and `recv` are cancellation points: in a program with threads each call pays
//! for two atomic operations that nobody needs here, 3 % of an exchange.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::coop;

/// Reads once into the spare capacity of `buffer`, which must not be zero. `Ok(0)`: the peer has
/// closed its side.
///
/// # Errors
///
/// What `recv` reports, other than that nothing is there yet.
pub fn poll_recv(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let budget = ready!(coop::poll_proceed(cx));
    loop {
        let spare = buffer.spare_capacity_mut();
        let room = spare.len();
        debug_assert!(room > 0, "a read into nothing looks like the end");
        let mut drained = 0;
        let read = stream.try_io(Interest::READABLE, || {
            let ((filled, _), _) = rustix::net::recv(stream, &mut *spare, RecvFlags::empty())?;
            // A buffer that was not filled means that nothing more is there: to be told when there is,
            // tokio must take the socket for unready, which it does by itself only in its own reads.
            if !filled.is_empty() && filled.len() < room {
                drained = filled.len();
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(filled.len())
        });
        let read = match read {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => drained,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Poll::Ready(Err(error)),
            Ok(0) => {
                budget.made_progress();
                return Poll::Ready(Ok(0));
            }
            Ok(read) => read,
        };
        if read > 0 {
            // SAFETY: the kernel has just written the first `read` octets of the spare capacity,
            // which begins where the buffer's content ends.
            unsafe { buffer.advance_mut(read) };
            budget.made_progress();
            return Poll::Ready(Ok(read));
        }
        ready!(stream.poll_read_ready(cx))?;
    }
}

/// Whether a read may find something (octets, the end, an error): as far as the runtime has heard,
/// without a system call. Leaves whoever waits for the socket where it was.
#[must_use]
pub fn may_read(stream: &TcpStream) -> bool {
    stream.try_io(Interest::READABLE, || Ok(())).is_ok()
}

/// Writes `first` and what follows of `more` in one call, as far as the socket takes it.
///
/// # Errors
///
/// What `send` reports, other than that there is no room yet.
pub fn poll_send(
    stream: &TcpStream,
    cx: &mut Context<'_>,
    first: &[u8],
    more: &[&[u8]; 2],
) -> Poll<io::Result<usize>> {
    let budget = ready!(coop::poll_proceed(cx));
    loop {
        let sent = stream.try_io(Interest::WRITABLE, || {
            if more[0].is_empty() && more[1].is_empty() {
                return Ok(rustix::net::send(stream, first, SendFlags::NOSIGNAL)?);
            }
            let all = [first, more[0], more[1]].map(IoSlice::new);
            let mut none = SendAncillaryBuffer::default();
            Ok(rustix::net::sendmsg(
                stream,
                &all,
                &mut none,
                SendFlags::NOSIGNAL,
            )?)
        });
        match sent {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                ready!(stream.poll_write_ready(cx))?;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => {
                budget.made_progress();
                return Poll::Ready(done);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap());
        let (near, far) = tokio::join!(near, listener.accept());
        (near.unwrap(), far.unwrap().0)
    }

    async fn recv(stream: &TcpStream, buffer: &mut BytesMut) -> io::Result<usize> {
        poll_fn(|cx| poll_recv(stream, cx, buffer)).await
    }

    #[tokio::test]
    async fn reads_what_comes_piece_by_piece_and_then_the_end() {
        let (near, mut far) = pair().await;
        let mut buffer = BytesMut::with_capacity(64);
        for piece in [&b"one"[..], b"two", b"three"] {
            far.write_all(piece).await.unwrap();
            assert_eq!(recv(&near, &mut buffer).await.unwrap(), piece.len());
        }
        assert_eq!(&buffer[..], b"onetwothree");
        drop(far);
        assert_eq!(recv(&near, &mut buffer).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_full_buffer_leaves_the_rest_for_the_next_read() {
        let (near, mut far) = pair().await;
        far.write_all(&[7; 100]).await.unwrap();
        let mut got = 0;
        while got < 100 {
            let mut buffer = BytesMut::with_capacity(16);
            got += recv(&near, &mut buffer).await.unwrap();
        }
        assert_eq!(got, 100);
    }

    #[tokio::test]
    async fn writes_all_pieces_in_order_past_a_full_socket() {
        let (near, mut far) = pair().await;
        let body = vec![b'x'; 8 << 20];
        let sending = async {
            let (mut sent, total) = (0, body.len() + 6);
            while sent < total {
                let head = b"head".get(sent..).unwrap_or_default();
                let rest = body.get(sent.saturating_sub(4)..).unwrap_or_default();
                let end = b"\r\n".get(sent.saturating_sub(4 + body.len())..);
                let more = [rest, end.unwrap_or_default()];
                sent += poll_fn(|cx| poll_send(&near, cx, head, &more))
                    .await
                    .unwrap();
            }
            drop(near);
        };
        let mut got = Vec::new();
        let (_, read) = tokio::join!(sending, far.read_to_end(&mut got));
        assert_eq!(read.unwrap(), body.len() + 6);
        assert!(got.starts_with(b"headx") && got.ends_with(b"x\r\n"));
    }

    #[tokio::test]
    async fn a_peer_that_is_gone_is_an_error_and_no_signal() {
        let (near, far) = pair().await;
        far.set_zero_linger().unwrap();
        drop(far);
        let sent = async {
            loop {
                poll_fn(|cx| poll_send(&near, cx, b"x", &[b"", b""])).await?;
                tokio::task::yield_now().await;
            }
            #[allow(unreachable_code)]
            io::Result::Ok(())
        };
        assert!(sent.await.is_err());
    }
}
