//! A target that speaks HTTP/2 by the `h2` crate, for everything that is well-behaved.
//!
//! Must hold: each request is handled by a task of its own, all on one thread; what was seen can be
//! asked for from the test's thread.

use std::future::Future;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::sync::Notify;
use tokio::task::{LocalSet, spawn_local};

#[derive(Debug, Default)]
pub struct H2Seen {
    pub requests: Vec<http::request::Parts>,
    pub connections: usize,
    /// Connections open now.
    pub open: usize,
    /// Requests being handled now, and the most there were at once.
    pub active: usize,
    pub active_max: usize,
    /// Why streams were reset by the gateway.
    pub resets: Vec<Reason>,
}

pub struct H2Origin {
    pub addr: SocketAddr,
    seen: Arc<Mutex<H2Seen>>,
    stop: Arc<Notify>,
}

/// One request at the origin.
pub struct H2Call {
    pub head: http::request::Parts,
    pub body: RecvStream,
    pub respond: SendResponse<Bytes>,
    pub seen: Arc<Mutex<H2Seen>>,
    /// Makes the connection say GOAWAY.
    pub go_away: Rc<Notify>,
}

impl H2Origin {
    pub fn start<F: Future<Output = ()> + 'static>(
        handle: impl Fn(H2Call) -> F + Send + 'static,
    ) -> H2Origin {
        H2Origin::with(Builder::new(), handle)
    }

    pub fn with<F: Future<Output = ()> + 'static>(
        builder: Builder,
        handle: impl Fn(H2Call) -> F + Send + 'static,
    ) -> H2Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("non-blocking");
        let addr = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<H2Seen>> = Arc::default();
        let stop = Arc::new(Notify::new());
        let (noted, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let serving = serve(listener, builder, Rc::new(handle), noted);
            LocalSet::new().block_on(&runtime, async {
                tokio::select! {
                    () = serving => {}
                    () = stopped.notified() => {}
                }
            });
        });
        H2Origin { addr, seen, stop }
    }

    pub fn seen(&self) -> MutexGuard<'_, H2Seen> {
        self.seen.lock().expect("not poisoned")
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}

async fn serve<F: Future<Output = ()> + 'static>(
    listener: TcpListener,
    builder: Builder,
    handle: Rc<impl Fn(H2Call) -> F + 'static>,
    seen: Arc<Mutex<H2Seen>>,
) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let (builder, handle, seen) = (builder.clone(), Rc::clone(&handle), Arc::clone(&seen));
        spawn_local(async move {
            note(&seen, |s| {
                s.connections += 1;
                s.open += 1;
            });
            connection(stream, builder, handle, &seen).await;
            note(&seen, |s| s.open -= 1);
        });
    }
}

async fn connection<F: Future<Output = ()> + 'static>(
    stream: tokio::net::TcpStream,
    builder: Builder,
    handle: Rc<impl Fn(H2Call) -> F + 'static>,
    seen: &Arc<Mutex<H2Seen>>,
) {
    let Ok(mut connection) = builder.handshake(stream).await else {
        return;
    };
    let go_away = Rc::new(Notify::new());
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            () = go_away.notified() => {
                connection.graceful_shutdown();
                continue;
            }
        };
        let Some(Ok((request, respond))) = accepted else {
            return;
        };
        let call = H2Call::new(request, respond, seen, &go_away);
        let (handled, seen) = (handle(call), Arc::clone(seen));
        spawn_local(async move {
            handled.await;
            note(&seen, |s| s.active -= 1);
        });
    }
}

fn note(seen: &Mutex<H2Seen>, write: impl FnOnce(&mut H2Seen)) {
    write(&mut seen.lock().expect("not poisoned"));
}

impl H2Call {
    fn new(
        request: Request<RecvStream>,
        respond: SendResponse<Bytes>,
        seen: &Arc<Mutex<H2Seen>>,
        go_away: &Rc<Notify>,
    ) -> H2Call {
        let (head, body) = request.into_parts();
        note(seen, |s| {
            s.active += 1;
            s.active_max = s.active_max.max(s.active);
            if s.requests.len() < 2000 {
                s.requests.push(head.clone());
            }
        });
        H2Call {
            head,
            body,
            respond,
            seen: Arc::clone(seen),
            go_away: Rc::clone(go_away),
        }
    }

    pub fn path(&self) -> String {
        self.head.uri.path().to_owned()
    }

    /// The rest of the body and its trailers.
    pub async fn read(&mut self) -> Result<(Vec<u8>, Option<HeaderMap>), h2::Error> {
        let mut all = Vec::new();
        while let Some(data) = self.body.data().await {
            let data = data?;
            self.body.flow_control().release_capacity(data.len())?;
            all.extend_from_slice(&data);
        }
        Ok((all, self.body.trailers().await?))
    }

    /// How many octets the rest of the body has.
    pub async fn drain(&mut self) -> Result<u64, h2::Error> {
        let mut bytes = 0;
        while let Some(data) = self.body.data().await {
            let data = data?;
            self.body.flow_control().release_capacity(data.len())?;
            bytes += data.len() as u64;
        }
        Ok(bytes)
    }

    pub fn respond(&mut self, response: Response<()>) -> SendStream<Bytes> {
        self.respond
            .send_response(response, false)
            .expect("an open stream")
    }

    /// A whole reply.
    pub fn reply(&mut self, status: u16, body: impl Into<Bytes>) {
        let mut head = Response::new(());
        *head.status_mut() = StatusCode::from_u16(status).expect("a status");
        // The gateway may have lost interest.
        if let Ok(mut stream) = self.respond.send_response(head, false) {
            let _ = stream.send_data(body.into(), true);
        }
    }
}

/// Sends so many octets as the gateway makes room for them.
pub async fn pour(stream: &mut SendStream<Bytes>, mut bytes: u64) -> Result<(), h2::Error> {
    let piece = Bytes::from(vec![b'x'; 64 * 1024]);
    while bytes > 0 {
        let want = piece
            .len()
            .min(usize::try_from(bytes).unwrap_or(usize::MAX));
        stream.reserve_capacity(want);
        let room = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        let room = match room {
            Some(room) => room?.min(want),
            None => return Err(Reason::CANCEL.into()),
        };
        stream.send_data(piece.slice(..room), false)?;
        bytes -= room as u64;
    }
    stream.send_data(Bytes::new(), true)
}
