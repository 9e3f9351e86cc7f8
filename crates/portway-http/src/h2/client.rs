//! A connection to a target: its streams, how many there may be, and whether it takes any more.
//!
//! Must hold: no more streams are open than the target allows, and until it has said how many, only one;
//! a connection that the target is closing, or that broke, takes no new one. The connection lives as
//! long as its [`Driver`] runs and somebody holds a [`Client`] or a stream.
//! Never: opens a socket, spawns, or reads a clock.

mod call;
mod counted;
mod head;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};

use ::h2::client::{Builder, Connection, SendRequest};
use ::h2::{Ping, PingPong};
use bytes::Bytes;
use portway_core::{Code, ProxyError, limits};
use tokio::io::{AsyncRead, AsyncWrite};

pub use call::{Call, Heard};
use counted::Counted;
pub use head::ReplyHead;
pub use http::uri::Scheme;

/// Stands for "the target has not said yet": more than a SETTINGS frame can say, less than no limit.
const NOT_SAID: usize = usize::MAX - 1;

/// A connection to a target. Clones are the same connection.
#[derive(Clone)]
pub struct Client(Rc<Shared>);

struct Shared {
    send: RefCell<SendRequest<Bytes>>,
    scheme: Scheme,
    /// Streams open now.
    streams: Cell<usize>,
    /// Streams opened so far.
    opened: Cell<u64>,
    closing: Cell<bool>,
    watch: Rc<dyn Watch>,
}

/// Told of what happens to a connection, so that whoever waits for a stream can look again.
pub trait Watch {
    /// A stream was taken.
    fn taken(&self);
    /// A stream was given back; whether it was the last one.
    fn given_back(&self, last: bool);
    /// The target has said how many streams it allows, or the connection takes no more.
    fn changed(&self);
}

/// Moves a connection's frames; to be run as a task of its own until it is done.
pub struct Driver<T> {
    connection: Connection<Counted<T>, Bytes>,
    octets_in: Rc<Cell<u64>>,
    pings: Option<PingPong>,
    client: Weak<Shared>,
    watch: Rc<dyn Watch>,
    settled: bool,
}

/// The right to one stream of a connection; given back when dropped.
pub struct Slot {
    client: Client,
}

/// Begins to speak HTTP/2 on a fresh connection.
///
/// # Errors
///
/// [`Code::ConnectFailure`] if the connection broke.
pub async fn connect<T: AsyncRead + AsyncWrite + Unpin>(
    io: T,
    scheme: Scheme,
    watch: Rc<dyn Watch>,
) -> Result<(Client, Driver<T>), ProxyError> {
    let io = Counted::new(io);
    let octets_in = io.octets_in();
    let (send, mut connection) = builder().handshake(io).await.map_err(|error| {
        ProxyError::new(Code::ConnectFailure, "the HTTP/2 handshake failed").with_source(error)
    })?;
    let client = Client(Rc::new(Shared {
        send: RefCell::new(send),
        scheme,
        streams: Cell::new(0),
        opened: Cell::new(0),
        closing: Cell::new(false),
        watch: Rc::clone(&watch),
    }));
    let driver = Driver {
        pings: connection.ping_pong(),
        connection,
        octets_in,
        client: Rc::downgrade(&client.0),
        watch,
        settled: false,
    };
    Ok((client, driver))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .enable_push(false)
        .initial_window_size(limits::H2_TARGET_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::H2_TARGET_CONNECTION_WINDOW_BYTES)
        .max_header_list_size(limits::REPLY_HEADER_BYTES_MAX as u32)
        .max_send_buffer_size(limits::H2_SEND_BUFFER_BYTES_MAX)
        .initial_max_send_streams(NOT_SAID)
        .max_concurrent_reset_streams(limits::H2_TARGET_RESETS_KEPT)
        // What still comes for streams that clients gave up is no fault of the target.
        .max_local_error_reset_streams(None);
    builder
}

impl Client {
    /// Takes a stream, if there is one to have.
    #[must_use]
    pub fn open(&self) -> Option<Slot> {
        if self.is_closing() || self.0.streams.get() >= self.streams_max() {
            return None;
        }
        self.0.streams.set(self.0.streams.get() + 1);
        self.0.opened.set(self.0.opened.get() + 1);
        self.0.watch.taken();
        Some(Slot {
            client: self.clone(),
        })
    }

    /// Whether it takes no new streams any more: the target is closing it, or it broke.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let ready = self.0.send.borrow_mut().poll_ready(&mut cx);
        self.0.closing.get() || matches!(ready, Poll::Ready(Err(_)))
    }

    /// Whether the target has said how many streams it allows.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.0.send.borrow().current_max_send_streams() != NOT_SAID
    }

    /// How many streams may be open at once.
    #[must_use]
    pub fn streams_max(&self) -> usize {
        match self.0.send.borrow().current_max_send_streams() {
            NOT_SAID => 1,
            max => max.min(limits::H2_TARGET_STREAMS_MAX),
        }
    }

    /// Whether the target takes WebSockets (SETTINGS_ENABLE_CONNECT_PROTOCOL; RFC 8441, section 3). It may
    /// say so once the connection is settled.
    #[must_use]
    pub fn takes_websockets(&self) -> bool {
        self.0.send.borrow().is_extended_connect_protocol_enabled()
    }

    /// Streams open now.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.0.streams.get()
    }

    /// Streams opened so far.
    #[must_use]
    pub fn opened(&self) -> u64 {
        self.0.opened.get()
    }

    /// Whether both are the same connection.
    #[must_use]
    pub fn is_same(&self, other: &Client) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Slot {
    /// Its connection.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let shared = &self.client.0;
        shared.streams.set(shared.streams.get() - 1);
        shared.watch.given_back(shared.streams.get() == 0);
    }
}

impl<T> Driver<T> {
    /// Octets that have come from the target.
    #[must_use]
    pub fn octets_in(&self) -> u64 {
        self.octets_in.get()
    }

    /// Whether somebody has a stream.
    #[must_use]
    pub fn has_streams(&self) -> bool {
        let client = self.client.upgrade();
        client.is_some_and(|client| client.streams.get() > 0)
    }

    /// Asks the target for a sign of life; the frame leaves when the driver is polled next.
    pub fn ping(&mut self) {
        if let Some(pings) = &mut self.pings {
            let mut cx = Context::from_waker(Waker::noop());
            let _ = pings.poll_pong(&mut cx); // the last answer makes place for another question
            let _ = pings.send_ping(Ping::opaque()); // refused only while one is unanswered
        }
    }

    /// Takes no new stream from now on; those that are open break when the driver is dropped.
    pub fn give_up(&mut self) {
        if let Some(client) = self.client.upgrade()
            && !client.closing.replace(true)
        {
            self.watch.changed();
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Future for Driver<T> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let driver = &mut *self;
        let done = Pin::new(&mut driver.connection).poll(cx);
        if !driver.settled && driver.connection.max_concurrent_send_streams() != NOT_SAID {
            driver.settled = true;
            driver.watch.changed();
        }
        let client = driver.client.upgrade().map(Client);
        if client.is_some_and(|client| done.is_ready() || client.is_closing()) {
            driver.give_up();
        }
        done.map(drop)
    }
}
