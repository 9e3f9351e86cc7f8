//! What comes on a stream, on its way to the `h3` crate.
//!
//! Must hold: nothing is read before what was read last has been taken, by the library or, if it is of a
//! body, by whoever pulls that; what came before a fault in the same octets is taken before the fault is
//! told; a head is read on only with room for all of it. A stream that is let go of before its end is stopped with a code that says so.

use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use ::h3::quic::{self, StreamErrorIncoming as StreamLost, StreamId};
use bytes::{BufMut, Bytes, BytesMut};
use quinn::{ReadError, VarInt};
use tokio::io::AsyncReadExt;

use super::code;
use super::fault::Fault;
use super::sieve::{Piece, Sieve};
use super::transport::{Handle, Shared, id, lost, number};

/// The first read of a stream: a request's head, and for most all of it. Others of heads without room;
/// trailers have what is read of a body.
const FIRST_READ_BYTES: usize = 2048;
/// The others, of bodies: as much as a frame for the target has at least.
pub(super) const READ_BYTES: usize = 16 * 1024;

/// What comes on a stream.
pub(super) struct Receiving {
    /// `None` once this is dropped.
    stream: Option<quinn::RecvStream>,
    number: u64,
    buffer: BytesMut,
    sieve: Sieve,
    ended: bool,
    /// What is wrong with what was read last.
    fault: Option<Fault>,
    /// Room that was taken for the frame that is coming, octets.
    room: u64,
    shared: Rc<Shared>,
    /// Of a request's.
    handle: Option<Rc<Handle>>,
}

impl Receiving {
    pub(super) fn new(
        stream: quinn::RecvStream,
        sieve: Sieve,
        shared: Rc<Shared>,
        handle: Option<Rc<Handle>>,
    ) -> Receiving {
        Receiving {
            number: number(stream.id()),
            stream: Some(stream),
            buffer: BytesMut::new(),
            sieve,
            ended: false,
            fault: None,
            room: 0,
            shared,
            handle,
        }
    }

    fn give_back_room(&mut self) {
        let octets = std::mem::take(&mut self.room);
        self.shared.room.give_back(octets, self.number);
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamLost>> {
        let lacking = self.sieve.lacking();
        if lacking > self.room {
            self.give_back_room();
            self.room = ready!(self.shared.room.poll_take(lacking, self.number, cx));
        }
        // A head that has no room yet holds little.
        let read_bytes = match self.sieve.wants_head() && self.room == 0 {
            true => FIRST_READ_BYTES,
            false => READ_BYTES,
        };
        self.buffer.reserve(read_bytes);
        let read = {
            let mut room = (&mut self.buffer).limit(read_bytes);
            let stream = self.stream.as_mut().expect("only drop takes it");
            ready!(pin!(stream.read_buf(&mut room)).poll(cx))
        };
        match read {
            Ok(0) => {
                self.ended = true;
                self.fault = self.sieve.end().err();
            }
            Ok(_) => {
                let came = self.buffer.split().freeze();
                self.fault = self.sieve.take(&came, &self.shared.watch).err();
                if let (Some(handle), Some(fault)) = (&self.handle, self.sieve.fault()) {
                    handle.fault.set(Some(fault));
                }
                if self.room > 0 && self.sieve.lacking() == 0 {
                    self.give_back_room();
                }
            }
            Err(error) => {
                let inner = error.get_ref().and_then(|e| e.downcast_ref::<ReadError>());
                if let (Some(ReadError::Reset(_)), Some(handle)) = (inner, &self.handle) {
                    handle.given_up();
                }
                return Poll::Ready(Err(match inner {
                    Some(error) => unread(error.clone()),
                    None => StreamLost::Unknown(Box::new(error)),
                }));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl quic::RecvStream for Receiving {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamLost>> {
        loop {
            if let Some(handle) = &self.handle
                && handle.data.borrow().is_some()
            {
                return Poll::Pending; // whoever takes it asks again
            }
            match (self.sieve.pop(), &self.handle) {
                (Some(Piece::Frame(frame)), _) => return Poll::Ready(Ok(Some(frame))),
                (Some(Piece::Data(octets)), Some(handle)) => {
                    handle.data.replace(Some(octets));
                }
                (Some(Piece::Data(_)), None) => {} // only requests have bodies
                (None, _) => {
                    if let Some(fault) = self.fault {
                        return Poll::Ready(Err(StreamLost::Unknown(Box::new(fault))));
                    }
                    if self.ended {
                        return Poll::Ready(Ok(None));
                    }
                    ready!(self.poll_read(cx))?;
                }
            }
        }
    }

    fn stop_sending(&mut self, code: u64) {
        let code = VarInt::from_u64(code).unwrap_or(VarInt::from_u32(code::INTERNAL_ERROR));
        // Fails only for a stream that has ended.
        let _ = self.stream.as_mut().map(|stream| stream.stop(code));
    }

    fn recv_id(&self) -> StreamId {
        id(self.number)
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        self.give_back_room();
        let Some(mut stream) = self.stream.take() else {
            return;
        };
        if self.ended {
            return;
        }
        let Some(handle) = &self.handle else {
            let _ = stream.stop(VarInt::from_u32(code::NO_ERROR));
            return;
        };
        match poll_look(&mut stream, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Some(_))) => {}
            Poll::Ready(Ok(None)) => return,
            Poll::Ready(Err(error)) => {
                if let ReadError::Reset(_) = error {
                    handle.given_up();
                }
                return;
            }
            Poll::Pending if handle.is_answerable() && self.fault.is_none() => {
                match self.shared.await_end(stream) {
                    Ok(()) => return,
                    Err(back) => stream = back,
                }
            }
            Poll::Pending => {}
        }
        let _ = stream.stop(VarInt::from_u32(handle.stop_with.get()));
    }
}

/// What of a stream has come that was not read: its end, or an octet or more.
pub(super) fn poll_look(
    stream: &mut quinn::RecvStream,
    cx: &mut Context<'_>,
) -> Poll<Result<Option<quinn::Chunk>, ReadError>> {
    pin!(stream.read_chunk(1, true)).poll(cx)
}

fn unread(error: ReadError) -> StreamLost {
    match error {
        ReadError::Reset(code) => StreamLost::StreamTerminated {
            error_code: code.into_inner(),
        },
        ReadError::ConnectionLost(error) => StreamLost::ConnectionErrorIncoming {
            connection_error: lost(error),
        },
        other => StreamLost::Unknown(Box::new(other)),
    }
}
