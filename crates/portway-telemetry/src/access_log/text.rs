//! The `text` format: one line a person can read; what is not known is left out.

use super::escape::{push_escaped, push_quoted};
use super::record::AccessRecord;
use super::value::{push_ip, push_millis, push_number};
use crate::stamp::Stamp;

pub(crate) fn push_line(out: &mut Vec<u8>, stamp: &mut Stamp, record: &AccessRecord<'_>) {
    out.extend_from_slice(stamp.at(record.time));
    out.push(b' ');
    match record.client_ip {
        Some(ip) => push_ip(out, ip),
        None => out.push(b'-'),
    }
    out.extend_from_slice(b" \"");
    push_escaped(out, record.method.as_bytes());
    out.push(b' ');
    push_escaped(out, record.host);
    push_escaped(out, record.path);
    out.push(b' ');
    push_escaped(out, record.protocol.as_bytes());
    out.extend_from_slice(b"\" ");
    push_number(out, record.status);
    out.push(b' ');
    push_millis(out, record.duration_ns);
    out.extend_from_slice(b"ms");
    if let Some(nanos) = record.upstream_ns {
        out.extend_from_slice(b" upstream_ms=");
        push_millis(out, nanos);
    }
    out.extend_from_slice(b" bytes_in=");
    push_number(out, record.bytes_in);
    out.extend_from_slice(b" bytes_out=");
    push_number(out, record.bytes_out);
    if record.retries > 0 {
        out.extend_from_slice(b" retries=");
        push_number(out, record.retries);
    }
    if let Some(status) = record.grpc_status {
        out.extend_from_slice(b" grpc_status=");
        push_number(out, status.code());
    }
    let code = record.code.map(|code| code.as_str());
    let pairs: [(&[u8], Option<&[u8]>); 8] = [
        (b" route=", record.route.map(str::as_bytes)),
        (b" upstream=", record.upstream.map(str::as_bytes)),
        (b" target=", record.target.map(str::as_bytes)),
        (b" request_id=", record.request_id),
        (b" trace_id=", record.trace_id.map(str::as_bytes)),
        (b" user_agent=", record.user_agent),
        (b" code=", code.map(str::as_bytes)),
        (b" error=", record.error.map(str::as_bytes)),
    ];
    for (key, text) in pairs {
        if let Some(text) = text {
            out.extend_from_slice(key);
            push_word(out, text);
        }
    }
    out.push(b'\n');
}

/// Bare if it is one plain word, else in quotes.
fn push_word(out: &mut Vec<u8>, text: &[u8]) {
    if !text.is_empty() && text.iter().all(|b| IS_WORD[usize::from(*b)]) {
        push_escaped(out, text);
    } else {
        push_quoted(out, text);
    }
}

static IS_WORD: [bool; 256] = {
    let mut is_word = [false; 256];
    let mut at = 0;
    while at < 256 {
        let b = at as u8;
        is_word[at] = b.is_ascii_alphanumeric()
            || matches!(b, b'-' | b'.' | b'_' | b':' | b'/' | b'[' | b']' | b'@');
        at += 1;
    }
    is_word
};
