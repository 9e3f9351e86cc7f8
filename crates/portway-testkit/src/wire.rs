//! One side of an HTTP/1 connection, read byte for byte: what came is kept as it came.
//!
//! Must hold: strict enough to tell a well-framed message from a broken one (CRLF, RFC 9112), and
//! written apart from the gateway's codec. Every call ends within its timeout.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portway_core::{Clock, Mono};
use socket2::SockRef;

use crate::wait::TIMEOUT;

/// Names and values in the order in which they came, values without space around them. Bytes that
/// are no UTF-8 are replaced; [`Head::raw`] has them.
pub type Fields = Vec<(String, String)>;

/// The start line and fields of a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The first line without its line end.
    pub start: String,
    /// The header fields.
    pub fields: Fields,
    /// All of it, up to and with the empty line.
    pub raw: Vec<u8>,
}

impl Head {
    /// The value of a field that is there exactly once; none if it is not there.
    ///
    /// # Panics
    /// If it is there more than once.
    #[must_use]
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "`{name}` more than once: {all:?}");
        all.first().copied()
    }

    /// Every value of a field.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        let of_name = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        let fields = self.fields.iter().filter(of_name);
        fields.map(|(_, value)| value.as_str()).collect()
    }

    /// The `n`th word of the start line, from 0.
    #[must_use]
    pub fn word(&self, n: usize) -> &str {
        self.start.splitn(3, ' ').nth(n).unwrap_or_default()
    }

    fn parse(raw: Vec<u8>) -> Result<Head> {
        let text = String::from_utf8_lossy(&raw);
        let text = text.strip_suffix("\r\n\r\n").unwrap_or(&text);
        let (start, fields) = text.split_once("\r\n").unwrap_or((text, ""));
        Ok(Head {
            start: line(start)?.to_owned(),
            fields: parse_fields(fields)?,
            raw,
        })
    }
}

fn parse_fields(text: &str) -> Result<Fields> {
    let lines = text.split("\r\n").filter(|line| !line.is_empty());
    lines
        .map(|text| {
            let (name, value) = line(text)?
                .split_once(':')
                .ok_or_else(|| broken(format!("no colon in {text:?}")))?;
            Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
        })
        .collect()
}

fn line(text: &str) -> Result<&str> {
    if text.contains(['\r', '\n']) {
        return Err(broken(format!("a bare CR or LF in {text:?}")));
    }
    Ok(text)
}

/// A connection and what has been read from it ahead.
pub struct Wire {
    stream: TcpStream,
    ahead: Vec<u8>,
    clock: Clock,
    timeout: Duration,
    /// Gets every byte read, if set.
    record: Option<Arc<Mutex<Vec<u8>>>>,
}

impl Wire {
    /// Takes a blocking stream.
    #[must_use]
    pub fn new(stream: TcpStream) -> Wire {
        let _ = stream.set_nodelay(true);
        Wire {
            stream,
            ahead: Vec::new(),
            clock: Clock::system(),
            timeout: TIMEOUT,
            record: None,
        }
    }

    /// Keeps a copy of every byte read from now on, up to `RECORD_MAX`.
    pub fn record(&mut self, to: Arc<Mutex<Vec<u8>>>) {
        self.record = Some(to);
    }

    /// How long one call may take.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The stream itself.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Bytes read and not used yet.
    #[must_use]
    pub fn ahead(&self) -> &[u8] {
        &self.ahead
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// Those of the socket; `TimedOut` if the peer does not read.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.set_write_timeout(Some(self.timeout))?;
        self.stream.write_all(bytes).map_err(timed_out)
    }

