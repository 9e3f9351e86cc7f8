//! Bodies on their way through: a caller's text to octets, and a service's reply to frames with the
//! trailers last.
//!
//! Must hold: a frame is passed on when it comes; what was to be done along with the body goes on.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use portway_core::{Code, GrpcStatus, ProxyError};
use portway_http::body::{BodyStream, PollFrame};
use portway_http::grpc::web::{Form, NotText, TextReader, trailers_frame};
use portway_http::{Body, BodyLength, Frame, grpc};

/// The octets of a caller's text.
pub(super) struct FromText {
    text: Body,
    reader: TextReader,
    over: bool,
}

impl FromText {
    pub(super) fn new(text: Body) -> FromText {
        FromText {
            text,
            reader: TextReader::default(),
            over: false,
        }
    }
}

impl BodyStream for FromText {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PollFrame {
        if self.over {
            return Poll::Ready(None);
        }
        let frame = ready!(self.poll_octets(cx));
        self.over = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn length(&self) -> BodyLength {
        let is_read = self.text.is_empty() && self.reader.end().is_ok();
        if self.over || is_read {
            BodyLength::Exact(0)
        } else {
            BodyLength::Unknown
        }
    }

    fn poll_companion(mut self: Pin<&mut Self>, cx: &mut Context<'_>) {
        self.text.poll_companion(cx);
    }

    fn limit(mut self: Pin<&mut Self>, bytes_max: u64) {
        self.text.limit(bytes_max);
    }
}

impl FromText {
    fn poll_octets(&mut self, cx: &mut Context<'_>) -> PollFrame {
        loop {
            let read = match ready!(self.text.poll_frame(cx)) {
                Some(Ok(Frame::Data(piece))) => self.reader.read(&piece),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                // A call has no trailers.
                Some(Ok(Frame::Trailers(_))) | None => {
                    let end = self.reader.end();
                    return Poll::Ready(end.err().map(|bad| Err(refused(bad))));
                }
            };
            match read.map_err(refused) {
                Ok(octets) if octets.is_empty() => {}
                read => return Poll::Ready(Some(read.map(Frame::Data))),
            }
        }
    }
}

fn refused(_: NotText) -> ProxyError {
    ProxyError::new(Code::BadRequest, "the body is not base64")
}

/// A service's reply, its trailers in a frame.
pub(super) struct ToWeb {
    reply: Body,
    form: Form,
    status: StatusCode,
    ending: Option<grpc::Ending>,
    /// What it ends with, if the rest of the reply is not waited for.
    given_up: Option<HeaderMap>,
    over: bool,
}

impl ToWeb {
    pub(super) fn new(
        reply: Body,
        form: Form,
        status: StatusCode,
        ending: Option<grpc::Ending>,
    ) -> ToWeb {
        ToWeb {
            reply,
            form,
            status,
            ending,
            given_up: None,
            over: false,
        }
    }

    /// What a reply without trailers stands for.
    fn no_trailers(&self) -> HeaderMap {
        let status = match self.status {
            StatusCode::OK => GrpcStatus::UNKNOWN,
            other => grpc::status_of_http(other),
        };
        let name = HeaderName::from_static("grpc-status");
        HeaderMap::from_iter([(name, HeaderValue::from(u16::from(status.code())))])
    }

    /// The trailers of a reply that broke off.
    fn broken(&self, error: &ProxyError) -> HeaderMap {
        if let Some(ending) = &self.ending {
            ending.set(GrpcStatus::from_code(error.kind.grpc_status()));
        }
        grpc::ending_fields(error)
    }
}

impl BodyStream for ToWeb {
    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PollFrame {
        if self.over {
            return Poll::Ready(None);
        }
        let trailers = match self.given_up.take() {
            Some(trailers) => trailers,
            None => match ready!(self.reply.poll_frame(cx)) {
                Some(Ok(Frame::Data(data))) => {
                    return Poll::Ready(Some(Ok(Frame::Data(self.form.write(data)))));
                }
                Some(Ok(Frame::Trailers(trailers))) => trailers,
                None => self.no_trailers(),
                Some(Err(error)) if error.kind == Code::ClientGone => {
                    self.over = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Some(Err(error)) => self.broken(&error),
            },
        };
        self.over = true;
        self.reply = Body::Empty;
        let frame = self.form.write(trailers_frame(&trailers));
        Poll::Ready(Some(Ok(Frame::Data(frame))))
    }

    fn length(&self) -> BodyLength {
        if self.over {
            BodyLength::Exact(0)
        } else {
            BodyLength::Unknown
        }
    }

    fn poll_companion(mut self: Pin<&mut Self>, cx: &mut Context<'_>) {
        self.reply.poll_companion(cx);
    }

    fn give_up(mut self: Pin<&mut Self>, reason: &ProxyError) -> bool {
        if !self.over {
            self.given_up = Some(self.broken(reason));
        }
        !self.over
    }
}
