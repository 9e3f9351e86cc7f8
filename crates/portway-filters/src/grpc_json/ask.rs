//! The request's way in: JSON from a client to messages for a target.
//!
//! Must hold: pulled by whoever sends it, so a client's deadline, its departure and a slow target are
//! watched by the forward step as with any body; of a body at most one message is held, under the limit.
//! A body that is no message ends the request with an error that says why, never as if it were whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use portway_core::{Code, ProxyError};
use portway_http::body::PollFrame;
use portway_http::grpc::messages::{PREFIX_BYTES, prefix};
use portway_http::{Body, BodyLength, BodyStream, Frame};
use prost_reflect::{
    DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value,
};
use serde::de::IgnoredAny;

use super::encode::encode;
use super::overlay::{Overlay, Unknown};
use super::pieces::{Pieces, Wrong};
use super::rules::{BodyIs, Rule};
use super::values;

/// The name of messages that are a body as it is.
pub const HTTP_BODY: &str = "google.api.HttpBody";

/// How a request's body is read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The binding.
    pub rule: Arc<Rule>,
    /// What becomes of members that no field has.
    pub unknown: Unknown,
    /// The most octets of one message, in JSON and on its way to the target.
    pub message_bytes_max: usize,
    /// The client's content type, for bodies that pass as they are.
    pub content_type: Box<str>,
}

/// What a request's body is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// One message from all of it.
    One,
    /// A message from each JSON value.
    Values,
    /// A message from each piece that comes, whatever it is.
    Raw,
}

/// A body of messages, made from a client's.
pub struct Asked {
    reading: Reading,
    way: Way,
    from: Body,
    /// For the first message; gone when it was made.
    overlay: Option<Overlay>,
    held: BytesMut,
    pieces: Pieces,
    /// Nothing more comes from the client.
    ended: bool,
    done: bool,
}

impl Reading {
    /// The body for the target.
    ///
    /// # Errors
    /// What is wrong with a message that needs no body.
    pub fn body(self, from: Body, overlay: Overlay) -> Result<Body, ProxyError> {
        let raw = self.raw_type().is_some();
        let way = match (&self.rule.body, self.rule.method.takes_stream) {
            (BodyIs::Nothing, _) => {
                return self.framed(self.base(&[])?, Some(overlay)).map(Body::Full);
            }
            (_, false) => Way::One,
            (_, true) if raw => Way::Raw,
            (_, true) => Way::Values,
        };
        if way != Way::Values && from.is_empty() {
            return self.framed(self.base(&[])?, Some(overlay)).map(Body::Full);
        }
        Ok(Body::Stream(Box::pin(Asked {
            pieces: Pieces::new(self.message_bytes_max),
            reading: self,
            way,
            from,
            overlay: Some(overlay),
            held: BytesMut::new(),
            ended: false,
            done: false,
        })))
    }

    /// The type of the message that the body is, if it is one that holds the body as it is.
    fn raw_type(&self) -> Option<MessageDescriptor> {
        let message = match &self.rule.body {
            BodyIs::Nothing => return None,
            BodyIs::Message => self.rule.method.input.clone(),
            BodyIs::Field(field) if field.is_list() => return None,
            BodyIs::Field(field) => field.kind().as_message()?.clone(),
        };
        // A service that tells its own descriptors may give the name to something else.
        let is = |name: &str, kind: Kind| {
            let field = message.get_field_by_name(name);
            field.is_some_and(|field| !field.is_list() && field.kind() == kind)
        };
        let fits = is("content_type", Kind::String) && is("data", Kind::Bytes);
        (message.full_name() == HTTP_BODY && fits).then_some(message)
    }

    /// The message of a body, without what path and query say.
    fn base(&self, body: &[u8]) -> Result<DynamicMessage, ProxyError> {
        let input = &self.rule.method.input;
        if let Some(raw) = self.raw_type() {
            let raw = self.raw(raw, body);
            return Ok(match &self.rule.body {
                BodyIs::Field(field) => with_field(input, field, raw),
                _ => raw,
            });
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(DynamicMessage::new(input.clone()));
        }
        values::check(body, self.message_bytes_max)
            .map_err(|why| ProxyError::new(Code::BadRequest, format!("the body: {why}")))?;
        match &self.rule.body {
            BodyIs::Nothing => Ok(DynamicMessage::new(input.clone())),
            BodyIs::Message => self.json(input, body),
            BodyIs::Field(field) => {
                // It must be one value by itself, or it could name other fields.
                serde_json::from_slice::<IgnoredAny>(body).map_err(malformed)?;
                let name = serde_json::Value::from(field.json_name()).to_string();
                let mut object = Vec::with_capacity(body.len() + name.len() + 3);
                object.push(b'{');
                object.extend_from_slice(name.as_bytes());
                object.push(b':');
                object.extend_from_slice(body);
                object.push(b'}');
                self.json(input, &object)
            }
        }
    }

