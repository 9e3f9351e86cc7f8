//! How replies tell what a limit has left.
//!
//! Must hold: one small allocation a field at most, since every reply carries it.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Form, Quota, Rest};

static RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
static X_LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
static X_REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
static X_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// Writes the fields of one form.
pub enum Tell {
    /// draft-ietf-httpapi-ratelimit-headers-10: `"name";r=remaining;t=seconds`.
    Draft {
        /// `"name";r=`
        start: Box<str>,
        /// The whole `RateLimit-Policy`.
        policy: HeaderValue,
    },
    /// The older fields that many clients know.
    X {
        /// The quota.
        limit: HeaderValue,
    },
}

impl Tell {
    /// What the config asks for. `name` is plain text without quotes.
    #[must_use]
    pub fn new(form: Form, name: &str, quota: &Quota) -> Option<Tell> {
        match form {
            Form::Off => None,
            Form::X => Some(Tell::X {
                limit: HeaderValue::from(quota.burst()),
            }),
            Form::Draft => {
                let window_s = seconds(quota.full_ns()).max(1);
                let policy = format!("\"{name}\";q={};w={window_s}", quota.burst());
                Some(Tell::Draft {
                    start: format!("\"{name}\";r=").into(),
                    policy: HeaderValue::try_from(policy).ok()?,
                })
            }
        }
    }

    /// Writes the fields. The draft's are lists, to which each limit adds itself; of the others the
    /// limit nearest to the client counts.
    pub fn write(&self, rest: Rest, headers: &mut HeaderMap) {
        match self {
            Tell::Draft { start, policy } => {
                headers.append(RATELIMIT_POLICY.clone(), policy.clone());
                if let Some(value) = draft_value(start, rest) {
                    headers.append(RATELIMIT.clone(), value);
                }
            }
            Tell::X { limit } => {
                headers.insert(X_LIMIT.clone(), limit.clone());
                headers.insert(X_REMAINING.clone(), HeaderValue::from(rest.remaining));
                headers.insert(X_RESET.clone(), HeaderValue::from(seconds(rest.full_in_ns)));
            }
        }
    }
}

fn draft_value(start: &str, rest: Rest) -> Option<HeaderValue> {
    let mut buffer = [0; 96];
    let (mut remaining, mut reset) = (itoa::Buffer::new(), itoa::Buffer::new());
    let parts = [
        start,
        remaining.format(rest.remaining),
        ";t=",
        reset.format(seconds(rest.full_in_ns)),
    ];
    let mut length = 0;
    for part in parts {
        let end = length + part.len();
        buffer
            .get_mut(length..end)?
            .copy_from_slice(part.as_bytes());
        length = end;
    }
    HeaderValue::from_bytes(&buffer[..length]).ok()
}

fn seconds(nanos: u64) -> u64 {
    nanos.div_ceil(1_000_000_000)
}
