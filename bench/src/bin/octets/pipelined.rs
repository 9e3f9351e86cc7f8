//! HTTP/1 with many requests sent at once: the replies come one after the other, each its own.

use std::time::Duration;

use fastrand::Rng;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::asked::{Asked, KEY, Shape};
use crate::clients::{Place, soon, told};

const MOST_REQUESTS: usize = 16;
const BUFFER_BYTES: usize = 32 * 1024;

/// Asks for some replies at once; the octets of their bodies.
///
/// # Errors
/// What is wrong with one of them.
pub async fn some(
    stream: &mut TcpStream,
    place: &Place,
    rng: &mut Rng,
) -> Result<Vec<u64>, String> {
    let count = rng.usize(1..=MOST_REQUESTS);
    let asked: Vec<Asked> = (0..count)
        .map(|_| Asked {
            sent: 0,
            ..Asked::any(rng, &[Shape::Sized])
        })
        .collect();
    let mut requests = String::new();
    for one in &asked {
        let path = place.path(one);
        requests += &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    }
    stream.write_all(requests.as_bytes()).await.map_err(told)?;
    if rng.bool() {
        tokio::time::sleep(Duration::from_millis(rng.u64(1..300))).await;
    }
    let mut replies = Replies {
        stream,
        unread: Vec::new(),
    };
    for one in &asked {
        let found = replies.next(one).await;
        found.map_err(|found| format!("{one}, of {count} at once: {found}"))?;
    }
    if !replies.unread.is_empty() {
        return Err(format!(
            "{} octets after the last reply",
            replies.unread.len()
        ));
    }
    Ok(asked.iter().map(|one| one.length).collect())
}

struct Replies<'a> {
    stream: &'a mut TcpStream,
    unread: Vec<u8>,
}

impl Replies<'_> {
    async fn more(&mut self) -> Result<(), String> {
        let start = self.unread.len();
        self.unread.resize(start + BUFFER_BYTES, 0);
        let read = soon(self.stream.read(&mut self.unread[start..])).await?;
        let read = read.map_err(told)?;
        self.unread.truncate(start + read);
        if read == 0 {
            return Err(format!("closed, with {start} octets unread"));
        }
        Ok(())
    }

    async fn next(&mut self, asked: &Asked) -> Result<(), String> {
        let end = loop {
            match memmem::find(&self.unread, b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.more().await?,
            }
        };
        let head = String::from_utf8_lossy(&self.unread[..end]).to_ascii_lowercase();
        self.unread.drain(..end);
        let key = format!("{KEY}: {:016x}\r\n", asked.key);
        let length = format!("content-length: {}\r\n", asked.length);
        if !head.starts_with("http/1.1 200 ") || !head.contains(&key) || !head.contains(&length) {
            return Err(format!("another head: {head}"));
        }
        let mut check = asked.reply_check();
        loop {
            let ours = check.left().min(self.unread.len() as u64) as usize;
            check.take(&self.unread[..ours])?;
            self.unread.drain(..ours);
            if check.left() == 0 {
                return Ok(());
            }
            self.more().await?;
        }
    }
}
