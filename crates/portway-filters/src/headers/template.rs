//! A header value that may name a few facts of the exchange: `{client_ip}`, `{request_id}` and so on.
//!
//! Must hold: what is filled in is checked again as a header value, so that nothing a client sends
//! can end a line. Never: leaves a misspelt name standing as text; braces that hold no lower-case
//! word (JSON in a header) are text.

use std::fmt::Write;

use http::HeaderValue;
use portway_core::diagnostic::nearest;
use portway_http::Exchange;
use portway_tls::Identity;

/// What a value can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The client's address, after trusted proxies.
    ClientIp,
    /// The exchange's id.
    RequestId,
    /// The canonical host.
    Host,
    /// The method.
    Method,
    /// The canonical path.
    Path,
    /// `https` or `http`, as the client spoke.
    Scheme,
    /// The caller, once authenticated.
    Consumer,
    /// The subject of the client's certificate.
    CertSubject,
    /// The first URI of the client's certificate that has a scheme.
    CertUri,
    /// The SHA-256 of the client's certificate, hexadecimal.
    CertFingerprint,
}

/// Names and what they stand for, as the page lists them.
const NAMES: [(&str, Variable); 10] = [
    ("client_ip", Variable::ClientIp),
    ("request_id", Variable::RequestId),
    ("host", Variable::Host),
    ("method", Variable::Method),
    ("path", Variable::Path),
    ("scheme", Variable::Scheme),
    ("consumer", Variable::Consumer),
    ("client_cert_subject", Variable::CertSubject),
    ("client_cert_uri", Variable::CertUri),
    ("client_cert_fingerprint", Variable::CertFingerprint),
];

/// A value to be filled in.
#[derive(Clone, Debug)]
pub enum Template {
    /// The same for every exchange; copied without allocating.
    Fixed(HeaderValue),
    /// Text and variables in turn.
    Parts(Box<[Part]>),
}

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text as it stands.
    Text(Box<str>),
    /// Filled in per exchange.
    Variable(Variable),
}

impl Template {
    /// Reads a value as the config writes it. The error says what is wrong and what to do.
    pub fn parse(text: &str) -> Result<Template, (String, String)> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            literal.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix('{') {
                literal.push('{');
                rest = after;
            } else if let Some((name, after)) = variable_name(rest) {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal).into()));
                }
                parts.push(Part::Variable(find(name)?));
                rest = after;
            } else {
                literal.push('{');
            }
        }
        literal.push_str(rest);
        let invalid = |_| {
            let hint = "use visible ASCII characters, spaces and tabs".to_string();
            (
                "a header value cannot hold control characters or line breaks".to_string(),
                hint,
            )
        };
        let value = HeaderValue::from_str(&literal).map_err(invalid)?;
        if parts.is_empty() {
            return Ok(Template::Fixed(value));
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal.into()));
        }
        for part in &parts {
            if let Part::Text(text) = part {
                HeaderValue::from_str(text).map_err(invalid)?;
            }
        }
        Ok(Template::Parts(parts.into()))
    }

    /// The value for this exchange; `None` if what was filled in cannot stand in a header, or all of
    /// it is empty.
    #[must_use]
    pub fn fill(&self, exchange: &Exchange) -> Option<HeaderValue> {
        let parts = match self {
            Template::Fixed(value) => return Some(value.clone()),
            Template::Parts(parts) => parts,
        };
        let mut text = String::with_capacity(64);
        for part in parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Variable(variable) => variable.write(exchange, &mut text),
            }
        }
        if text.is_empty() {
            return None;
        }
        HeaderValue::try_from(text).ok()
    }
}

impl Variable {
    fn write(self, exchange: &Exchange, out: &mut String) {
        let request = &exchange.request;
        match self {
            Variable::ClientIp => {
                // Writing to a string cannot fail.
                let _ = write!(out, "{}", exchange.client.ip.to_canonical());
            }
            Variable::RequestId => out.push_str(exchange.request_id.as_str()),
            Variable::Host => out.push_str(&request.host),
            Variable::Method => out.push_str(request.method.as_str()),
            Variable::Path => out.push_str(&request.path),
            Variable::Scheme => out.push_str(exchange.client.scheme()),
            Variable::Consumer => out.push_str(exchange.consumer.as_deref().unwrap_or_default()),
            Variable::CertSubject => out.push_str(of_client(exchange, |c| Some(&*c.subject))),
            Variable::CertUri => out.push_str(of_client(exchange, Identity::uri)),
            Variable::CertFingerprint => {
                out.push_str(of_client(exchange, |c| Some(&*c.fingerprint)));
            }
        }
    }
}

/// A word of the client's certificate; empty without one.
fn of_client(exchange: &Exchange, word: impl Fn(&Identity) -> Option<&str>) -> &str {
    let tls = exchange.client.tls.as_ref();
    let client = tls.and_then(|tls| tls.client.as_deref());
    client.and_then(word).unwrap_or_default()
}

fn variable_name(rest: &str) -> Option<(&str, &str)> {
    let (name, after) = rest.split_once('}')?;
    let word = |b: u8| b.is_ascii_lowercase() || b == b'_';
    (!name.is_empty() && name.bytes().all(word)).then_some((name, after))
}

fn find(name: &str) -> Result<Variable, (String, String)> {
    if let Some((_, variable)) = NAMES.iter().find(|(n, _)| *n == name) {
        return Ok(*variable);
    }
    let names = NAMES.map(|(n, _)| n);
    let hint = match nearest(name, names) {
        Some(near) => {
            format!("did you mean `{{{near}}}`? For the text itself write `{{{{{name}}}`")
        }
        None => format!(
            "known are {}; for the text itself write `{{{{{name}}}`",
            names.join(", ")
        ),
    };
    Err((format!("unknown variable `{{{name}}}`"), hint))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Option<String> {
        let mut exchange = Exchange::blank();
        exchange.client.ip = "::ffff:192.0.2.1".parse().unwrap();
        exchange.request.host = "a.example".into();
        exchange.request.path = "/x".into();
        let value = Template::parse(text).unwrap().fill(&exchange)?;
        Some(value.to_str().unwrap().to_owned())
    }

    #[test]
    fn fills_in_what_is_known_of_the_exchange() {
        assert_eq!(
            filled("from {client_ip}").as_deref(),
            Some("from 192.0.2.1")
        );
        assert_eq!(
            filled("{method} {scheme}://{host}{path}!").as_deref(),
            Some("GET http://a.example/x!")
        );
        assert_eq!(filled("{consumer}"), None);
    }

    #[test]
    fn leaves_other_braces_alone() {
        let json = r#"{"group":"default","max_age":1}"#;
        assert_eq!(filled(json).as_deref(), Some(json));
        assert_eq!(filled("{{host}").as_deref(), Some("{host}"));
        assert_eq!(filled("a { b").as_deref(), Some("a { b"));
    }

    #[test]
    fn names_the_variable_that_was_meant() {
        let (what, hint) = Template::parse("{clientip}").unwrap_err();
        assert_eq!(what, "unknown variable `{clientip}`");
        assert!(hint.contains("`{client_ip}`"), "{hint}");
    }

    #[test]
    fn refuses_line_breaks() {
        assert!(Template::parse("a\r\nX-Admin: 1").is_err());
        assert!(Template::parse("{host}\n").is_err());
    }
}
