//! The reply's way out: messages of a target to JSON for a client.
//!
//! Must hold: a reply's status is not told before the call's is known, or its first message is there; of a
//! stream one message at a time is held, and the next is read when the client has room. A stream that
//! breaks is reset; one that fails ends with its status as the last value.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use portway_core::{Code, GrpcStatus, ProxyError};
use portway_http::body::PollFrame;
use portway_http::grpc::messages::{COMPRESSED, Messages};
use portway_http::{Body, BodyLength, BodyStream, Frame, Reply, grpc};
use prost_reflect::{DynamicMessage, ReflectMessage};

use super::ask::HTTP_BODY;
use super::print::Print;
use super::rules::Rule;
use super::status::{Details, Failure, MESSAGE};

/// Fields of a call that mean nothing to a client of JSON.
static CALL_FIELDS: [HeaderName; 5] = [
    HeaderName::from_static("grpc-status"),
    MESSAGE,
    super::status::DETAILS,
    HeaderName::from_static("grpc-encoding"),
    HeaderName::from_static("grpc-accept-encoding"),
];

/// How the messages of a stream are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Streams {
    /// As one JSON array.
    #[default]
    Array,
    /// One to a line.
    Lines,
}

/// How replies are told.
#[derive(Clone, Debug)]
pub struct Telling {
    /// The binding.
    pub rule: Arc<Rule>,
    /// How messages are printed.
    pub print: Print,
    /// Types of details.
    pub details: Arc<Details>,
    /// How streams are put together.
    pub streams: Streams,
    /// The most octets of one message.
    pub message_bytes_max: usize,
}

/// What comes next from a target.
enum Came {
    Message(DynamicMessage),
    /// The end of the call; `Err` if it failed.
    End(Result<(), Failure>),
}

/// A target's messages.
struct Source {
    telling: Telling,
    from: Body,
    messages: Messages,
}

impl Source {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Came, ProxyError>> {
        loop {
            if let Some(message) = self.messages.take()? {
                if message.flags & COMPRESSED != 0 {
                    return Poll::Ready(Err(bad("a compressed message nobody asked for")));
                }
                let output = self.telling.rule.method.output.clone();
                let decoded = DynamicMessage::decode(output, message.data);
                return Poll::Ready(
                    decoded.map(Came::Message).map_err(|error| {
                        bad("a message that is not of its type").with_source(error)
                    }),
                );
            }
            match ready!(self.from.poll_frame(cx)).transpose()? {
                Some(Frame::Data(data)) => self.messages.push(&data),
                Some(Frame::Trailers(fields)) => return Poll::Ready(self.end(Some(&fields))),
                None => return Poll::Ready(self.end(None)),
            }
        }
    }

    fn end(&self, fields: Option<&HeaderMap>) -> Result<Came, ProxyError> {
        if !self.messages.is_empty() {
            return Err(bad("the last message is cut off"));
        }
        let status = fields.and_then(grpc::status);
        Ok(Came::End(match (status, fields) {
            (Some(status), Some(fields)) => self.telling.verdict(status, fields),
            _ => Err(Failure::new(
                GrpcStatus::UNKNOWN,
                "the target ended the call without a status",
            )),
        }))
    }
}

fn bad(what: &str) -> ProxyError {
    ProxyError::new(Code::UpstreamBadReply, what)
}

impl Telling {
    fn verdict(&self, status: GrpcStatus, fields: &HeaderMap) -> Result<(), Failure> {
        match status.code() {
            0 => Ok(()),
            _ => Err(self.details.failure(status, fields, &self.print)),
        }
    }

