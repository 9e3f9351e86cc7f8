//! What passes after an upgrade: octets both ways at once, without any framing.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::asked::{Check, Octets};
use crate::clients::soon;

/// The pair of RFC 6455, section 1.3.
pub const ASK: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Sends all of one body while it reads all of the other, then closes. An end before all has come is no
/// difference; what has come is told by `check`.
///
/// # Errors
/// How the octets differ.
pub async fn both_ways(
    stream: impl AsyncRead + AsyncWrite,
    mut octets: Octets,
    mut check: Check,
) -> Result<Check, String> {
    let (mut from, mut to) = tokio::io::split(stream);
    let send = async {
        while let Some(piece) = octets.piece() {
            if to.write_all(&piece).await.is_err() {
                break;
            }
        }
        // Only when this side is done may it say so: the other still reads.
        let _ = to.flush().await;
    };
    let receive = async {
        let mut buffer = vec![0; 16 * 1024];
        while check.left() > 0 {
            match soon(from.read(&mut buffer)).await? {
                Ok(0) | Err(_) => break,
                Ok(read) => check.take(&buffer[..read])?,
            }
        }
        Ok(check)
    };
    let ((), received) = tokio::join!(send, receive);
    received
}
