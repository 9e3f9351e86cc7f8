//! A file's octets as a body, one chunk in memory at a time.
//!
//! Must hold: exactly as many octets as announced, or an error. A file that shrinks while it is sent
//! must never look complete.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read};
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use portway_core::{Code, ProxyError, limits};
use portway_http::body::PollFrame;
use portway_http::{Body, BodyLength, BodyStream, Frame};
use tokio::task::{JoinHandle, spawn_blocking};

/// What is left of a file, from where it was sought to.
pub(super) struct FileBody {
    state: State,
    left: u64,
}

enum State {
    Idle(File),
    Reading(JoinHandle<io::Result<(File, Bytes)>>),
    Over,
}

impl FileBody {
    /// The next `length` octets of `file`.
    pub(super) fn new(file: File, length: u64) -> FileBody {
        FileBody {
            state: State::Idle(file),
            left: length,
        }
    }
}

impl From<FileBody> for Body {
    fn from(body: FileBody) -> Body {
        Body::Stream(Box::pin(body))
    }
}

impl BodyStream for FileBody {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PollFrame {
        loop {
            let left = self.left;
            match &mut self.state {
                State::Over => return Poll::Ready(None),
                State::Idle(_) if left == 0 => self.state = State::Over,
                State::Idle(_) => self.start(),
                State::Reading(chunk) => {
                    let chunk = ready!(Pin::new(chunk).poll(cx));
                    return Poll::Ready(Some(self.take(chunk.map_err(io::Error::other).flatten())));
                }
            }
        }
    }

    fn length(&self) -> BodyLength {
        BodyLength::Exact(self.left)
    }
}

impl FileBody {
    fn start(&mut self) {
        let chunk = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(limits::BODY_READ_BYTES);
        if let State::Idle(file) = mem::replace(&mut self.state, State::Over) {
            self.state = State::Reading(spawn_blocking(move || {
                let octets = read_exactly(&file, chunk)?;
                Ok((file, Bytes::from(octets)))
            }));
        }
    }

    fn take(&mut self, chunk: io::Result<(File, Bytes)>) -> Result<Frame, ProxyError> {
        self.state = State::Over;
        match chunk {
            Ok((file, octets)) => {
                self.left -= octets.len() as u64;
                self.state = State::Idle(file);
                Ok(Frame::Data(octets))
            }
            Err(error) => Err(ProxyError::new(
                Code::Internal,
                "a file could not be read to its end",
            )
            .with_source(error)),
        }
    }
}

/// The next `length` octets.
///
/// # Errors
///
/// `UnexpectedEof` if the file ends before.
pub(super) fn read_exactly(file: &File, length: usize) -> io::Result<Vec<u8>> {
    let mut octets = Vec::with_capacity(length);
    // Not `read_exact`: that wants the memory zeroed first.
    file.take(length as u64).read_to_end(&mut octets)?;
    if octets.len() < length {
        return Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file became shorter while it was read",
        ));
    }
    Ok(octets)
}
