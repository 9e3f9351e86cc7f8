//! How replies tell what a limit has left.
//!
//! Must hold: allocates nothing for a reply, since every reply carries it.

use http::HeaderName;
use portway_http::OwnFields;

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
        policy: Box<str>,
    },
    /// The older fields that many clients know.
    X {
        /// The quota.
        limit: u64,
    },
}

impl Tell {
    /// What the config asks for. `name` is plain text without quotes.
    #[must_use]
    pub fn new(form: Form, name: &str, quota: &Quota) -> Option<Tell> {
        match form {
            Form::Off => None,
            Form::X => Some(Tell::X {
                limit: quota.burst(),
            }),
            Form::Draft => {
                let window_s = seconds(quota.full_ns()).max(1);
                let policy = format!("\"{name}\";q={};w={window_s}", quota.burst());
                Some(Tell::Draft {
                    start: format!("\"{name}\";r=").into(),
                    policy: policy.into(),
                })
            }
        }
    }

    /// Writes the fields. The draft's are lists, to which each limit adds itself; of the others the
    /// limit nearest to the client counts.
    pub fn write(&self, rest: Rest, own: &mut OwnFields) {
        let (mut left, mut reset) = (itoa::Buffer::new(), itoa::Buffer::new());
        let left = left.format(rest.remaining).as_bytes();
        let reset = reset.format(seconds(rest.full_in_ns)).as_bytes();
        match self {
            Tell::Draft { start, policy } => {
                own.append(&RATELIMIT_POLICY, &[policy.as_bytes()]);
                own.append(&RATELIMIT, &[start.as_bytes(), left, b";t=", reset]);
            }
            Tell::X { limit } => {
                let mut text = itoa::Buffer::new();
                own.set(&X_LIMIT, &[text.format(*limit).as_bytes()]);
                own.set(&X_REMAINING, &[left]);
                own.set(&X_RESET, &[reset]);
            }
        }
    }
}

fn seconds(nanos: u64) -> u64 {
    nanos.div_ceil(1_000_000_000)
}
