//! The `template` format: the user's own line, `${method} ${path} ${status_code}`.
//!
//! Must hold: compiled once, where an unknown field is an error; a line cannot fail and is one
//! line. Values are escaped as in JSON but not quoted: put quotes around what a client can choose.

use super::escape::push_escaped;
use super::record::{AccessRecord, Field};
use super::value::{push_ip, push_millis, push_number};
use crate::stamp::Stamp;
use portway_core::diagnostic::nearest;

/// A compiled line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Box<[Piece]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(Box<[u8]>),
    Field(Field),
}

/// Why a template does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

impl Template {
    /// Compiles a line. `${name}` stands for a field, `$$` for a dollar sign.
    ///
    /// # Errors
    /// If a field is unknown or not closed, or the line has a control character in it.
    pub fn compile(source: &str) -> Result<Template, TemplateError> {
        if source.chars().any(char::is_control) {
            return Err(TemplateError {
                what: "the template holds a line break or another control character".to_owned(),
                hint: "write one line; each record ends with a line break anyway".to_owned(),
            });
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = source;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            rest = if let Some(after) = after.strip_prefix('{') {
                let (name, after) = after.split_once('}').ok_or_else(|| TemplateError {
                    what: format!("`${{{after}` is not closed"),
                    hint: "write `${field}`, or `$$` for a dollar sign".to_owned(),
                })?;
                let field = Field::find(name).ok_or_else(|| unknown(name))?;
                push_literal(&mut pieces, &mut literal);
                pieces.push(Piece::Field(field));
                after
            } else {
                literal.push('$');
                after.strip_prefix('$').unwrap_or(after)
            };
        }
        literal.push_str(rest);
        literal.push('\n');
        push_literal(&mut pieces, &mut literal);
        Ok(Template(pieces.into()))
    }

    pub(crate) fn push(&self, out: &mut Vec<u8>, stamp: &mut Stamp, record: &AccessRecord<'_>) {
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.extend_from_slice(text),
                Piece::Field(field) => push_field(out, *field, stamp, record),
            }
        }
    }
}

fn push_literal(pieces: &mut Vec<Piece>, literal: &mut String) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(literal.as_bytes().into()));
        literal.clear();
    }
}

fn unknown(name: &str) -> TemplateError {
    let hint = match nearest(name, Field::NAMES.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("the fields are {}", Field::NAMES.join(", ")),
    };
    TemplateError {
        what: format!("unknown log field `{name}`"),
        hint,
    }
}

fn push_field(out: &mut Vec<u8>, field: Field, stamp: &mut Stamp, record: &AccessRecord<'_>) {
    let text = match field {
        Field::Timestamp => return out.extend_from_slice(stamp.at(record.time)),
        Field::StatusCode => return push_number(out, record.status),
        Field::DurationMs => return push_millis(out, record.duration_ns),
        Field::BytesIn => return push_number(out, record.bytes_in),
        Field::BytesOut => return push_number(out, record.bytes_out),
        Field::Retries => return push_number(out, record.retries),
        Field::GrpcStatus => match record.grpc_status {
            Some(status) => return push_number(out, status.code()),
            None => None,
        },
        Field::UpstreamMs => match record.upstream_ns {
            Some(nanos) => return push_millis(out, nanos),
            None => None,
        },
        Field::ClientIp => match record.client_ip {
            Some(ip) => return push_ip(out, ip),
            None => None,
        },
        Field::Method => Some(record.method.as_bytes()),
        Field::Host => Some(record.host),
        Field::Path => Some(record.path),
        Field::Protocol => Some(record.protocol.as_bytes()),
        Field::Route => record.route.map(str::as_bytes),
        Field::Upstream => record.upstream.map(str::as_bytes),
        Field::Target => record.target.map(str::as_bytes),
        Field::RequestId => record.request_id,
        Field::TraceId => record.trace_id.map(str::as_bytes),
        Field::UserAgent => record.user_agent,
        Field::Code => record.code.map(|code| code.as_str().as_bytes()),
        Field::Error => record.error.map(str::as_bytes),
    };
    push_escaped(out, text.unwrap_or(b"-"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_the_field_that_was_meant() {
        let error = Template::compile("${methd}").unwrap_err();
        assert_eq!(error.what, "unknown log field `methd`");
        assert_eq!(error.hint, "did you mean `method`?");
        let error = Template::compile("${}").unwrap_err();
        assert!(error.hint.starts_with("the fields are timestamp, method"));
    }

    #[test]
    fn refuses_what_would_not_be_one_line() {
        assert!(Template::compile("a\nb").is_err());
        assert!(Template::compile("a\u{1b}b").is_err());
        assert!(Template::compile("${method").is_err());
    }

    #[test]
    fn a_dollar_sign_can_be_written() {
        let template = Template::compile("$5 $$ $${method} ${method}$").unwrap();
        let mut out = Vec::new();
        let record = AccessRecord {
            method: "GET",
            ..AccessRecord::default()
        };
        template.push(&mut out, &mut Stamp::new(), &record);
        assert_eq!(out, b"$5 $ ${method} GET$\n");
    }
}
