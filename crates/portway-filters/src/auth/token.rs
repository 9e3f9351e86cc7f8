//! What a bearer token must be to count: a JWT (RFC 7519) signed with a shared secret.
//!
//! Must hold: the algorithms come from the config, never from the token (CVE-2015-9235); a token that
//! names an extension as critical is refused, for none is understood (RFC 7515, section 4.1.11); an
//! issuer or audience that the config names must be present, not merely right where present.
//! Never: reads a clock of its own for anything but `exp` and `nbf`, which `jsonwebtoken` checks.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

/// The claims of a token that was accepted, left in the exchange's extensions for later filters.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims(pub Map<String, Value>);

impl Claims {
    /// The claim of this name; `a.b` also finds `b` inside the object `a`.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Value> {
        self.0.get(name).or_else(|| {
            let (outer, inner) = name.split_once('.')?;
            inner
                .split('.')
                .try_fold(self.0.get(outer)?, |v, key| v.get(key))
        })
    }

    /// Whether one of these claims holds this word: as text, in a list, or in a text of words with
    /// spaces between (as `scope` is, RFC 8693, section 4.2).
    fn grant(&self, claims: &[&str], word: &str) -> bool {
        claims
            .iter()
            .filter_map(|name| self.find(name))
            .any(|claim| match claim {
                Value::String(text) => text.split_ascii_whitespace().any(|w| w == word),
                Value::Array(list) => list.iter().any(|v| v.as_str() == Some(word)),
                _ => false,
            })
    }
}

/// Where permissions stand: a list of its own, or OAuth scopes (RFC 8693; Entra ID says `scp`).
const PERMISSION_CLAIMS: [&str; 3] = ["permissions", "scope", "scp"];
/// Where roles stand: a list of its own, or where Keycloak puts them.
const ROLE_CLAIMS: [&str; 3] = ["roles", "role", "realm_access.roles"];

/// What to accept.
pub struct Rules {
    /// At least one, all of the HMAC family.
    pub algorithms: Vec<Algorithm>,
    /// The shared secret; not empty.
    pub secret: Box<[u8]>,
    /// Accepted issuers; empty for any.
    pub issuers: Vec<String>,
    /// Accepted audiences; empty for any.
    pub audiences: Vec<String>,
    /// How far the issuer's clock may be off; at most [`CLOCK_SKEW_MAX`].
    pub clock_skew: Duration,
    /// Whether a token without an end is refused.
    pub require_exp: bool,
    /// Claims that go to the target, and under which header.
    pub claims_to_headers: Vec<(String, HeaderName)>,
    /// All of these permissions are needed.
    pub permissions: Vec<String>,
    /// One of these roles is needed; empty for none.
    pub roles: Vec<String>,
}

/// More would let tokens live on long after their end.
pub const CLOCK_SKEW_MAX: Duration = Duration::from_secs(3600);

/// A token that was accepted.
#[derive(Debug)]
pub struct Verified {
    /// `sub`: who calls.
    pub consumer: Option<Arc<str>>,
    /// All claims.
    pub claims: Arc<Claims>,
    /// Headers for the target.
    pub headers: Box<[(HeaderName, HeaderValue)]>,
    /// No longer valid after this time, seconds since the Unix epoch, clock skew included.
    pub valid_to: u64,
    /// Whether its permissions and roles are enough.
    pub enough: bool,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal;)*) => {
        /// Why a token does not count.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Reason {
            $($(#[$doc])* $variant,)*
        }

        impl Reason {
            /// In words, for the problem's `detail`.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $text,)* }
            }

            /// The `WWW-Authenticate` field (RFC 6750, section 3).
            #[must_use]
            pub fn challenge(self) -> HeaderValue {
                if self == Reason::Missing {
                    return HeaderValue::from_static("Bearer");
                }
                HeaderValue::from_static(match self {
                    $(Reason::$variant => concat!(
                        "Bearer error=\"invalid_token\", error_description=\"", $text, "\""
                    ),)*
                })
            }
        }
    };
}

reasons! {
    /// No `Authorization: Bearer`. Its challenge names no error (RFC 6750, section 3.1).
    Missing = "no bearer token was sent";
    /// Several fields could be read differently by the target.
    Several = "more than one Authorization field was sent";
    /// Not a JWT.
    Malformed = "the token is not a valid JWT";
    /// An algorithm that the config does not name.
    Algorithm = "the token's algorithm is not accepted";
    /// A critical extension.
    Critical = "the token needs an extension that is not understood";
    /// Signed with another key, or changed.
    Signature = "the token's signature is wrong";
    /// Past its end.
    Expired = "the token has expired";
    /// Before its beginning.
    NotYet = "the token is not valid yet";
    /// A claim that must be there is not, or is not of its type.
    Claim = "the token lacks a required claim";
    /// Another issuer.
    Issuer = "the token's issuer is not accepted";
    /// For someone else.
    Audience = "the token is for another audience";
}

