//! How the server is spoken to: HTTP/1.1 over the gateway's own TLS, one connection a request.
//!
//! Must hold: https only, with the server's certificate checked; every request has an end, every answer
//! a limit; how long the server asks to wait is remembered.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use portway_tls::{Connector, TargetName};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A request is over by then, whatever the server does.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// No answer is larger, bytes: certificate chains have a few KiB.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// No server is waited for longer.
const WAIT_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The way to a server. Clones are the same.
#[derive(Clone)]
pub(crate) struct Http {
    connector: Arc<Connector>,
    wait: Arc<Mutex<Option<Duration>>>,
}

impl Http {
    pub(crate) fn new(connector: Arc<Connector>) -> Http {
        Http {
            connector,
            wait: Arc::default(),
        }
    }

    /// How long the server asked to wait when it refused something for want of rate, if it did since this
    /// was last asked.
    pub(crate) fn take_wait(&self) -> Option<Duration> {
        self.lock_wait().take()
    }

    fn lock_wait(&self) -> std::sync::MutexGuard<'_, Option<Duration>> {
        self.wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(
        self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<Response<Bytes>, String> {
        let (uri, request) = to_origin(request)?;
        let host = uri.host().unwrap_or_default();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(443);
        let server = format!("{host}:{port}");
        let tcp = TcpStream::connect((bare, port))
            .await
            .map_err(|error| format!("cannot connect to {server}: {error}"))?;
        let name = match bare.parse() {
            Ok(ip) => TargetName::Ip(ip),
            Err(_) => TargetName::Dns(bare),
        };
        let stream = self
            .connector
            .connect(tcp, name)
            .await
            .map_err(|error| format!("no TLS with {server}: {error}"))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| format!("no HTTP with {server}: {error}"))?;
        let answer = async {
            let reply = sender.send_request(request).await;
            let reply = reply.map_err(|error| format!("no answer from {server}: {error}"))?;
            let (head, body) = reply.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| format!("half an answer from {server}: {error}"))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        let driving = async {
            // Its failure is the answer's failure; its end says nothing.
            let _ = connection.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            answer = answer => answer,
            () = driving => Err(format!("no answer from {server}")),
        }
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let http = self.clone();
        Box::pin(async move {
            let answer = timeout(REQUEST_TIMEOUT, http.clone().exchange(request)).await;
            let answer = answer.unwrap_or_else(|_| Err("the server does not answer".to_owned()));
            let (parts, body) = answer.map_err(|why| Error::Other(why.into()))?.into_parts();
            if matches!(
                parts.status,
                StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
            ) {
                *http.lock_wait() = parts.headers.get(RETRY_AFTER).and_then(seconds);
            }
            Ok(BytesResponse {
                parts,
                body: Box::new(body),
            })
        })
    }
}

/// The request as it is sent to the server itself.
fn to_origin<B>(mut request: Request<B>) -> Result<(Uri, Request<B>), String> {
    let uri = request.uri().clone();
    let wrong = || format!("`{uri}` is no https URL");
    let authority = uri
        .authority()
        .filter(|_| uri.scheme_str() == Some("https"));
    let authority = authority.ok_or_else(wrong)?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    *request.uri_mut() = target.parse().map_err(|_| wrong())?;
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| wrong())?;
    request.headers_mut().insert(HOST, host);
    let close = HeaderValue::from_static("close");
    request.headers_mut().insert(CONNECTION, close);
    Ok((uri, request))
}

/// A number of seconds. A date is what no server of today sends; the pauses between tries will do.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(WAIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_the_origin_it_names() {
        let request = Request::get("https://acme.example:14000/dir?x=1")
            .body(())
            .unwrap();
        let (uri, request) = to_origin(request).unwrap();
        assert_eq!(uri.host(), Some("acme.example"));
        assert_eq!(request.uri(), "/dir?x=1");
        assert_eq!(request.headers()[HOST], "acme.example:14000");
        for uri in ["http://acme.example/dir", "/dir"] {
            assert!(
                to_origin(Request::get(uri).body(()).unwrap()).is_err(),
                "{uri}"
            );
        }
    }

    #[test]
    fn waits_no_longer_than_a_week() {
        let seconds = |text| seconds(&HeaderValue::from_static(text));
        assert_eq!(seconds("120"), Some(Duration::from_secs(120)));
        assert_eq!(seconds("99999999999"), Some(WAIT_MAX));
        assert_eq!(seconds("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }
}
