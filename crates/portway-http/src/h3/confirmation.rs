//! Whether a client has got all of a reply: what is only in a buffer is lost when its connection is closed.
//!
//! Must hold: a reply counts as out when the client has confirmed all of it, wants no more of it, or is
//! gone; one that was reset is not waited for. Never: waits by itself.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll};

use super::code;
use super::transport::{Handle, Shared};

/// Tells of one stream, from when the reply on it has been written to its end, or has broken off.
pub struct Confirmation {
    handle: Rc<Handle>,
    shared: Rc<Shared>,
    quic: quinn::Connection,
    seen: Cell<Traffic>,
}

/// What of a connection's counts tells whether its client takes what is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traffic {
    /// Frames that carried octets of streams.
    sent: u64,
    /// Frames that confirmed something.
    confirmed: u64,
}

impl Confirmation {
    pub(super) fn new(
        handle: Rc<Handle>,
        shared: Rc<Shared>,
        quic: quinn::Connection,
    ) -> Confirmation {
        Confirmation {
            handle,
            shared,
            quic,
            seen: Cell::default(),
        }
    }

    /// Ready when there is nothing to be waited for.
    pub fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.handle.ended.borrow().is_none() {
            return Poll::Ready(()); // reset
        }
        self.handle.poll_gone(cx)
    }

    /// Whether the client has taken anything since this was asked last. One that confirms, but makes no
    /// room, takes nothing; nor does one that says nothing, to whom the same is sent again.
    #[must_use]
    pub fn has_got_on(&self) -> bool {
        let stats = self.quic.stats();
        let now = Traffic {
            sent: stats.frame_tx.stream,
            confirmed: stats.frame_rx.acks,
        };
        let before = self.seen.replace(now);
        before.sent != now.sent && before.confirmed != now.confirmed
    }

    /// Resets the stream: the client shall not wait for the rest.
    pub fn give_up(&self) {
        if let Some(mut stream) = self.handle.ended.take() {
            self.shared
                .reset_request(&self.handle, &mut stream, code::INTERNAL_ERROR);
        }
    }
}
