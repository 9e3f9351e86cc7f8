//! What of a request is still on its way when its reply has been sent, and how a connection is closed.
//!
//! Must hold: a connection is used again only behind the whole of its last request (CVE-2025-4366); what
//! is read only to be thrown away is bounded in octets and in time.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use portway_core::limits;
use portway_http::h1::Incoming;
use portway_http::{Body, BodyLength, Exchange};

use super::{Next, Session};

/// After the last reply, what the client still sends is read for so long at most, so that our closing
/// does not destroy the reply on its way (RFC 9112, section 9.6): whoever sends a large body reads its
/// refusal only behind it.
const LINGER: Duration = Duration::from_secs(30);
/// A client that sends nothing for so long has sent all.
const LINGER_QUIET: Duration = Duration::from_secs(2);
/// And so many octets at most.
const LINGER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// What of a request's body is still on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    None,
    /// Cheaper to read than a new connection.
    Small,
    /// Too much, or without a known end.
    Endless,
}

impl Session {
    /// What of the request nobody has read.
    pub(super) fn rest_of_request(&self, exchange: &Exchange) -> Rest {
        // Behind a body that broke, nothing says where the next request begins: taken for one, the
        // rest of the body would be smuggled.
        if !self.conn.is_sound() {
            return Rest::Endless;
        }
        if self.conn.body_is_done() {
            return Rest::None;
        }
        if self.worker.wheel.now() >= exchange.read_deadline {
            return Rest::Endless;
        }
        // A client that waits for `100 Continue` may send its body or not: no telling where the next
        // request begins.
        if self.conn.expects_continue() {
            return Rest::Endless;
        }
        match Incoming::new(self.conn.clone()).length() {
            BodyLength::Exact(left) if left <= limits::DRAIN_BYTES_MAX => Rest::Small,
            _ => Rest::Endless,
        }
    }

    /// Reads a small rest of the request, so that the connection can go on.
    pub(super) async fn drain(&self, exchange: &Exchange) -> Next {
        let mut left = Body::H1(Incoming::new(self.conn.clone()));
        let reading = async {
            while let Some(frame) = left.frame().await {
                if frame.is_err() {
                    return false;
                }
            }
            true
        };
        match portway_net::with_deadline(&self.timer, exchange.read_deadline, reading).await {
            Ok(true) => Next::Go,
            _ => Next::Close,
        }
    }

    pub(super) async fn linger(&self) {
        let _lingering = self.door.connections.linger();
        let end = self.worker.wheel.now() + LINGER;
        let mut quiet_end = self.worker.wheel.now() + LINGER_QUIET;
        let mut left = LINGER_BYTES_MAX;
        let mut closed = false;
        poll_fn(|cx| {
            if self.is_cut() {
                return Poll::Ready(()); // nothing waits for this
            }
            if !closed {
                match self.conn.poll_shutdown(cx) {
                    Poll::Ready(Ok(())) => closed = true,
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => return self.timer.poll(cx, quiet_end),
                }
            }
            let before = left;
            if self.conn.poll_discard(cx, &mut left).is_ready() {
                return Poll::Ready(());
            }
            if left < before {
                quiet_end = end.min(self.worker.wheel.now() + LINGER_QUIET);
            }
            self.timer.poll(cx, quiet_end)
        })
        .await;
    }
}
