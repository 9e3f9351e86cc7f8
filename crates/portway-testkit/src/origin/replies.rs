//! Ready-made handlers: what upstreams do, good and bad.
//!
//! Must hold: one function, one behaviour, on the bytes; combine them by calling one from another.

use std::time::Duration;

use super::conn::reply_head;
use super::{OriginConn, RawRequest};

/// The head and body it was sent, byte for byte, as the body.
pub fn echo() -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    |request, conn| {
        conn.reply(
            200,
            &["Content-Type: text/plain"],
            body_for(request, request.raw()),
        )
    }
}

/// This status, with its number as the body where one is allowed.
pub fn status(status: u16) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    move |request, conn| match status {
        204 | 304 => conn.send(reply_head(status, &[]) + "\r\n"),
        _ => conn.reply(
            status,
            &[],
            body_for(request, status.to_string().into_bytes()),
        ),
    }
}

/// 200 with this text.
pub fn text(text: &str) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    let text = text.as_bytes().to_vec();
    move |request, conn| conn.reply(200, &[], body_for(request, text.clone()))
}

/// Exactly these bytes; the connection is kept.
pub fn raw(
    bytes: impl AsRef<[u8]>,
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    let bytes = bytes.as_ref().to_vec();
    move |_, conn| conn.send(&bytes)
}

/// Exactly these bytes, then the end of the connection.
pub fn raw_then_close(
    bytes: impl AsRef<[u8]>,
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    let bytes = bytes.as_ref().to_vec();
    move |_, conn| {
        conn.send(&bytes);
        conn.close();
    }
}

/// Waits before it does the other.
pub fn delay(
    time: Duration,
    then: impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static,
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    move |request, conn| {
        std::thread::sleep(time);
        then(request, conn);
    }
}

/// Does `first` for the first `count` requests of the origin's life, then `rest`.
pub fn first(
    count: u64,
    first: impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static,
    rest: impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static,
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    let seen = std::sync::atomic::AtomicU64::new(0);
    move |request, conn| {
        let earlier = seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if earlier < count {
            first(request, conn);
        } else {
            rest(request, conn);
        }
    }
}

/// Closes in order without a byte of a reply.
pub fn close_before_reply() -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    |_, conn| conn.close()
}

/// Resets without a byte of a reply.
pub fn reset_before_reply() -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    |_, conn| conn.reset()
}

/// Half a status line and fields, then the end.
pub fn close_mid_head() -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    raw_then_close("HTTP/1.1 200 OK\r\nContent-Le")
}

/// Promises `length` bytes, sends `sent`, then closes.
pub fn close_mid_body(
    length: usize,
    sent: usize,
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    move |_, conn| {
        send_part(conn, length, sent);
        conn.close();
    }
}

/// Promises `length` bytes, sends `sent`, then resets once the peer has had time to read them.
pub fn reset_mid_body(
    length: usize,
    sent: usize,
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    move |_, conn| {
        send_part(conn, length, sent);
        // A reset overtakes what the peer has not read yet.
        std::thread::sleep(Duration::from_millis(50));
        conn.reset();
    }
}

/// Promises `length` bytes, sends `sent`, then neither sends nor closes.
pub fn hang_mid_body(
    length: usize,
    sent: usize,
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    move |_, conn| {
        send_part(conn, length, sent);
        conn.hang();
    }
}

/// Never answers, and waits for the peer to give up.
pub fn never() -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    |_, conn| conn.hang()
}

/// A chunked reply with these chunks and trailer lines.
pub fn chunked(
    chunks: &[&str],
    trailers: &[&str],
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    let chunks: Vec<String> = owned(chunks);
    let trailers: Vec<String> = owned(trailers);
    move |_, conn| {
        let names: Vec<&str> = trailers
            .iter()
            .filter_map(|t| t.split(':').next())
            .collect();
        let announced = format!("Trailer: {}", names.join(", "));
        let fields: &[&str] = if names.is_empty() { &[] } else { &[&announced] };
        conn.chunked_head(200, fields);
        for chunk in &chunks {
            conn.chunk(chunk);
        }
        let trailers: Vec<&str> = trailers.iter().map(String::as_str).collect();
        conn.end_chunks(&trailers);
    }
}

/// A chunked reply that ends after these chunks without its last one.
pub fn chunked_cut(
    chunks: &[&str],
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    let chunks = owned(chunks);
    move |_, conn| {
        conn.chunked_head(200, &[]);
        for chunk in &chunks {
            conn.chunk(chunk);
        }
        conn.close();
    }
}

/// These 1xx statuses, then the other.
pub fn interim(
    statuses: &[u16],
    then: impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static,
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    let statuses = statuses.to_vec();
    move |request, conn| {
        for status in &statuses {
            conn.send(format!(
                "HTTP/1.1 {status} Interim\r\nLink: </a.css>\r\n\r\n"
            ));
        }
        then(request, conn);
    }
}

/// 200 with a body of `length` bytes, sent in large writes: byte `n` is `n % 251`.
pub fn big(length: usize) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    move |_, conn| {
        let head = reply_head(200, &["Content-Type: application/octet-stream"]);
        conn.send(format!("{head}Content-Length: {length}\r\n\r\n"));
        let mut sent = 0;
        while sent < length && !conn.is_gone() {
            let size = (length - sent).min(251 * 1024);
            // 251 divides the size of every piece but the last, so each starts at 0.
            conn.send(pattern(size));
            sent += size;
        }
    }
}

/// What [`big`] sends.
#[must_use]
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

/// 200 with a Content-Length, in `count` pieces with a pause after each.
pub fn slow(
    piece: &str,
    count: usize,
    pause: Duration,
) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    let piece = piece.to_owned();
    move |_, conn| {
        let length = piece.len() * count;
        let head = reply_head(200, &[]);
        conn.send(format!("{head}Content-Length: {length}\r\n\r\n"));
        for _ in 0..count {
            if conn.is_gone() {
                return;
            }
            conn.send(&piece);
            std::thread::sleep(pause);
        }
    }
}

/// An HTTP/1.0 reply whose body ends with the connection.
pub fn http10(body: &str) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    raw_then_close(format!("HTTP/1.0 200 OK\r\nServer: old\r\n\r\n{body}"))
}

/// Both Content-Length and chunked: a smuggler's reply.
pub fn two_framings() -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
}

/// Two Content-Lengths that differ.
pub fn two_lengths() -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    raw("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")
}

/// A chunk size that is no number.
pub fn bad_chunk() -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n")
}

/// A good reply, and a second one that nobody asked for right behind it.
pub fn one_too_many() -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    )
}

fn send_part(conn: &mut OriginConn, length: usize, sent: usize) {
    let head = reply_head(200, &[]) + &format!("Content-Length: {length}\r\n\r\n");
    conn.send([head.as_bytes(), &pattern(sent)].concat());
}

/// A reply to HEAD has no body, though its length is told; here it is told as 0.
fn body_for(request: &RawRequest, body: Vec<u8>) -> Vec<u8> {
    match request.method() {
        "HEAD" => Vec::new(),
        _ => body,
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}