    fn json(&self, of: &MessageDescriptor, text: &[u8]) -> Result<DynamicMessage, ProxyError> {
        let reject = self.unknown == Unknown::Reject;
        let options = DeserializeOptions::new().deny_unknown_fields(reject);
        let mut json = serde_json::Deserializer::from_slice(text);
        let message = DynamicMessage::deserialize_with_options(of.clone(), &mut json, &options)
            .map_err(malformed)?;
        json.end().map_err(malformed)?;
        Ok(message)
    }

    fn raw(&self, of: MessageDescriptor, body: &[u8]) -> DynamicMessage {
        let mut raw = DynamicMessage::new(of);
        raw.set_field_by_name("content_type", Value::String(self.content_type.to_string()));
        raw.set_field_by_name("data", Value::Bytes(Bytes::copy_from_slice(body)));
        raw
    }

    /// A message behind its prefix.
    fn framed(
        &self,
        mut message: DynamicMessage,
        overlay: Option<Overlay>,
    ) -> Result<Bytes, ProxyError> {
        if let Some(overlay) = overlay {
            overlay.apply(&mut message);
        }
        let mut out = vec![0; PREFIX_BYTES];
        encode(message, &mut out);
        let bytes = out.len() - PREFIX_BYTES;
        let prefix = prefix(0, bytes).filter(|_| bytes <= self.message_bytes_max);
        let prefix = prefix.ok_or_else(|| self.too_large())?;
        out[..PREFIX_BYTES].copy_from_slice(&prefix);
        Ok(out.into())
    }

    fn too_large(&self) -> ProxyError {
        let max = self.message_bytes_max;
        let detail = format!("a message may have at most {max} octets");
        ProxyError::new(Code::PayloadTooLarge, detail)
    }
}

fn with_field(
    of: &MessageDescriptor,
    field: &FieldDescriptor,
    value: DynamicMessage,
) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    message.set_field(field, Value::Message(value));
    message
}

fn malformed(error: serde_json::Error) -> ProxyError {
    ProxyError::new(Code::BadRequest, format!("the body: {error}"))
}

impl Asked {
    /// A message, if what came makes one.
    fn next(&mut self) -> Result<Option<Bytes>, ProxyError> {
        let body = match self.way {
            Way::Values => match self.pieces.take(self.ended) {
                Ok(Some(value)) => value,
                Ok(None) => return Ok(None),
                Err(Wrong::TooLarge) => return Err(self.reading.too_large()),
                Err(Wrong::Malformed(why)) => {
                    return Err(ProxyError::new(
                        Code::BadRequest,
                        format!("the body: {why}"),
                    ));
                }
            },
            Way::One if !self.ended || self.overlay.is_none() => return Ok(None),
            Way::Raw if self.held.is_empty() && (!self.ended || self.overlay.is_none()) => {
                return Ok(None);
            }
            Way::One | Way::Raw => self.held.split().freeze(),
        };
        let message = self.reading.base(&body)?;
        self.reading.framed(message, self.overlay.take()).map(Some)
    }

    fn hold(&mut self, data: &[u8]) -> Result<(), ProxyError> {
        if self.way == Way::Values {
            self.pieces.push(data);
        } else if self.held.len() + data.len() > self.reading.message_bytes_max {
            return Err(self.reading.too_large());
        } else {
            self.held.extend_from_slice(data);
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> PollFrame {
        while !self.done {
            if let Some(message) = self.next()? {
                self.done = self.ended && self.way != Way::Values;
                return Poll::Ready(Some(Ok(Frame::Data(message))));
            }
            if self.ended {
                break;
            }
            match ready!(self.from.poll_frame(cx)).transpose()? {
                Some(Frame::Data(data)) => self.hold(&data)?,
                // Nothing of a request's trailers has a meaning to a call.
                Some(Frame::Trailers(_)) => {}
                None => self.ended = true,
            }
        }
        self.done = true;
        Poll::Ready(None)
    }
}

impl BodyStream for Asked {
    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PollFrame {
        let this = self.get_mut();
        let polled = this.poll(cx);
        this.done |= matches!(polled, Poll::Ready(Some(Err(_))));
        polled
    }

    fn length(&self) -> BodyLength {
        if self.done {
            BodyLength::Exact(0)
        } else {
            BodyLength::Unknown
        }
    }

    fn poll_companion(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        self.get_mut().from.poll_companion(cx);
    }
}
