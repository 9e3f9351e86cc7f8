//! One active check: what is asked of a target, and what its answer means.
//!
//! Must hold: a check ends by its timeout; it reads heads only, up to [`HEAD_BYTES_MAX`], with the
//! parser that exchanges use; a reason says what was seen and what was wanted, in the same words
//! each time, so that a log can be searched.
//! Never: uses pooled connections. A check is to see what a new client would see.

mod h2;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use portway_core::limits;
use portway_http::h1::parse::{head_end, reply_head};
use portway_tls::{Alpn, Connector, TargetName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::spec::{Probe, Protocol};

/// A reply's head is no larger than this, bytes; the body is not read.
pub(crate) const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Who is asked, and how to get there.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub addr: SocketAddr,
    pub protocol: Protocol,
    /// With TLS, by this name.
    pub tls: Option<(&'a Connector, TargetName<'a>)>,
}

/// A connection, with TLS or without.
trait Transport: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Transport for T {}

impl Asked<'_> {
    /// A connection, and what is to be spoken over it.
    async fn open(&self) -> Result<(Box<dyn Transport>, Alpn), String> {
        let stream = connect(self.addr).await?;
        let Some((connector, name)) = self.tls else {
            return Ok((Box::new(stream), self.spoken(None)));
        };
        let secure = connector.connect(stream, name).await;
        let secure = secure.map_err(|error| format!("TLS: {error}"))?;
        let spoken = self.spoken(secure.session().alpn);
        Ok((Box::new(secure), spoken))
    }

    fn spoken(&self, picked: Option<Alpn>) -> Alpn {
        match self.protocol {
            Protocol::H1 => Alpn::H1,
            Protocol::H2 | Protocol::H2Only => Alpn::H2,
            Protocol::Either => picked.unwrap_or(Alpn::H1),
        }
    }

    fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// Asks once; or why the target is not well.
pub(crate) async fn probe(
    asked: Asked<'_>,
    probe: &Probe,
    timeout: Duration,
) -> Result<(), Box<str>> {
    let addr = asked.addr;
    let checking = async {
        match probe {
            Probe::Tcp => connect(addr).await.map(drop),
            Probe::Http { path, host, expect } => {
                let host = host.as_deref();
                let status = match asked.open().await? {
                    (stream, Alpn::H2) => {
                        let question = h2::get(asked.scheme(), addr, path, host)?;
                        h2::status(stream, question).await?
                    }
                    (stream, _) => ask(stream, addr, path, host).await?,
                };
                judge(status, expect)
            }
            Probe::Grpc { service } => {
                let question = h2::check(asked.scheme(), addr, service)?;
                h2::serving(asked.open().await?.0, question).await
            }
        }
    };
    match tokio::time::timeout(timeout, checking).await {
        Ok(result) => result.map_err(String::into_boxed_str),
        Err(_) => Err(format!("no {} in {timeout:?}", awaited(probe)).into_boxed_str()),
    }
}

fn awaited(probe: &Probe) -> &'static str {
    match probe {
        Probe::Tcp => "connection",
        Probe::Http { .. } | Probe::Grpc { .. } => "reply",
    }
}

async fn connect(addr: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(addr)
        .await
        .map_err(|error| match error.kind() {
            ErrorKind::ConnectionRefused => "connect refused".to_owned(),
            _ => format!("connect: {error}"),
        })?;
    // On one host, TCP's simultaneous open (RFC 9293, section 3.5) connects a socket to itself when
    // the port that nobody listens on happens to be the one it was given.
    let own = stream
        .local_addr()
        .map_err(|error| format!("connect: {error}"))?;
    if own == addr {
        return Err("connect refused".to_owned());
    }
    Ok(stream)
}

/// The status of the final reply to `GET path`.
async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    addr: SocketAddr,
    path: &str,
    host: Option<&str>,
) -> Result<StatusCode, String> {
    let host = host.map_or_else(|| addr.to_string(), str::to_owned);
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: portway-health\r\nconnection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| format!("send: {error}"))?;
    let mut read = BytesMut::with_capacity(4096);
    for _ in 0..=limits::INFORMATIONAL_MAX {
        let head = read_head(&mut stream, &mut read).await?;
        let head = reply_head(&head, false, HeaderMap::new())
            .map_err(|error| format!("bad reply: {}", error.detail))?;
        if !head.status.is_informational() {
            return Ok(head.status);
        }
    }
    Err("too many informational replies".to_owned())
}

async fn read_head(
    stream: &mut (impl AsyncRead + Unpin),
    read: &mut BytesMut,
) -> Result<Bytes, String> {
    let mut scanned = 0;
    loop {
        if let Some(end) =
            head_end(read, &mut scanned).map_err(|what| format!("bad reply: {what}"))?
        {
            return Ok(read.split_to(end).freeze());
        }
        if read.len() >= HEAD_BYTES_MAX {
            return Err(format!(
                "bad reply: its head is over {} KiB",
                HEAD_BYTES_MAX / 1024
            ));
        }
        match stream.read_buf(read).await {
            Ok(0) => return Err("closed without a reply".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("read: {error}")),
        }
    }
}

/// Whether the status is one of those that mean "well" (inclusive ranges).
fn judge(status: StatusCode, expect: &[(u16, u16)]) -> Result<(), String> {
    let status = status.as_u16();
    if expect
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&status))
    {
        return Ok(());
    }
    let wanted: Vec<_> = expect
        .iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    Err(format!("status {status}, wanted {}", wanted.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_outside_all_ranges_is_named_with_what_was_wanted() {
        let expect = [(200, 299), (401, 401)];
        let judged = |status| judge(StatusCode::from_u16(status).unwrap(), &expect);
        for good in [200, 204, 299, 401] {
            assert_eq!(judged(good), Ok(()));
        }
        for bad in [199, 300, 400, 402, 503] {
            let why = format!("status {bad}, wanted 200-299, 401");
            assert_eq!(judged(bad), Err(why));
        }
    }
}
