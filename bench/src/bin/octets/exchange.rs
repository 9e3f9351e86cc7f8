//! One exchange: asks in one of many manners, and looks at every octet that comes.

use std::time::Duration;

use fastrand::Rng;
use http::StatusCode;

use crate::asked::{Asked, Shape};
use crate::clients::{Place, Reply, Sender, Unasked};
use crate::tunnel;

/// A client is slow for this long at most, then reads on at once.
const SLOWEST: Duration = Duration::from_secs(1);

/// How an exchange ended without a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All octets came.
    Whole,
    /// The target broke off, and the client was told that it had.
    Told,
    /// The client went away.
    Left,
    /// The connection had ended before.
    Unsent,
}

#[derive(Clone, Copy, Debug)]
enum Manner {
    Eager,
    /// Waits so long before each piece.
    Slow(Duration),
    /// Waits so long before the first piece: all that fits waits with it.
    Late(Duration),
    /// Goes away after so many octets.
    LeavesAt(u64),
    /// Goes away if there is no reply by then.
    LeavesAfter(Duration),
}

impl Manner {
    fn any(rng: &mut Rng, asked: &Asked) -> Manner {
        match rng.u8(..10) {
            0..4 => Manner::Eager,
            4..6 => Manner::Slow(Duration::from_millis(rng.u64(1..20))),
            6..8 => Manner::Late(Duration::from_millis(rng.u64(1..500))),
            8 => Manner::LeavesAt(rng.u64(..=asked.length)),
            _ => Manner::LeavesAfter(Duration::from_millis(rng.u64(..10))),
        }
    }
}

/// How it ended and how many octets came.
///
/// # Errors
/// What is wrong with the reply.
pub async fn exchange(
    sender: &mut Sender,
    place: &Place,
    asked: &Asked,
    rng: &mut Rng,
) -> Result<(Ended, u64), String> {
    let mut manner = Manner::any(rng, asked);
    // Its client library would end the request's body as if it were whole.
    if matches!(sender, Sender::Three(_))
        && asked.sent > 0
        && matches!(manner, Manner::LeavesAfter(_))
    {
        manner = Manner::Eager;
    }
    let answered = match manner {
        Manner::LeavesAfter(wait) => {
            match tokio::time::timeout(wait, sender.ask(place, asked)).await {
                Ok(answered) => answered,
                Err(_) => return Ok((Ended::Left, 0)),
            }
        }
        _ => sender.ask(place, asked).await,
    };
    let reply = match answered {
        Ok(reply) => reply,
        Err(Unasked { unsent: true, .. }) => return Ok((Ended::Unsent, 0)),
        // What comes last may overtake the head: QUIC keeps nothing of a stream that is reset.
        Err(Unasked { why, .. }) if asked.shape == Shape::Cut && !why.contains("hangs") => {
            return Ok((Ended::Told, 0));
        }
        Err(Unasked { why, .. }) => return Err(format!("{manner:?}: no reply: {why}")),
    };
    if asked.shape == Shape::Tunnel {
        return tunneled(reply, asked).await;
    }
    read(reply, asked, manner)
        .await
        .map_err(|found| format!("{manner:?}: {found}"))
}

async fn read(mut reply: Reply, asked: &Asked, manner: Manner) -> Result<(Ended, u64), String> {
    let cut = asked.shape == Shape::Cut;
    if cut && reply.status() == StatusCode::BAD_GATEWAY {
        return Ok((Ended::Told, 0));
    }
    is_ours(&mut reply, asked, StatusCode::OK).await?;
    if let Manner::Late(wait) = manner {
        tokio::time::sleep(wait).await;
    }
    let mut check = asked.reply_check();
    let mut slept = Duration::ZERO;
    loop {
        if let Manner::LeavesAt(at) = manner
            && check.at() >= at
        {
            return Ok((Ended::Left, check.at()));
        }
        if let Manner::Slow(wait) = manner
            && slept < SLOWEST
        {
            slept += wait;
            tokio::time::sleep(wait).await;
        }
        match reply.next().await {
            Some(Ok(octets)) => check.take(&octets)?,
            Some(Err(why)) if cut && !why.contains("hangs") => {
                return Ok((Ended::Told, check.at()));
            }
            Some(Err(why)) => return Err(format!("broken off after {}: {why}", check.at())),
            None => break,
        }
    }
    check.end()?;
    Ok((Ended::Whole, check.at()))
}

async fn tunneled(mut reply: Reply, asked: &Asked) -> Result<(Ended, u64), String> {
    is_ours(&mut reply, asked, StatusCode::SWITCHING_PROTOCOLS).await?;
    let stream = reply.upgraded().await?;
    let check = tunnel::both_ways(
        tunnel::End::Client,
        stream,
        asked.request(),
        asked.reply_check(),
    )
    .await?;
    check.end()?;
    Ok((Ended::Whole, check.at()))
}

/// Status and key are what they should be.
async fn is_ours(reply: &mut Reply, asked: &Asked, status: StatusCode) -> Result<(), String> {
    if reply.status() != status {
        let mut text = Vec::new();
        while let Some(Ok(octets)) = reply.next().await {
            text.extend_from_slice(&octets);
        }
        let (status, said) = (reply.status(), reply.said());
        return Err(format!(
            "{status}: {said}{}",
            String::from_utf8_lossy(&text)
        ));
    }
    let (key, expected) = (reply.key(), format!("{:016x}", asked.key));
    if key != expected {
        return Err(format!("the head is of another exchange: {key}"));
    }
    Ok(())
}
