//! The target: checks the octets of each request and answers with those that were asked for, over HTTP/1
//! and over HTTP/2 without TLS.

use std::cell::RefCell;
use std::collections::HashSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Either, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tungstenite::handshake::derive_accept_key;

use crate::asked::{Asked, Check, KEY, Octets, SAID, Shape};
use crate::local::Local;
use crate::tunnel;

type Failed = Box<dyn std::error::Error + Send + Sync>;
type Reply = Response<Either<Octets, Empty<Bytes>>>;

/// What exchanges leave behind for later ones.
#[derive(Default)]
struct Memory {
    /// First tries that failed.
    failed: HashSet<u64>,
    /// Found in a request whose reply had begun: the next reply says it.
    unsaid: Option<String>,
}

type Shared = Rc<RefCell<Memory>>;

/// Serves for ever.
///
/// # Errors
/// That the port cannot be had.
pub async fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let shared = Shared::default();
    loop {
        let (client, _) = listener.accept().await?;
        client.set_nodelay(true)?;
        let shared = Rc::clone(&shared);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| answer(request, Rc::clone(&shared)));
            // A client that leaves ends its connection with an error: nothing to tell.
            let _ = auto::Builder::new(Local)
                .serve_connection_with_upgrades(TokioIo::new(client), service)
                .await;
        });
    }
}

async fn answer(mut request: Request<Incoming>, shared: Shared) -> Result<Reply, Failed> {
    let asked: Asked = request.uri().path().parse()?;
    if let Some(unsaid) = shared.borrow_mut().unsaid.take() {
        return refuse(&unsaid);
    }
    let check = asked.request_check();
    match asked.shape {
        Shape::Tunnel => {
            let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
            let accept = derive_accept_key(key.map_or(b"", |key| key.as_bytes()));
            let upgrade = hyper::upgrade::on(&mut request);
            tokio::task::spawn_local(async move {
                let Ok(upgraded) = upgrade.await else { return };
                // The client sees an early end itself.
                let found = tunnel::both_ways(
                    tunnel::End::Target,
                    TokioIo::new(upgraded),
                    asked.reply(),
                    check,
                )
                .await;
                keep(&shared, &asked, found.err().unwrap_or_default());
            });
            let reply = Response::builder()
                .status(StatusCode::SWITCHING_PROTOCOLS)
                .header(header::CONNECTION, "upgrade")
                .header(header::UPGRADE, "websocket")
                .header(header::SEC_WEBSOCKET_ACCEPT, accept)
                .header(KEY, format!("{:016x}", asked.key));
            return Ok(reply.body(Either::Right(Empty::new()))?);
        }
        Shape::Early => {
            tokio::task::spawn_local(async move {
                if let Ok(Err(found)) = read(request.into_body(), check).await {
                    keep(&shared, &asked, found);
                }
            });
        }
        Shape::Again if shared.borrow_mut().failed.insert(asked.key) => {
            return Err("the first try fails".into());
        }
        _ => {
            if let Err(found) = read(request.into_body(), check).await? {
                return refuse(&format!("{asked}: {found}"));
            }
        }
    }
    let reply = Response::builder().header(KEY, format!("{:016x}", asked.key));
    Ok(reply.body(Either::Left(asked.reply()))?)
}

/// Whether the octets are those of the request; an error when the client has left.
async fn read(mut body: Incoming, mut check: Check) -> Result<Result<(), String>, hyper::Error> {
    while let Some(frame) = body.frame().await {
        if let Some(data) = frame?.data_ref()
            && let Err(found) = check.take(data)
        {
            return Ok(Err(found));
        }
    }
    Ok(check.end())
}

fn refuse(why: &str) -> Result<Reply, Failed> {
    let reply = Response::builder().status(StatusCode::CONFLICT);
    let reply = reply.header(SAID, format!("the target says: {why}"));
    Ok(reply.body(Either::Right(Empty::new()))?)
}

fn keep(shared: &Shared, asked: &Asked, found: String) {
    if !found.is_empty() {
        shared.borrow_mut().unsaid = Some(format!("{asked}: {found}"));
    }
}
