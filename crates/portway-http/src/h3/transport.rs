//! QUIC as the `h3` crate wants it, over `quinn`.
//!
//! Must hold: what comes passes the [`Sieve`] first (`receiving.rs`); a stream that is let go of before its
//! end is reset with a code that says so, in both directions (`quinn` by itself would end it in order), but
//! one on which nothing but its end is missing is left to end. How a stream ends is held against the client
//! once at most, also if nobody looks.
//! Never: opens a stream that carries requests.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use ::h3::error::Code;
use ::h3::quic::{
    self, ConnectionErrorIncoming as ConnectionLost, StreamErrorIncoming as StreamLost, StreamId,
    WriteBuf,
};
use bytes::{Buf, Bytes};
use portway_core::limits;
use quinn::{ConnectionError, StoppedError, VarInt, WriteError};

use super::code;
use super::fault::Fault;
use super::names::Limits;
use super::receiving::{self, Receiving};
use super::room::Room;
use super::sieve::Sieve;
use super::watch::Watch;

/// A client's QUIC connection.
pub(super) struct Quic {
    connection: quinn::Connection,
    next_request: Option<Next<(quinn::SendStream, quinn::RecvStream)>>,
    next_one_way: Option<Next<quinn::RecvStream>>,
    opening: Option<Next<quinn::SendStream>>,
    shared: Rc<Shared>,
}

type Next<S> = Pin<Box<dyn Future<Output = Result<S, ConnectionError>>>>;

/// What the connection has in common with whoever drives it.
pub(super) struct Shared {
    pub(super) watch: Rc<Watch>,
    sections: Limits,
    pub(super) room: Room,
    /// The stream that was accepted last, until it is asked for.
    pub(super) accepted: RefCell<Option<Rc<Handle>>>,
    /// Whether a request's stream was ever accepted.
    pub(super) has_accepted: Cell<bool>,
    /// New streams are turned away.
    pub(super) refuses: Cell<bool>,
    /// Streams of requests that came whole and are answered, until they end.
    ending: RefCell<Vec<quinn::RecvStream>>,
    /// Streams that were reset.
    pub(super) resets: Cell<u64>,
    /// Those of them that the QUIC library keeps something of.
    kept: Cell<u32>,
}

impl Shared {
    pub(super) fn new(watch: Watch, sections: Limits) -> Shared {
        Shared {
            watch: Rc::new(watch),
            sections,
            room: Room::new(sections.encoded * limits::H3_SECTIONS_COLLECTED),
            accepted: RefCell::default(),
            has_accepted: Cell::new(false),
            refuses: Cell::new(false),
            ending: RefCell::default(),
            resets: Cell::new(0),
            kept: Cell::new(0),
        }
    }

    /// Resets a stream; one that has ended, or was reset before, stays as it is.
    pub(super) fn reset(&self, stream: &mut quinn::SendStream, code: u32) {
        if stream.reset(VarInt::from_u32(code)).is_ok() {
            self.resets.update(|n| n + 1);
        }
    }

    /// Resets a request's stream.
    pub(super) fn reset_request(&self, handle: &Handle, stream: &mut quinn::SendStream, code: u32) {
        // Counts it if the client has stopped it and nobody looked. Otherwise the library waits for that, and
        // does so until the connection ends.
        let polled = handle.poll_gone(&mut Context::from_waker(Waker::noop()));
        if polled.is_pending() {
            self.kept.update(|n| n + 1);
            if self.has_reset_many() {
                self.watch.wake_driver();
            }
        }
        self.reset(stream, code);
    }

    /// Whether so many streams have been reset that the client is to go on over another connection.
    pub(super) fn has_reset_many(&self) -> bool {
        self.kept.get() >= limits::H3_RESET_STREAMS_MAX
    }

    /// Takes a stream of which nothing but the end is to come, if there is room.
    pub(super) fn await_end(&self, stream: quinn::RecvStream) -> Result<(), quinn::RecvStream> {
        let mut ending = self.ending.borrow_mut();
        if ending.len() >= limits::H3_ENDS_AWAITED_MAX {
            return Err(stream);
        }
        ending.push(stream);
        self.watch.wake_driver();
        Ok(())
    }

    /// Lets go of streams that have ended; those on which more comes are waved off.
    pub(super) fn poll_ends(&self, cx: &mut Context<'_>) {
        let mut ending = self.ending.borrow_mut();
        ending.retain_mut(|stream| match receiving::poll_look(stream, cx) {
            Poll::Pending => true,
            Poll::Ready(more) => {
                if let Ok(Some(_)) = more {
                    let _ = stream.stop(VarInt::from_u32(code::NO_ERROR));
                }
                false
            }
        });
    }
}