    /// Makes a target's reply to a call one to a client of JSON. `poll_gone` is ready when nobody waits
    /// for it any more.
    ///
    /// # Errors
    /// What is wrong with the target's reply; the reply is of no use then.
    pub async fn tell(
        self,
        reply: &mut Reply,
        mut poll_gone: impl FnMut(&mut Context<'_>) -> Poll<()>,
    ) -> Result<(), ProxyError> {
        if reply.status != StatusCode::OK {
            let http = reply.status;
            let error = http.is_client_error() || http.is_server_error();
            let mut failure = Failure::new(
                grpc::status_of_http(http),
                format!("the target answered with the HTTP status {}", http.as_u16()),
            );
            failure.http = if error { http } else { StatusCode::BAD_GATEWAY };
            failure.reply(reply);
            return Ok(());
        }
        if !grpc::is_grpc(&reply.headers) {
            return Err(bad("no reply of gRPC"));
        }
        let at_once = grpc::status(&reply.headers);
        let mut source = Source {
            messages: Messages::new(self.message_bytes_max),
            from: std::mem::take(&mut reply.body),
            telling: self,
        };
        let first = match at_once {
            Some(status) => Came::End(source.telling.verdict(status, &reply.headers)),
            None => {
                poll_fn(|cx| match source.poll(cx) {
                    Poll::Pending if poll_gone(cx).is_ready() => Poll::Ready(Err(gone())),
                    polled => polled,
                })
                .await?
            }
        };
        for name in &CALL_FIELDS {
            reply.headers.remove(name);
        }
        reply.declared_length = None;
        if source.telling.rule.method.gives_stream {
            return source.stream(first, reply);
        }
        let Came::Message(message) = first else {
            let failure = match first {
                Came::End(Err(failure)) => failure,
                _ => return Err(bad("the call ended well, but without a message")),
            };
            failure.reply(reply);
            return Ok(());
        };
        // The message is many times as large as what is printed of it, and the end may be long in coming.
        let printed = source.telling.print_one(&message);
        drop(message);
        let second = poll_fn(|cx| match source.poll(cx) {
            Poll::Pending if poll_gone(cx).is_ready() => Poll::Ready(Err(gone())),
            polled => polled,
        });
        match second.await? {
            Came::Message(_) => return Err(bad("two messages in reply to a unary call")),
            Came::End(Err(failure)) => failure.reply(reply),
            Came::End(Ok(())) => {
                let (kind, body) = printed?;
                reply.headers.insert(CONTENT_TYPE, kind);
                reply.body = Body::Full(body);
            }
        }
        Ok(())
    }

    /// A message with its content type.
    fn print_one(&self, message: &DynamicMessage) -> Result<(HeaderValue, Bytes), ProxyError> {
        if let Some(raw) = self.raw(message) {
            return Ok(raw);
        }
        let json = self.print.reply(&self.rule, message);
        let json = json.map_err(|why| bad("a message that is no JSON").with_source(why))?;
        Ok((HeaderValue::from_static("application/json"), json.into()))
    }

    /// A body that passes as it is, if the reply is one.
    fn raw(&self, message: &DynamicMessage) -> Option<(HeaderValue, Bytes)> {
        let inner;
        let raw = match &self.rule.response_body {
            None => message,
            Some(field) => {
                inner = message.get_field(field);
                inner.as_message()?
            }
        };
        if raw.descriptor().full_name() != HTTP_BODY {
            return None;
        }
        let data = raw.get_field_by_name("data")?.as_bytes()?.clone();
        let kind = raw.get_field_by_name("content_type")?;
        let kind = kind.as_str().filter(|kind| !kind.is_empty());
        let kind = kind.and_then(|kind| HeaderValue::from_str(kind).ok());
        let unknown = HeaderValue::from_static("application/octet-stream");
        Some((kind.unwrap_or(unknown), data))
    }
}

fn gone() -> ProxyError {
    ProxyError::new(Code::ClientGone, "the client did not wait for the reply")
}

impl Source {
    /// The reply of a stream that begins with `first`.
    fn stream(self, first: Came, reply: &mut Reply) -> Result<(), ProxyError> {
        let array = self.telling.streams == Streams::Array;
        let kind = match array {
            true => "application/json",
            false => "application/x-ndjson",
        };
        let mut kind = HeaderValue::from_static(kind);
        let mut form = if array { Form::Array } else { Form::Lines };
        let piece = match first {
            Came::End(Err(failure)) => {
                failure.reply(reply);
                return Ok(());
            }
            Came::End(Ok(())) => {
                let none: &[u8] = if array { b"[]\n" } else { b"" };
                reply.headers.insert(CONTENT_TYPE, kind);
                reply.body = Body::Full(Bytes::from_static(none));
                return Ok(());
            }
            Came::Message(message) => match self.telling.raw(&message) {
                Some((own, data)) => {
                    (kind, form) = (own, Form::Raw);
                    data
                }
                None => piece(&self.telling, &message, form, true)?,
            },
        };
        reply.headers.insert(CONTENT_TYPE, kind);
        reply.body = Body::Stream(Box::pin(Told {
            source: self,
            form,
            first: Some(piece).filter(|piece| !piece.is_empty()),
            done: false,
        }));
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Array,
    Lines,
    Raw,
}

/// A body of JSON, made from a target's messages.
struct Told {
    source: Source,
    form: Form,
    first: Option<Bytes>,
    done: bool,
}

/// What one message of a stream is written as.
fn piece(
    telling: &Telling,
    message: &DynamicMessage,
    form: Form,
    first: bool,
) -> Result<Bytes, ProxyError> {
    if form == Form::Raw {
        let raw = telling.raw(message);
        return Ok(raw.map_or_else(Bytes::new, |(_, data)| data));
    }
    let json = telling.print.reply(&telling.rule, message);
    let json = json.map_err(|why| bad("a message that is no JSON").with_source(why))?;
    Ok(value(&json, form, first))
}

fn value(json: &[u8], form: Form, first: bool) -> Bytes {
    let mut out = Vec::with_capacity(json.len() + 2);
    if form == Form::Array {
        out.push(if first { b'[' } else { b',' });
    }
    out.extend_from_slice(json);
    if form == Form::Lines {
        out.push(b'\n');
    }
    out.into()
}

impl Told {
    fn next(&mut self, came: Came) -> Result<Option<Bytes>, ProxyError> {
        match came {
            Came::Message(message) => {
                let piece = piece(&self.source.telling, &message, self.form, false)?;
                Ok(Some(piece).filter(|piece| !piece.is_empty()))
            }
            Came::End(ended) => {
                self.done = true;
                let mut last = Vec::new();
                match ended {
                    Ok(()) => {}
                    // Octets that stand for nothing but themselves cannot say that they are not all.
                    Err(failure) if self.form == Form::Raw => {
                        let what = format!("the call failed with {}", failure.status);
                        return Err(ProxyError::new(Code::UpstreamReset, what));
                    }
                    Err(failure) => {
                        let error = serde_json::json!({ "error": failure.json() }).to_string();
                        last.extend(value(error.as_bytes(), self.form, false));
                    }
                }
                if self.form == Form::Array {
                    last.extend(b"]\n");
                }
                Ok(Some(last.into()).filter(|last: &Bytes| !last.is_empty()))
            }
        }
    }
}

impl BodyStream for Told {
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PollFrame {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(Some(Ok(Frame::Data(first))));
        }
        while !this.done {
            let came = ready!(this.source.poll(cx));
            match came.and_then(|came| this.next(came)) {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(Frame::Data(data)))),
                Ok(None) => {}
                Err(error) => {
                    this.done = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }

    fn length(&self) -> BodyLength {
        match self.done && self.first.is_none() {
            true => BodyLength::Exact(0),
            false => BodyLength::Unknown,
        }
    }

    fn poll_companion(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        self.get_mut().source.from.poll_companion(cx);
    }

    fn give_up(self: Pin<&mut Self>, reason: &ProxyError) -> bool {
        let this = self.get_mut();
        if this.done || this.first.is_some() || this.form == Form::Raw {
            return false;
        }
        let failure = Failure::of_gateway(reason.kind, reason.kind.title(), "");
        this.first = this.next(Came::End(Err(failure))).ok().flatten();
        this.source.from = Body::Empty;
        true
    }
}
