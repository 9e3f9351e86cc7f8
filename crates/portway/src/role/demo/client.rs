//! A small blocking HTTP client for the tour: one request per connection.
//!
//! Must hold: every wait has an end, every reply a limit. For the demo's own services only.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::Duration;

/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A reply, bytes.
const REPLY_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Status line and fields.
    head: String,
    /// The body.
    pub body: String,
}

impl Reply {
    /// A field's first value.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        fields
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    }
}

/// Asks a port of this host.
///
/// # Errors
/// Those of the connection, or if what came back is no reply.
pub fn ask(method: &str, port: u16, target: &str, fields: &[(&str, &str)]) -> Result<Reply> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut request =
        format!("{method} {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n");
    for (name, value) in fields {
        request += &format!("{name}: {value}\r\n");
    }
    if method == "POST" {
        request += "Content-Length: 0\r\n";
    }
    request += "\r\n";
    stream.write_all(request.as_bytes())?;
    let mut reply = Vec::new();
    stream.take(REPLY_BYTES_MAX).read_to_end(&mut reply)?;
    parse(&reply).ok_or_else(|| Error::new(ErrorKind::InvalidData, "not a reply"))
}

fn parse(reply: &[u8]) -> Option<Reply> {
    let text = std::str::from_utf8(reply).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let mut reply = Reply {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    };
    if reply.field("transfer-encoding").is_some() {
        reply.body = unchunk(body)?;
    }
    Some(reply)
}

fn unchunk(mut rest: &str) -> Option<String> {
    let mut body = String::new();
    loop {
        let (size, after) = rest.split_once("\r\n")?;
        let size = usize::from_str_radix(size, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body += after.get(..size)?;
        rest = after.get(size..)?.strip_prefix("\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_replies_of_both_framings() {
        let reply = parse(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A:  b \r\n\r\nhi").unwrap();
        assert_eq!(
            (reply.status, reply.body.as_str(), reply.field("x-a")),
            (200, "hi", Some("b"))
        );
        let reply = parse(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
        )
        .unwrap();
        assert_eq!(reply.body, "hi!");
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi").is_none());
        assert!(parse(b"nonsense").is_none());
    }
}
