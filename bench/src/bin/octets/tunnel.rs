//! A WebSocket: octets both ways at once, a piece in each frame. The gateway reads frames as they go by, to
//! know when both peers have said goodbye.

use std::io::Cursor;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{Data, OpCode};

use crate::asked::{Check, Octets};
use crate::clients::{soon, told};

const BUFFER_BYTES: usize = 16 * 1024;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum End {
    Client,
    Target,
}

/// Sends all of one body while it reads all of the other, then closes. An end before all has come is no
/// difference; what has come is told by `check`.
///
/// # Errors
/// How the octets differ.
pub async fn both_ways(
    end: End,
    stream: impl AsyncRead + AsyncWrite,
    mut octets: Octets,
    mut check: Check,
) -> Result<Check, String> {
    let (mut from, mut to) = tokio::io::split(stream);
    let header = FrameHeader {
        opcode: OpCode::Data(Data::Binary),
        // One that leaves the octets as they are (RFC 6455, section 5.3).
        mask: (end == End::Client).then_some([0; 4]),
        ..FrameHeader::default()
    };
    let send = async {
        while let Some(piece) = octets.piece() {
            let mut frame = Vec::new();
            header
                .format(piece.len() as u64, &mut frame)
                .map_err(told)?;
            frame.extend_from_slice(&piece);
            if to.write_all(&frame).await.is_err() {
                break;
            }
        }
        // The other end sees that something is missing.
        let _ = to.flush().await;
        Ok::<_, String>(())
    };
    let receive = async {
        let mut unread = Vec::new();
        let mut left_of_frame = 0;
        while check.left() > 0 {
            let start = unread.len();
            unread.resize(start + BUFFER_BYTES, 0);
            let read = soon(from.read(&mut unread[start..])).await?.unwrap_or(0);
            unread.truncate(start + read);
            if read == 0 {
                break;
            }
            take(&mut unread, &mut left_of_frame, &mut check)?;
        }
        Ok(check)
    };
    let (sent, received) = tokio::join!(send, receive);
    sent.and(received)
}

/// Takes what is there of frames.
fn take(unread: &mut Vec<u8>, left_of_frame: &mut u64, check: &mut Check) -> Result<(), String> {
    loop {
        let ours = unread
            .len()
            .min(usize::try_from(*left_of_frame).map_err(told)?);
        check.take(&unread[..ours])?;
        unread.drain(..ours);
        *left_of_frame -= ours as u64;
        if *left_of_frame > 0 {
            return Ok(());
        }
        let mut cursor = Cursor::new(&unread[..]);
        let Some((header, length)) = FrameHeader::parse(&mut cursor).map_err(told)? else {
            return Ok(());
        };
        if header.opcode != OpCode::Data(Data::Binary) {
            return Err(format!("{:?} instead of octets", header.opcode));
        }
        let head = usize::try_from(cursor.position()).map_err(told)?;
        unread.drain(..head);
        *left_of_frame = length;
    }
}
