//! A reply on its way out on one stream: its head, then frame by frame, as fast as the client makes room.
//!
//! Must hold: at most one frame is held here, and the next one is pulled only when the client has made room
//! for the last; octets are counted against the length that the head announced; a reply that broke, or that
//! is not as long as announced, resets its stream, as does one that is dropped half-way. Only a gRPC reply
//! that broke ends in order: its trailers say that it failed.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use ::h3::error::StreamError;
use bytes::Bytes;
use http::{HeaderMap, Response};
use portway_core::{Code, ProxyError};

use super::stream::SendHalf;
use super::transport::Handle;
use crate::body::{Body, BodyLength, Frame};
use crate::grpc;
use crate::streams::{self, Announced, HasBody};

/// See the module.
pub struct Outgoing {
    /// Sends what is ordered; `None` once it has ended.
    writing: Option<Writing>,
    orders: Rc<Orders>,
    handle: Rc<Handle>,
    announced: Announced,
    has_body: HasBody,
    /// Octets of the body's frames that are out.
    done: u64,
    /// The frame that is on its way: its octets, and where the stream stood when it began.
    frame: (u64, u64),
    waits_for_peer: bool,
    is_call: bool,
}

type Writing = Pin<Box<dyn Future<Output = Result<(), StreamError>>>>;

/// What is to be sent next.
#[derive(Default)]
struct Orders {
    next: RefCell<Option<Order>>,
    /// Whether something is on its way.
    busy: Cell<bool>,
}

enum Order {
    Data(Bytes),
    Trailers(HeaderMap),
    End,
}

impl Orders {
    fn give(&self, order: Order) {
        self.busy.set(true);
        self.next.replace(Some(order));
    }
}

/// The library sends by futures that borrow the stream: one holds it, and is told what to do.
async fn write(
    mut stream: SendHalf,
    head: Response<()>,
    orders: Rc<Orders>,
) -> Result<(), StreamError> {
    stream.send_response(head).await?;
    loop {
        orders.busy.set(false);
        // Whoever gives an order polls this.
        let order = poll_fn(|_| match orders.next.take() {
            Some(order) => Poll::Ready(order),
            None => Poll::Pending,
        });
        match order.await {
            Order::Data(octets) => stream.send_data(octets).await?,
            Order::Trailers(section) => {
                stream.send_trailers(section).await?;
                return stream.finish().await;
            }
            Order::End => return stream.finish().await,
        }
    }
}

impl Outgoing {
    pub(super) fn new(
        stream: SendHalf,
        handle: Rc<Handle>,
        head: Response<()>,
        has_body: HasBody,
        announced: BodyLength,
    ) -> Outgoing {
        let orders = Rc::new(Orders::default());
        orders.busy.set(true);
        Outgoing {
            writing: Some(Box::pin(write(stream, head, Rc::clone(&orders)))),
            orders,
            handle,
            announced: Announced(announced),
            has_body,
            done: 0,
            frame: (0, 0),
            waits_for_peer: false,
            is_call: false,
        }
    }

    /// Goes on with what is on its way: ready when the next frame is wanted, or all is out.
    fn poll_written(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ProxyError>> {
        let Some(writing) = &mut self.writing else {
            return Poll::Ready(Ok(()));
        };
        match writing.as_mut().poll(cx) {
            Poll::Ready(Ok(())) => self.writing = None,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(unsent(error))),
            Poll::Pending if self.orders.busy.get() => return Poll::Pending,
            Poll::Pending => {}
        }
        self.done += std::mem::take(&mut self.frame).0;
        Poll::Ready(Ok(()))
    }

    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Body,
    ) -> Poll<Result<(), ProxyError>> {
        loop {
            let written = self.poll_written(cx);
            self.waits_for_peer = written.is_pending();
            match written {
                Poll::Pending => {
                    source.poll_companion(cx); // a client may read only what answers the rest
                    return Poll::Pending;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if self.writing.is_none() => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(())) => {}
            }
            if self.has_body == HasBody::No {
                self.orders.give(Order::End);
                continue;
            }
            match source.poll_frame(cx) {
                Poll::Ready(Some(Ok(Frame::Data(octets)))) => {
                    self.announced.take(octets.len())?;
                    self.frame = (octets.len() as u64, self.handle.written.get());
                    self.orders.give(Order::Data(octets));
                }
                Poll::Ready(Some(Ok(Frame::Trailers(section)))) => {
                    self.announced.check_whole()?;
                    self.orders.give(Order::Trailers(section));
                }
                Poll::Ready(None) => {
                    self.announced.check_whole()?;
                    self.orders.give(Order::End);
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    // The client may lose interest while the body is waited for.
                    return self.handle.poll_gone(cx).map(|()| Err(stopped()));
                }
            }
        }
    }

    /// Says how a call failed; whether that could be said.
    fn tell(&mut self, error: &ProxyError) -> bool {
        let takes_trailers = self.is_call
            && error.kind != Code::ClientGone
            && !self.orders.busy.get()
            && self.announced.is_met();
        if !takes_trailers {
            return false;
        }
        self.orders
            .give(Order::Trailers(grpc::ending_fields(error)));
        let mut cx = Context::from_waker(Waker::noop());
        self.poll_written(&mut cx).is_ready() && self.writing.is_none()
    }
}

impl streams::Outgoing for Outgoing {
    fn poll(&mut self, cx: &mut Context<'_>, source: &mut Body) -> Poll<Result<(), ProxyError>> {
        let sent = self.poll_send(cx, source);
        if let Poll::Ready(Err(error)) = &sent {
            self.break_off(error);
        }
        sent
    }

    fn bytes(&self) -> u64 {
        let (octets, began) = self.frame;
        let written = self.handle.written.get().saturating_sub(began);
        self.done + written.min(octets)
    }

    fn waits_for_peer(&self) -> bool {
        self.waits_for_peer
    }

    fn set_call(&mut self) {
        self.is_call = true;
    }

    fn break_off(&mut self, error: &ProxyError) {
        if self.writing.is_some() && !self.tell(error) {
            self.writing = None; // lets go of the stream, which resets it
        }
    }
}

/// Why a reply cannot go on.
fn unsent(error: StreamError) -> ProxyError {
    match error {
        StreamError::HeaderTooBig { .. } => ProxyError::new(
            Code::ClientGone,
            "the client takes no head as large as the reply's",
        ),
        _ => stopped(),
    }
    .with_source(error)
}

fn stopped() -> ProxyError {
    ProxyError::new(Code::ClientGone, "the client stopped reading")
}