/// One request's stream, for those who have neither half of it.
pub(super) struct Handle {
    /// What it is reset with when it is let go of before its end; `None` to end it then.
    pub(super) reset_with: Cell<Option<u32>>,
    /// What the client is told if more of its request comes than is read.
    pub(super) stop_with: Cell<u32>,
    /// What was wrong with its head.
    pub(super) fault: Cell<Option<Fault>>,
    /// The next piece of its body: nothing more is read before somebody has taken it.
    pub(super) data: RefCell<Option<Bytes>>,
    /// Octets that went out on it, frames' heads included.
    pub(super) written: Cell<u64>,
    /// Whether a head came that could be read.
    pub(super) has_head: Cell<bool>,
    /// Whether all of the body that the head declared has come.
    pub(super) is_whole: Cell<bool>,
    /// What has been written to its end, but which the client may not have yet.
    pub(super) ended: RefCell<Option<quinn::SendStream>>,
    /// `None` once the client has said so.
    stopped: RefCell<Option<Stopped>>,
    watch: Rc<Watch>,
    /// Whether its end was held against the client.
    charged: Cell<bool>,
}

type Stopped = Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>>>>;

impl Handle {
    fn new(stream: &quinn::SendStream, watch: Rc<Watch>) -> Handle {
        Handle {
            // Also a stream that breaks before there is a request on it.
            reset_with: Cell::new(Some(code::REQUEST_INCOMPLETE)),
            stop_with: Cell::new(code::NO_ERROR),
            fault: Cell::new(None),
            data: RefCell::default(),
            written: Cell::new(0),
            has_head: Cell::new(false),
            is_whole: Cell::new(false),
            ended: RefCell::new(None),
            stopped: RefCell::new(Some(Box::pin(stream.stopped()))),
            watch,
            charged: Cell::new(false),
        }
    }

    /// Whether all of the request that its answer depends on has come.
    pub(super) fn is_answerable(&self) -> bool {
        self.is_whole.get() || self.fault.get().is_some()
    }

    /// The client has given the request up, which counts until it is answered.
    pub(super) fn given_up(&self) {
        if self.reset_with.get().is_some() && !self.charged.replace(true) {
            self.watch.reset();
        }
    }

    /// What the client sent, or did not, has the stream reset.
    pub(super) fn made_us_reset(&self) {
        if !self.charged.replace(true) {
            self.watch.forced_reset();
        }
    }

    /// Ready when the client wants no reply any more, has all of it, or is gone.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut stopped = self.stopped.borrow_mut();
        if let Some(waiting) = &mut *stopped {
            let said = ready!(waiting.as_mut().poll(cx));
            *stopped = None;
            if let Ok(Some(_)) = said {
                self.given_up();
            }
        }
        Poll::Ready(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.has_head.get() {
            self.watch.headless();
        }
    }
}

impl Quic {
    pub(super) fn new(connection: quinn::Connection, shared: Rc<Shared>) -> Quic {
        Quic {
            connection,
            next_request: None,
            next_one_way: None,
            opening: None,
            shared,
        }
    }
}

impl quic::Connection<Bytes> for Quic {
    type RecvStream = Receiving;
    type OpenStreams = Opener;

    fn poll_accept_recv(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Receiving, ConnectionLost>> {
        let connection = &self.connection;
        let next = self.next_one_way.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.accept_uni().await })
        });
        let accepted = ready!(next.as_mut().poll(cx));
        self.next_one_way = None;
        let stream = accepted.map_err(lost)?;
        self.shared.watch.other_frame(); // an honest client opens three or four
        let shared = Rc::clone(&self.shared);
        Poll::Ready(Ok(Receiving::new(stream, Sieve::one_way(), shared, None)))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Both, ConnectionLost>> {
        let (send, receive) = loop {
            let connection = &self.connection;
            let next = self.next_request.get_or_insert_with(|| {
                let connection = connection.clone();
                Box::pin(async move { connection.accept_bi().await })
            });
            let accepted = ready!(next.as_mut().poll(cx));
            self.next_request = None;
            let (mut send, mut receive) = accepted.map_err(lost)?;
            if !self.shared.refuses.get() {
                break (send, receive);
            }
            self.shared.reset(&mut send, code::REQUEST_REJECTED);
            let _ = receive.stop(VarInt::from_u32(code::REQUEST_REJECTED));
        };
        self.shared.has_accepted.set(true);
        let handle = Rc::new(Handle::new(&send, Rc::clone(&self.shared.watch)));
        self.shared.accepted.replace(Some(Rc::clone(&handle)));
        let sieve = Sieve::request(self.shared.sections);
        let shared = Rc::clone(&self.shared);
        let sending = Sending::new(send, shared, Some(Rc::clone(&handle)));
        let shared = Rc::clone(&self.shared);
        Poll::Ready(Ok(Both {
            receive: Receiving::new(receive, sieve, shared, Some(handle)),
            send: sending,
        }))
    }

    fn opener(&self) -> Opener {
        Opener(self.connection.clone())
    }
}

impl quic::OpenStreams<Bytes> for Quic {
    type BidiStream = Both;
    type SendStream = Sending;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Both, StreamLost>> {
        Poll::Ready(Err(not_offered()))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Sending, StreamLost>> {
        let connection = &self.connection;
        let opening = self.opening.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.open_uni().await })
        });
        let opened = ready!(opening.as_mut().poll(cx));
        self.opening = None;
        let stream = opened.map_err(|error| StreamLost::ConnectionErrorIncoming {
            connection_error: lost(error),
        })?;
        let shared = Rc::clone(&self.shared);
        Poll::Ready(Ok(Sending::new(stream, shared, None)))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        close(&self.connection, code, reason);
    }
}

