//! The grammar of HTTP/1 heads (RFC 9112, sections 2 to 5), written down a second time and as plainly
//! as possible, without the parser that the gateway stands on: what the gateway accepts must pass here.

/// Whether the request head, with its empty line, is strictly by the grammar.
#[must_use]
pub fn is_request_head(head: &[u8]) -> bool {
    lines(head).is_some_and(|lines| match lines.split_first() {
        Some((first, fields)) => is_request_line(first) && fields.iter().all(|f| is_field(f)),
        None => false,
    })
}

/// Whether the reply head, with its empty line, is strictly by the grammar.
#[must_use]
pub fn is_reply_head(head: &[u8]) -> bool {
    lines(head).is_some_and(|lines| match lines.split_first() {
        Some((first, fields)) => is_status_line(first) && fields.iter().all(|f| is_field(f)),
        None => false,
    })
}

/// The lines up to the empty one; none if one ends otherwise than in CRLF. Empty lines in front of a
/// head are skipped (RFC 9112, section 2.2).
fn lines(head: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = head;
    while let Some(after) = rest.strip_prefix(b"\r\n") {
        rest = after;
    }
    let text = rest.strip_suffix(b"\r\n\r\n")?;
    let mut lines = Vec::new();
    let mut text = Some(text);
    while let Some(open) = text {
        let end = open.windows(2).position(|pair| pair == b"\r\n");
        let line = &open[..end.unwrap_or(open.len())];
        if line.is_empty() || line.iter().any(|b| matches!(b, b'\r' | b'\n')) {
            return None;
        }
        lines.push(line);
        text = end.map(|end| &open[end + 2..]);
    }
    Some(lines)
}

fn is_request_line(line: &[u8]) -> bool {
    let parts: Vec<&[u8]> = line.split(|&b| b == b' ').collect();
    let [method, target, version] = parts[..] else {
        return false;
    };
    is_token(method) && is_target(target) && matches!(version, b"HTTP/1.0" | b"HTTP/1.1")
}

fn is_target(target: &[u8]) -> bool {
    !target.is_empty() && target.iter().all(|b| matches!(b, b'!'..=b'~')) && !target.contains(&b'#')
}

fn is_status_line(line: &[u8]) -> bool {
    let Some(rest) = line
        .strip_prefix(b"HTTP/1.0 ")
        .or_else(|| line.strip_prefix(b"HTTP/1.1 "))
    else {
        return false;
    };
    let Some((code, reason)) = rest.split_at_checked(3) else {
        return false;
    };
    code.iter().all(u8::is_ascii_digit)
        && (reason.is_empty() || reason[0] == b' ')
        && reason.iter().all(|&b| is_text(b))
}

fn is_field(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|&b| b == b':') else {
        return false;
    };
    is_token(&line[..colon]) && line[colon + 1..].iter().all(|&b| is_text(b))
}

fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b))
}

/// VCHAR, obs-text, space and tab.
fn is_text(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}