/// Checks tokens against one set of rules.
pub struct Verifier {
    key: DecodingKey,
    validation: Validation,
    rules: Rules,
}

impl Verifier {
    /// A verifier. Expects what [`Rules`] says of its fields.
    #[must_use]
    pub fn new(rules: Rules) -> Verifier {
        let mut validation = Validation::default();
        validation.algorithms.clone_from(&rules.algorithms);
        validation.leeway = rules.clock_skew.min(CLOCK_SKEW_MAX).as_secs();
        validation.validate_nbf = true;
        validation.required_spec_claims.clear();
        let mut require = |claim: &str| validation.required_spec_claims.insert(claim.to_owned());
        if rules.require_exp {
            require("exp");
        }
        if !rules.issuers.is_empty() {
            require("iss");
        }
        if !rules.audiences.is_empty() {
            require("aud");
        }
        if !rules.issuers.is_empty() {
            validation.set_issuer(&rules.issuers);
        }
        // Without this, `jsonwebtoken` refuses every token that has an audience.
        validation.validate_aud = !rules.audiences.is_empty();
        if validation.validate_aud {
            validation.set_audience(&rules.audiences);
        }
        Verifier {
            key: DecodingKey::from_secret(&rules.secret),
            validation,
            rules,
        }
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Checks signature and claims.
    pub fn verify(&self, token: &str) -> Result<Verified, Reason> {
        let data = jsonwebtoken::decode::<Map<String, Value>>(token, &self.key, &self.validation)
            .map_err(|e| reason_of(&e))?;
        if data.header.crit.is_some() {
            return Err(Reason::Critical);
        }
        let claims = Claims(data.claims);
        let exp = claims.0.get("exp").and_then(Value::as_f64);
        let valid_to = exp.map_or(u64::MAX, |exp| exp.round() as u64 + self.validation.leeway);
        let mut headers = Vec::new();
        for (claim, header) in &self.rules.claims_to_headers {
            if let Some(value) = claims.find(claim).and_then(header_value) {
                headers.push((header.clone(), value));
            }
        }
        Ok(Verified {
            consumer: claims.0.get("sub").and_then(Value::as_str).map(Arc::from),
            enough: self.is_enough(&claims),
            claims: Arc::new(claims),
            headers: headers.into(),
            valid_to,
        })
    }

    fn is_enough(&self, claims: &Claims) -> bool {
        let Rules {
            permissions, roles, ..
        } = &self.rules;
        permissions
            .iter()
            .all(|p| claims.grant(&PERMISSION_CLAIMS, p))
            && (roles.is_empty() || roles.iter().any(|r| claims.grant(&ROLE_CLAIMS, r)))
    }
}

fn reason_of(error: &Error) -> Reason {
    match error.kind() {
        ErrorKind::InvalidSignature => Reason::Signature,
        ErrorKind::ExpiredSignature => Reason::Expired,
        ErrorKind::ImmatureSignature => Reason::NotYet,
        ErrorKind::InvalidIssuer => Reason::Issuer,
        ErrorKind::InvalidAudience => Reason::Audience,
        ErrorKind::MissingRequiredClaim(_) | ErrorKind::InvalidClaimFormat(_) => Reason::Claim,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm => Reason::Algorithm,
        _ => Reason::Malformed,
    }
}

/// Text as it is, numbers and booleans as JSON writes them, a list of those with commas between. An
/// object, or text that cannot stand in a header, gives none.
fn header_value(claim: &Value) -> Option<HeaderValue> {
    let text = match claim {
        Value::String(text) => return HeaderValue::from_bytes(text.as_bytes()).ok(),
        Value::Number(_) | Value::Bool(_) => claim.to_string(),
        Value::Array(list) => {
            let words: Option<Vec<String>> = list
                .iter()
                .map(|v| match v {
                    Value::String(text) => Some(text.clone()),
                    Value::Number(_) | Value::Bool(_) => Some(v.to_string()),
                    _ => None,
                })
                .collect();
            words?.join(",")
        }
        Value::Null | Value::Object(_) => return None,
    };
    HeaderValue::from_bytes(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