    /// A message head; none if the peer closed before its first byte.
    ///
    /// # Errors
    /// `UnexpectedEof` in the middle of one, `InvalidData` if it is none, and those of the socket.
    pub fn head(&mut self) -> Result<Option<Head>> {
        let deadline = self.deadline();
        loop {
            if let Some(end) = find(&self.ahead, b"\r\n\r\n") {
                let raw = self.ahead.drain(..end + 4).collect();
                return Head::parse(raw).map(Some);
            }
            if self.fill(deadline)? == 0 {
                return match self.ahead.is_empty() {
                    true => Ok(None),
                    false => Err(ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Exactly `length` bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` if there are fewer, and those of the socket.
    pub fn exactly(&mut self, length: usize) -> Result<Vec<u8>> {
        let deadline = self.deadline();
        while self.ahead.len() < length {
            if self.fill(deadline)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// A chunked body.
    ///
    /// # Errors
    /// As [`Wire::head`].
    pub fn chunked(&mut self) -> Result<Chunked> {
        let mut chunked = Chunked::default();
        loop {
            let line = self.line()?;
            let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(digits).ok();
            let size = size.and_then(|digits| usize::from_str_radix(digits, 16).ok());
            let size = size.ok_or_else(|| broken(format!("chunk size {line:?}")))?;
            chunked.raw.extend([&line[..], b"\r\n"].concat());
            if size == 0 {
                break;
            }
            let data = self.exactly(size + 2)?;
            if !data.ends_with(b"\r\n") {
                return Err(broken("a chunk longer than its size".to_owned()));
            }
            chunked.sizes.push(size);
            chunked.body.extend(&data[..size]);
            chunked.raw.extend(data);
        }
        loop {
            let line = self.line()?;
            chunked.raw.extend([&line[..], b"\r\n"].concat());
            if line.is_empty() {
                return Ok(chunked);
            }
            let field = parse_fields(&String::from_utf8_lossy(&line))?;
            chunked.trailers.extend(field);
        }
    }

    /// Everything until the peer closes.
    ///
    /// # Errors
    /// `ConnectionReset` and the like if it does not close in order, `TimedOut`.
    pub fn to_close(&mut self) -> Result<Vec<u8>> {
        let deadline = self.deadline();
        while self.fill(deadline)? > 0 {}
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Waits for the peer to close or reset, throwing away what it sends.
    ///
    /// # Errors
    /// `TimedOut` if it does not.
    pub fn wait_close(&mut self, timeout: Duration) -> Result<()> {
        let deadline = self.clock.now() + timeout;
        loop {
            self.ahead.clear();
            match self.fill(deadline) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::TimedOut => return Err(error),
                Err(_) => return Ok(()),
            }
        }
    }

    /// Whether any byte, or the end, comes within `time`.
    ///
    /// # Errors
    /// Those of the socket, but not a timeout.
    pub fn stirs(&mut self, time: Duration) -> Result<bool> {
        if !self.ahead.is_empty() {
            return Ok(true);
        }
        match self.fill(self.clock.now() + time) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::TimedOut => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Closes in order: both ways, or only this side's.
    pub fn shutdown(&self, how: Shutdown) {
        let _ = self.stream.shutdown(how);
    }

    /// Makes the close, when this is dropped, a reset.
    pub fn reset_on_close(&self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    fn line(&mut self) -> Result<Vec<u8>> {
        let deadline = self.deadline();
        loop {
            if let Some(end) = find(&self.ahead, b"\n") {
                let line: Vec<u8> = self.ahead.drain(..=end).collect();
                let line = line.strip_suffix(b"\r\n");
                return line
                    .map(<[u8]>::to_vec)
                    .ok_or_else(|| broken("a line ends in a bare LF".to_owned()));
            }
            if self.fill(deadline)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn deadline(&self) -> Mono {
        self.clock.now() + self.timeout
    }

    /// One read; 0 at the end.
    fn fill(&mut self, deadline: Mono) -> Result<usize> {
        let left = deadline.since(self.clock.now());
        // Zero would mean no timeout at all.
        let left = left.max(Duration::from_millis(1));
        self.stream.set_read_timeout(Some(left))?;
        let mut buffer = [0; 64 * 1024];
        let length = self.stream.read(&mut buffer).map_err(timed_out)?;
        if let Some(record) = &self.record {
            let mut record = record.lock().expect("no panic while recording");
            let room = RECORD_MAX.saturating_sub(record.len());
            record.extend(&buffer[..length.min(room)]);
        }
        self.ahead.extend(&buffer[..length]);
        Ok(length)
    }
}

/// Bytes recorded per connection.
pub const RECORD_MAX: usize = 4 * 1024 * 1024;

/// A chunked body as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chunked {
    /// The content.
    pub body: Vec<u8>,
    /// The size of each chunk.
    pub sizes: Vec<usize>,
    /// The trailer fields.
    pub trailers: Fields,
    /// All bytes, sizes and line ends with them.
    pub raw: Vec<u8>,
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|part| part == what)
}

pub(crate) fn broken(what: String) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}

/// A socket's timeout is `WouldBlock`; say it clearer.
fn timed_out(error: Error) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    }
}
