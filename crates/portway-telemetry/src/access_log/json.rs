//! The `json` format: one object a line, every field in every line, `null` for what is not known; but
//! `grpc_status` only in those of gRPC calls.

use super::escape::{push_escaped, push_quoted};
use super::record::AccessRecord;
use super::value::{push_ip, push_millis, push_number};
use crate::stamp::Stamp;

/// Room for keys, punctuation and numbers; text comes on top.
const BYTES_WITHOUT_TEXT: usize = 512;

pub(crate) fn push_json(out: &mut Vec<u8>, stamp: &mut Stamp, record: &AccessRecord<'_>) {
    out.reserve(BYTES_WITHOUT_TEXT + record.path.len());
    out.extend_from_slice(b"{\"timestamp\":\"");
    out.extend_from_slice(stamp.at(record.time));
    push_text(out, b"\",\"method\":\"", record.method.as_bytes());
    push_text(out, b"\",\"host\":\"", record.host);
    push_text(out, b"\",\"path\":\"", record.path);
    push_text(out, b"\",\"protocol\":\"", record.protocol.as_bytes());
    out.extend_from_slice(b"\",\"status_code\":");
    push_number(out, record.status);
    out.extend_from_slice(b",\"duration_ms\":");
    push_millis(out, record.duration_ns);
    out.extend_from_slice(b",\"upstream_ms\":");
    match record.upstream_ns {
        Some(nanos) => push_millis(out, nanos),
        None => out.extend_from_slice(b"null"),
    }
    match record.client_ip {
        Some(ip) => {
            out.extend_from_slice(b",\"client_ip\":\"");
            push_ip(out, ip);
            out.push(b'"');
        }
        None => out.extend_from_slice(b",\"client_ip\":null"),
    }
    push_maybe(out, b",\"route\":", record.route.map(str::as_bytes));
    push_maybe(out, b",\"upstream\":", record.upstream.map(str::as_bytes));
    push_maybe(out, b",\"target\":", record.target.map(str::as_bytes));
    push_maybe(out, b",\"request_id\":", record.request_id);
    push_maybe(out, b",\"trace_id\":", record.trace_id.map(str::as_bytes));
    out.extend_from_slice(b",\"bytes_in\":");
    push_number(out, record.bytes_in);
    out.extend_from_slice(b",\"bytes_out\":");
    push_number(out, record.bytes_out);
    push_maybe(out, b",\"user_agent\":", record.user_agent);
    out.extend_from_slice(b",\"retries\":");
    push_number(out, record.retries);
    if let Some(status) = record.grpc_status {
        out.extend_from_slice(b",\"grpc_status\":");
        push_number(out, status.code());
    }
    let code = record.code.map(|code| code.as_str().as_bytes());
    push_maybe(out, b",\"code\":", code);
    push_maybe(out, b",\"error\":", record.error.map(str::as_bytes));
    out.extend_from_slice(b"}\n");
}

/// The end of the string before, the key, and a string left open.
#[inline]
fn push_text(out: &mut Vec<u8>, key: &[u8], text: &[u8]) {
    out.extend_from_slice(key);
    push_escaped(out, text);
}

#[inline]
fn push_maybe(out: &mut Vec<u8>, key: &[u8], text: Option<&[u8]>) {
    out.extend_from_slice(key);
    match text {
        Some(text) => push_quoted(out, text),
        None => out.extend_from_slice(b"null"),
    }
}
