//! A gRPC backend for the harness: answers every call with the same message of 128 bytes, over HTTP/2
//! without TLS.
//!
//! Must hold: it costs so little that the proxy under test is what limits a run, and its replies are what
//! a server sends: fields, one message, a status in the trailers.
//! It never decodes a request, and it keeps no account of its peer's windows: what is under way on one
//! connection of the harness (some hundred replies of 150 bytes) is far below the 65,535 bytes that a
//! peer grants at least, and peers grant what they have read long before that. Loopback only.
//!
//! Usage: `calls PORT`

use std::io;
use std::process::ExitCode;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const FRAME_HEAD_BYTES: usize = 9;
const MESSAGE_BYTES: u8 = 128;
const READ_BUFFER_BYTES: usize = 64 * 1024;
/// Octets of requests after which the peer may send as many again.
const GRANT_BYTES: u32 = 16 * 1024;

// RFC 9113, section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// `:status: 200` by its index; `content-type` (index 31) with its value, not to be remembered (RFC 7541).
const FIELDS: &[u8] = b"\x88\x0f\x10\x10application/grpc";
/// `grpc-status: 0`, not to be remembered.
const TRAILERS: &[u8] = b"\x00\x0bgrpc-status\x010";

fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    let length = u32::try_from(payload.len()).expect("small").to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

fn reply(out: &mut Vec<u8>, stream: u32) {
    let mut message = [b'x'; 5 + MESSAGE_BYTES as usize];
    message[..5].copy_from_slice(&[0, 0, 0, 0, MESSAGE_BYTES]);
    frame(out, HEADERS, END_HEADERS, stream, FIELDS);
    frame(out, DATA, 0, stream, &message);
    frame(out, HEADERS, END_HEADERS | END_STREAM, stream, TRAILERS);
}

/// What one connection owes its peer.
#[derive(Default)]
struct Answering {
    out: Vec<u8>,
    /// Octets read that the peer has not been granted again.
    read: u32,
}

impl Answering {
    fn take(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        match kind {
            SETTINGS if flags & ACK == 0 => frame(&mut self.out, SETTINGS, ACK, 0, &[]),
            PING if flags & ACK == 0 => frame(&mut self.out, PING, ACK, 0, payload),
            DATA | HEADERS => {
                if kind == DATA {
                    self.read += u32::try_from(payload.len()).expect("a frame is small");
                }
                if flags & END_STREAM != 0 {
                    reply(&mut self.out, stream);
                }
            }
            _ => {}
        }
        if self.read >= GRANT_BYTES {
            let grant = std::mem::take(&mut self.read).to_be_bytes();
            frame(&mut self.out, WINDOW_UPDATE, 0, 0, &grant);
        }
    }

    /// Takes the whole frames of `bytes`; how many octets those were.
    fn take_all(&mut self, bytes: &[u8]) -> usize {
        let mut start = 0;
        while let Some(head) = bytes.get(start..start + FRAME_HEAD_BYTES) {
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]) & (u32::MAX >> 1);
            let begin = start + FRAME_HEAD_BYTES;
            let Some(payload) = bytes.get(begin..begin + length) else {
                break;
            };
            self.take(head[3], head[4], stream, payload);
            start = begin + length;
        }
        start
    }
}

async fn serve(mut client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut preface = [0; PREFACE.len()];
    client.read_exact(&mut preface).await?;
    if preface != PREFACE {
        return Ok(());
    }
    let mut answering = Answering::default();
    frame(&mut answering.out, SETTINGS, 0, 0, &[]);
    let mut buffer = vec![0_u8; READ_BUFFER_BYTES];
    let mut filled = 0;
    loop {
        client.write_all(&answering.out).await?;
        answering.out.clear();
        let read = client.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(()); // gone, or a frame that no benchmark sends
        }
        filled += read;
        let taken = answering.take_all(&buffer[..filled]);
        buffer.copy_within(taken..filled, 0);
        filled -= taken;
    }
}

fn main() -> ExitCode {
    portway_bench::serving::run("calls", serve)
}
