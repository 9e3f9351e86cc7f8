//! The fixed backend of the side-by-side harness: answers every request head with the same bytes.
//!
//! Must hold: it costs so little that the proxy under test is what limits a run, and it gives every
//! proxy the same answers: 128 bytes, or 1 MiB for targets starting with `/big`.
//! It never reads a request body, never parses more than the start of the request line, and never
//! closes a connection first. Not a web server: loopback only.
//!
//! Usage: `origin PORT`

use std::io;
use std::process::ExitCode;

use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SMALL_BODY_BYTES: usize = 128;
const BIG_BODY_BYTES: usize = 1 << 20;
/// More than 64 pipelined request heads of a proxy fit; a longer head closes the connection.
const READ_BUFFER_BYTES: usize = 16 * 1024;

struct Answers {
    small: Vec<u8>,
    big: Vec<u8>,
}

impl Answers {
    fn new() -> Answers {
        Answers {
            small: answer(SMALL_BODY_BYTES),
            big: answer(BIG_BODY_BYTES),
        }
    }

    /// The whole reply to a request head.
    fn pick(&self, head: &[u8]) -> &[u8] {
        if head.starts_with(b"GET /big") {
            &self.big
        } else {
            &self.small
        }
    }
}

fn answer(body_bytes: usize) -> Vec<u8> {
    let mut bytes = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {body_bytes}\r\n\r\n"
    )
    .into_bytes();
    bytes.resize(bytes.len() + body_bytes, b'x');
    bytes
}

async fn serve(mut client: TcpStream, answers: &'static Answers) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut buffer = vec![0_u8; READ_BUFFER_BYTES];
    let mut filled = 0;
    loop {
        if filled == buffer.len() {
            return Ok(()); // a head that does not fit is no benchmark request
        }
        let read = client.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let mut start = 0;
        while let Some(end) = memmem::find(&buffer[start..filled], b"\r\n\r\n") {
            client.write_all(answers.pick(&buffer[start..])).await?;
            start += end + 4;
        }
        buffer.copy_within(start..filled, 0);
        filled -= start;
    }
}

fn main() -> ExitCode {
    let answers: &'static Answers = Box::leak(Box::new(Answers::new()));
    portway_bench::serving::run("origin", move |client| serve(client, answers))
}
