//! A request's body on its way to a target, with what of it was read kept for another try.
//!
//! Must hold: every octet is handed out in order, those of an earlier try first; what was handed out is
//! kept only as long as it fits the limit given; trailers are not kept, so a body that handed them out
//! cannot be sent again.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::body::{Body, BodyLength, Frame, PollFrame};
use crate::h1::Conn;
use crate::h1::passing::Passing;

/// What is left of a body after a try, for the next one.
pub struct Unsent {
    /// Octets that were read and must be sent again first.
    pub replay: Vec<Bytes>,
    /// What was not read yet.
    pub rest: Body,
}

impl Unsent {
    /// What is known of the octets that are to be sent.
    #[must_use]
    pub fn length(&self) -> BodyLength {
        let again: usize = self.replay.iter().map(Bytes::len).sum();
        match self.rest.length() {
            BodyLength::Exact(rest) => BodyLength::Exact(rest + again as u64),
            BodyLength::Unknown => BodyLength::Unknown,
        }
    }

    /// Whether it is certain that there is nothing to send, not even trailers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.replay.is_empty() && self.rest.is_empty()
    }
}

/// A body that is being sent.
pub struct Replay {
    body: Body,
    /// Sent again before the rest of the body is read.
    again: Vec<Bytes>,
    sent_again: usize,
    /// What was sent, for another try; `None` once it was more than may be kept.
    kept: Option<Vec<Bytes>>,
    keep_bytes_left: usize,
    had_trailers: bool,
}

impl Replay {
    /// Hands out `unsent` and keeps up to so many octets for another try.
    #[must_use]
    pub fn new(unsent: Unsent, keep_bytes_max: usize) -> Replay {
        Replay {
            body: unsent.rest,
            again: unsent.replay,
            sent_again: 0,
            kept: Some(Vec::new()),
            keep_bytes_left: keep_bytes_max,
            had_trailers: false,
        }
    }

    /// The next frame; `None` at the end.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> PollFrame {
        if let Some(data) = self.again.get(self.sent_again) {
            self.sent_again += 1;
            return Poll::Ready(Some(Ok(Frame::Data(data.clone()))));
        }
        let frame = self.body.poll_frame(cx);
        match &frame {
            Poll::Ready(Some(Ok(Frame::Data(data)))) => self.keep(data),
            Poll::Ready(Some(Ok(Frame::Trailers(_)))) => self.had_trailers = true,
            _ => {}
        }
        frame
    }

    /// The next frame, for somebody who queues it on `conn`: larger ones, once nothing is kept.
    pub(crate) fn poll_passing(
        &mut self,
        cx: &mut Context<'_>,
        passing: &mut Passing,
        conn: &Conn,
    ) -> PollFrame {
        match self.kept {
            Some(_) => self.poll_frame(cx),
            None => passing.poll_frame(cx, &mut self.body, conn),
        }
    }

    /// Whether it is certain that nothing more comes, not even trailers.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.sent_again == self.again.len() && self.body.is_empty()
    }

    fn keep(&mut self, data: &Bytes) {
        match self.keep_bytes_left.checked_sub(data.len()) {
            Some(left) => {
                self.keep_bytes_left = left;
                if let Some(kept) = &mut self.kept {
                    kept.push(data.clone());
                }
            }
            None => {
                self.kept = None;
                self.keep_bytes_left = 0;
            }
        }
    }

    /// Takes the body back for another try; `None` if octets that were sent are no longer there.
    #[must_use]
    pub fn take_back(self) -> Option<Unsent> {
        let mut replay = self.again;
        replay.extend(self.kept?);
        (!self.had_trailers).then_some(Unsent {
            replay,
            rest: self.body,
        })
    }
}
