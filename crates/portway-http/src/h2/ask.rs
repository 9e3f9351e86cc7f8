//! One question over a connection of its own, for health checks and reflection: not on the path of exchanges.
//!
//! Must hold: the answer is whole or there is none; no more than a limit of it is kept.
//! Needs no runtime of one thread, unlike [`super::client`].

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use ::h2::client::{ResponseFuture, handshake};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite};

/// Of an answer's body, bytes; more is an error.
pub const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A whole reply.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Its trailers, if it has any.
    pub trailers: Option<HeaderMap>,
}

/// Asks and waits for the answer; or says what went wrong.
///
/// # Errors
///
/// What went wrong, in words.
pub async fn ask<T: AsyncRead + AsyncWrite + Unpin>(
    io: T,
    question: Request<Bytes>,
) -> Result<Answer, String> {
    ask_for(io, question, ANSWER_BYTES_MAX).await
}

/// The same, for an answer of up to so many octets.
///
/// # Errors
///
/// What went wrong, in words.
pub async fn ask_for<T: AsyncRead + AsyncWrite + Unpin>(
    io: T,
    question: Request<Bytes>,
    bytes_max: usize,
) -> Result<Answer, String> {
    let (mut send, connection) = handshake(io)
        .await
        .map_err(|error| format!("HTTP/2: {error}"))?;
    let (head, body) = question.into_parts();
    let asked = async {
        poll_fn(|cx| send.poll_ready(cx)).await?;
        let head = Request::from_parts(head, ());
        let (reply, mut stream) = send.send_request(head, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(body, true)?;
        }
        answer(reply, bytes_max).await
    };
    let mut asked = pin!(asked);
    let ended = tokio::select! {
        biased;
        answer = &mut asked => return answer.map_err(|error| format!("HTTP/2: {error}")),
        ended = connection => ended,
    };
    // The whole answer may have come together with the end.
    let last = poll_fn(|cx| match asked.as_mut().poll(cx) {
        Poll::Ready(Ok(answer)) => Poll::Ready(Some(answer)),
        _ => Poll::Ready(None),
    });
    match (last.await, ended) {
        (Some(answer), _) => Ok(answer),
        (None, Ok(())) => Err("closed without a reply".to_owned()),
        (None, Err(error)) => Err(format!("HTTP/2: {error}")),
    }
}

async fn answer(reply: ResponseFuture, bytes_max: usize) -> Result<Answer, ::h2::Error> {
    let (head, mut stream) = reply.await?.into_parts();
    let mut body = BytesMut::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        if body.len() + data.len() > bytes_max {
            return Err(::h2::Reason::ENHANCE_YOUR_CALM.into());
        }
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    Ok(Answer {
        status: head.status,
        headers: head.headers,
        body: body.freeze(),
        trailers,
    })
}