/// The library wants one for clients and for extensions; here it only closes.
pub(super) struct Opener(quinn::Connection);

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = Both;
    type SendStream = Sending;

    fn poll_open_bidi(&mut self, _: &mut Context<'_>) -> Poll<Result<Both, StreamLost>> {
        Poll::Ready(Err(not_offered()))
    }

    fn poll_open_send(&mut self, _: &mut Context<'_>) -> Poll<Result<Sending, StreamLost>> {
        Poll::Ready(Err(not_offered()))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        close(&self.0, code, reason);
    }
}

fn close(connection: &quinn::Connection, code: Code, reason: &[u8]) {
    let code = VarInt::from_u64(code.value()).unwrap_or(VarInt::from_u32(code::INTERNAL_ERROR));
    connection.close(code, reason);
}

fn not_offered() -> StreamLost {
    StreamLost::Unknown("a server opens no such stream".into())
}

/// A request's stream, both ways.
pub(super) struct Both {
    send: Sending,
    receive: Receiving,
}

impl quic::BidiStream<Bytes> for Both {
    type SendStream = Sending;
    type RecvStream = Receiving;

    fn split(self) -> (Sending, Receiving) {
        (self.send, self.receive)
    }
}

impl quic::RecvStream for Both {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamLost>> {
        self.receive.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.receive.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.receive.recv_id()
    }
}

impl quic::SendStream<Bytes> for Both {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamLost>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamLost> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamLost>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

/// What goes out on a stream.
pub(super) struct Sending {
    /// `None` only while it is let go of.
    stream: Option<quinn::SendStream>,
    queue: VecDeque<WriteBuf<Bytes>>,
    shared: Rc<Shared>,
    /// Of a request's.
    handle: Option<Rc<Handle>>,
}

impl Sending {
    fn new(stream: quinn::SendStream, shared: Rc<Shared>, handle: Option<Rc<Handle>>) -> Sending {
        Sending {
            stream: Some(stream),
            queue: VecDeque::new(),
            shared,
            handle,
        }
    }

    fn stream(&mut self) -> &mut quinn::SendStream {
        self.stream.as_mut().expect("only `drop` takes it")
    }
}

impl quic::SendStream<Bytes> for Sending {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamLost>> {
        let stream = self.stream.as_mut().expect("only `drop` takes it");
        while let Some(data) = self.queue.front_mut() {
            while data.has_remaining() {
                let writing = Pin::new(&mut *stream).poll_write(cx, data.chunk());
                let written = ready!(writing).map_err(unwritten)?;
                data.advance(written);
                if let Some(handle) = &self.handle {
                    handle.written.update(|octets| octets + written as u64);
                }
            }
            self.queue.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    /// An informational reply may still be waiting for room when the final one comes.
    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamLost> {
        self.queue.push_back(data.into());
        Ok(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamLost>> {
        ready!(self.poll_ready(cx))?;
        if let Some(handle) = &self.handle {
            handle.reset_with.set(None);
        }
        let finished = self.stream().finish();
        Poll::Ready(finished.map_err(|error| StreamLost::Unknown(Box::new(error))))
    }

    fn reset(&mut self, code: u64) {
        let code = u32::try_from(code).unwrap_or(code::INTERNAL_ERROR);
        let stream = self.stream.as_mut().expect("only `drop` takes it");
        self.shared.reset(stream, code);
    }

    fn send_id(&self) -> StreamId {
        let stream = self.stream.as_ref().expect("only `drop` takes it");
        id(number(stream.id()))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let (Some(handle), Some(mut stream)) = (&self.handle, self.stream.take()) else {
            return;
        };
        match handle.reset_with.get() {
            Some(code) => self.shared.reset_request(handle, &mut stream, code),
            None => *handle.ended.borrow_mut() = Some(stream),
        }
    }
}

pub(super) fn number(id: quinn::StreamId) -> u64 {
    VarInt::from(id).into_inner()
}

pub(super) fn id(number: u64) -> StreamId {
    StreamId::try_from(number).expect("both have 62 bits")
}

pub(super) fn lost(error: ConnectionError) -> ConnectionLost {
    match error {
        ConnectionError::ApplicationClosed(close) => ConnectionLost::ApplicationClose {
            error_code: close.error_code.into_inner(),
        },
        ConnectionError::TimedOut => ConnectionLost::Timeout,
        other => ConnectionLost::Undefined(std::sync::Arc::new(other)),
    }
}

fn unwritten(error: WriteError) -> StreamLost {
    match error {
        WriteError::Stopped(code) => StreamLost::StreamTerminated {
            error_code: code.into_inner(),
        },
        WriteError::ConnectionLost(error) => StreamLost::ConnectionErrorIncoming {
            connection_error: lost(error),
        },
        other => StreamLost::Unknown(Box::new(other)),
    }
}
