//! Why there is no certificate: in words for operators, and what it means for the next try.
//!
//! Must hold: never quotes a key, a token or a nonce.

use std::fmt;

use instant_acme::{Error, Problem};

use crate::schedule::Pace;

/// An order that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: Kind,
    what: String,
}

/// What a failure means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The server cannot be reached, or does not do its part.
    Server,
    /// What must be kept cannot be.
    Disk,
    /// The server refuses: a check failed, or it does not issue for the name.
    Refused,
    /// It asks to come later.
    RateLimited,
    /// It does not know the account.
    NoAccount,
}

impl Kind {
    pub(crate) fn pace(self) -> Pace {
        match self {
            Kind::Server | Kind::Disk => Pace::Outage,
            Kind::Refused | Kind::RateLimited | Kind::NoAccount => Pace::Refused,
        }
    }
}

impl Failure {
    pub(crate) fn new(kind: Kind, what: impl Into<String>) -> Failure {
        Failure {
            kind,
            what: what.into(),
        }
    }

    /// The server's word on something that we did (`doing`).
    pub(crate) fn of(doing: &str, error: &Error) -> Failure {
        let (kind, what) = match error {
            Error::Api(problem) => (kind_of(problem), words(problem)),
            Error::Timeout(_) => (Kind::Server, "the server is not done in time".to_owned()),
            Error::Json(_) => (
                Kind::Server,
                "the server's answer is not what ACME servers say".to_owned(),
            ),
            other => (Kind::Server, other.to_string()),
        };
        Failure::new(kind, format!("{doing}: {what}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// The last part of the problem's type (RFC 8555, section 6.7).
fn kind_of(problem: &Problem) -> Kind {
    let r#type = problem.r#type.as_deref().unwrap_or_default();
    match r#type.rsplit(':').next().unwrap_or_default() {
        "rateLimited" => Kind::RateLimited,
        "accountDoesNotExist" | "unauthorized" if is_of_account(problem) => Kind::NoAccount,
        "serverInternal" | "badNonce" => Kind::Server,
        _ => Kind::Refused,
    }
}

/// Whether it is the account that the server does not know, not a name that it did not find here.
fn is_of_account(problem: &Problem) -> bool {
    let detail = problem.detail.as_deref().unwrap_or_default();
    let r#type = problem.r#type.as_deref().unwrap_or_default();
    r#type.ends_with("accountDoesNotExist") || detail.to_ascii_lowercase().contains("account")
}

/// A problem in one line.
pub(crate) fn words(problem: &Problem) -> String {
    let detail = problem.detail.as_deref().unwrap_or("no details");
    let mut words = detail.replace(['\r', '\n'], " ");
    if let Some(r#type) = &problem.r#type {
        let short = r#type.rsplit(':').next().unwrap_or_default();
        words.push_str(&format!(" ({short})"));
    }
    for part in &problem.subproblems {
        words.push_str(&format!("; {part}"));
    }
    words.chars().take(WORDS_MAX).collect()
}

/// A server's words are no longer than this in logs, characters.
const WORDS_MAX: usize = 600;

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: &str) -> Error {
        Error::Api(Problem {
            r#type: Some(format!("urn:ietf:params:acme:error:{kind}")),
            detail: Some(detail.to_owned()),
            status: Some(400),
            subproblems: Vec::new(),
        })
    }

    #[test]
    fn tells_kinds_apart_and_says_what_the_server_said() {
        for (error, kind) in [
            (problem("rateLimited", "too many"), Kind::RateLimited),
            (problem("accountDoesNotExist", ""), Kind::NoAccount),
            (
                problem("unauthorized", "Account is not valid"),
                Kind::NoAccount,
            ),
            (problem("unauthorized", "404 from the host"), Kind::Refused),
            (problem("rejectedIdentifier", "not this one"), Kind::Refused),
            (problem("serverInternal", "oops"), Kind::Server),
            (Error::Timeout(None), Kind::Server),
        ] {
            assert_eq!(Failure::of("ordering", &error).kind, kind, "{error}");
        }
        let failure = Failure::of("ordering", &problem("rateLimited", "too\nmany"));
        assert_eq!(failure.to_string(), "ordering: too many (rateLimited)");
    }
}
