//! Conditions of a route besides host, path and method: headers, query, cookies.
//!
//! Must hold: a subject with several values fulfils a condition if any one value does; `Absent`
//! needs that there is none at all.
//! Never: allocates, but into the scratch buffer it is given.

use std::fmt;

use http::HeaderName;

use crate::query::{cookie_pairs, decode, decodes_to, query_pairs};
use crate::spec::RouteSpec;
use crate::table::Lookup;
use crate::value::ValueMatch;

/// What a condition looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    Header(HeaderName),
    Query(Box<str>),
    Cookie(Box<str>),
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) subject: Subject,
    pub(crate) value: ValueMatch,
}

impl Condition {
    /// All conditions of a route, in the order headers, query, cookies.
    pub(crate) fn of(spec: &RouteSpec) -> Box<[Condition]> {
        let headers = spec
            .headers
            .iter()
            .map(|(name, value)| (Subject::Header(name.clone()), value));
        let cookies = spec.cookies.iter();
        let cookies = cookies.map(|(name, value)| (Subject::Cookie(name.as_str().into()), value));
        let query = spec.query.iter();
        let query = query.map(|(key, value)| (Subject::Query(key.as_str().into()), value));
        headers
            .chain(query)
            .chain(cookies)
            .map(|(subject, value)| Condition {
                subject,
                value: value.clone(),
            })
            .collect()
    }

    /// Does the request fulfil this?
    pub(crate) fn holds(&self, lookup: &Lookup<'_>, scratch: &mut Vec<u8>) -> bool {
        let wanted = &self.value;
        let mut seen = false;
        let mut check = |value: &[u8]| {
            seen = true;
            wanted.accepts(value)
        };
        let accepted = match &self.subject {
            Subject::Header(name) => lookup
                .headers
                .get_all(name)
                .iter()
                .any(|value| check(value.as_bytes())),
            Subject::Query(key) => query_pairs(lookup.query.unwrap_or_default())
                .filter(|(name, _)| decodes_to(name, key.as_bytes()))
                .any(|(_, value)| check(decode(value, scratch))),
            Subject::Cookie(key) => cookie_pairs(lookup.headers)
                .filter(|(name, _)| *name == key.as_bytes())
                .any(|(_, value)| check(value)),
        };
        accepted || (!seen && *wanted == ValueMatch::Absent)
    }

    /// Why the request does not fulfil this, for people.
    pub(crate) fn why_not(&self, lookup: &Lookup<'_>) -> String {
        let mut scratch = Vec::new();
        let first = match &self.subject {
            Subject::Header(name) => lookup.headers.get(name).map(|v| v.as_bytes().to_vec()),
            Subject::Query(key) => query_pairs(lookup.query.unwrap_or_default())
                .find(|(name, _)| decodes_to(name, key.as_bytes()))
                .map(|(_, value)| decode(value, &mut scratch).to_vec()),
            Subject::Cookie(key) => cookie_pairs(lookup.headers)
                .find(|(name, _)| *name == key.as_bytes())
                .map(|(_, value)| value.to_vec()),
        };
        let (subject, value) = (&self.subject, &self.value);
        match first {
            None => format!("{subject} is absent, wanted {value}"),
            Some(is) => format!("{subject} is `{}`, wanted {value}", is.escape_ascii()),
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let subject = match &self.subject {
            Subject::Header(name) => name.as_str().len(),
            Subject::Query(text) | Subject::Cookie(text) => text.len(),
        };
        size_of::<Self>() + subject + self.value.memory_bytes()
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Query(key) => write!(f, "query {key}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
        }
    }
}
