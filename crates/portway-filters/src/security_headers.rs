//! `security_headers`: tells browsers to be careful with replies.
//!
//! Must hold: `Strict-Transport-Security` goes out on encrypted connections only (RFC 6797, section
//! 7.2); what the target set stays, unless the config says `override`, for the target knows its pages.

use std::sync::Arc;

use http::header::{
    CONTENT_SECURITY_POLICY, Entry, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue};
use portway_config::{Decode, Node, Spanned, config};
use portway_filter::{Built, Compile, Filter, FilterKind, Hooks, Phase, Step};
use portway_http::{Exchange, Reply};

use crate::OrOff;

/// Not among the names that the `http` crate knows.
static PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

config! {
    /// Tells browsers to be careful with replies. Each header can be set or switched `off`.
    pub struct SecurityHeadersConfig {
        /// `Strict-Transport-Security`, on encrypted connections only: come back by https.
        pub hsts: OrOff<Spanned<String>> = Some("max-age=31536000".to_owned()),
        /// `X-Content-Type-Options`: believe the Content-Type.
        pub content_type_options: OrOff<Spanned<String>> = Some("nosniff".to_owned()),
        /// `X-Frame-Options`: who may show the page in a frame.
        pub frame_options: OrOff<Spanned<String>> = Some("SAMEORIGIN".to_owned()),
        /// `Referrer-Policy`: what other sites learn of where a visitor came from.
        pub referrer_policy: OrOff<Spanned<String>> =
            Some("strict-origin-when-cross-origin".to_owned()),
        /// `Content-Security-Policy`: where the page may load things from. Off by default, as it
        /// depends on the page.
        pub content_security_policy: OrOff<Spanned<String>> = None,
        /// `Permissions-Policy`: which features of the browser the page may use. Off by default.
        pub permissions_policy: OrOff<Spanned<String>> = None,
        /// Replaces what the target set.
        #[key = "override"]
        pub replace: bool = false,
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "security_headers",
        summary: "Tells browsers to be careful with replies.",
        phase: Phase::SecurityHeaders,
        scopes: &[],
        schema: SecurityHeadersConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = SecurityHeadersConfig::decode(node, cx.diagnostics)?;
    let hsts = value(&config.hsts, cx)?;
    let settings = [
        (X_CONTENT_TYPE_OPTIONS, &config.content_type_options),
        (X_FRAME_OPTIONS, &config.frame_options),
        (REFERRER_POLICY, &config.referrer_policy),
        (CONTENT_SECURITY_POLICY, &config.content_security_policy),
        (PERMISSIONS_POLICY.clone(), &config.permissions_policy),
    ];
    let mut always = Vec::new();
    for (name, setting) in settings {
        always.extend(value(setting, cx)?.map(|value| (name, value)));
    }
    Some(Built::Filter(Arc::new(SecurityHeaders {
        hsts,
        always: always.into(),
        replace: config.replace,
    })))
}

/// The header's value, `Some(None)` if it is off, `None` after a problem was noted.
fn value(setting: &OrOff<Spanned<String>>, cx: &mut Compile<'_>) -> Option<Option<HeaderValue>> {
    let Some(text) = setting.value() else {
        return Some(None);
    };
    let value = HeaderValue::from_str(text).ok().filter(|v| !v.is_empty());
    if value.is_none() {
        let hint = "write one line of visible ASCII, or `off`";
        cx.error(text.span(), "this cannot be a header's value", hint);
    }
    value.map(Some)
}

struct SecurityHeaders {
    hsts: Option<HeaderValue>,
    always: Box<[(HeaderName, HeaderValue)]>,
    replace: bool,
}

impl SecurityHeaders {
    fn set(&self, reply: &mut Reply, name: &HeaderName, value: &HeaderValue) {
        match reply.headers.entry(name) {
            Entry::Vacant(free) => {
                free.insert(value.clone());
            }
            Entry::Occupied(mut taken) if self.replace => {
                taken.insert(value.clone());
            }
            Entry::Occupied(_) => {}
        }
    }
}

impl Filter for SecurityHeaders {
    fn hooks(&self) -> Hooks {
        Hooks::Response
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, reply: &'a mut Reply) -> Step<'a, ()> {
        for (name, value) in &self.always {
            self.set(reply, name, value);
        }
        if let Some(hsts) = self.hsts.as_ref().filter(|_| exchange.client.secure) {
            self.set(reply, &STRICT_TRANSPORT_SECURITY, hsts);
        }
        Step::Now(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{chain, exchange, header, problems, response};

    fn reply_of(yaml: &str, secure: bool, from_target: &[(&'static str, &'static str)]) -> Reply {
        let mut reply = Reply::new(http::StatusCode::OK, "");
        for (name, value) in from_target {
            reply.headers.insert(*name, HeaderValue::from_static(value));
        }
        let mut exchange = exchange(&[]);
        exchange.client.secure = secure;
        response(&chain(kind(), yaml), &mut exchange, &mut reply);
        reply
    }

    #[test]
    fn sets_what_is_safe_for_every_page() {
        let reply = reply_of("{}", true, &[]);
        let expected = [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "SAMEORIGIN"),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("strict-transport-security", "max-age=31536000"),
        ];
        for (name, value) in expected {
            assert_eq!(header(&reply, name), value);
        }
        assert_eq!(reply.headers.len(), expected.len());
    }

    #[test]
    fn asks_for_https_only_over_https() {
        assert_eq!(
            header(&reply_of("{}", false, &[]), "strict-transport-security"),
            ""
        );
    }

    #[test]
    fn leaves_what_the_target_set_unless_told_to_override() {
        let from_target = [("x-frame-options", "DENY")];
        assert_eq!(
            header(&reply_of("{}", true, &from_target), "x-frame-options"),
            "DENY"
        );
        let reply = reply_of("{override: true}", true, &from_target);
        assert_eq!(header(&reply, "x-frame-options"), "SAMEORIGIN");
    }

    #[test]
    fn sets_and_switches_off_single_headers() {
        let yaml = "{hsts: off, frame_options: off, content_security_policy: default-src 'self'}";
        let reply = reply_of(yaml, true, &[]);
        assert_eq!(header(&reply, "strict-transport-security"), "");
        assert_eq!(header(&reply, "x-frame-options"), "");
        assert_eq!(
            header(&reply, "content-security-policy"),
            "default-src 'self'"
        );
    }

    #[test]
    fn says_what_is_wrong_with_a_config() {
        assert_eq!(
            problems(kind(), "frame_options: \"a\\nb\"\nframe_option: off"),
            "t.yaml:1:16: error: this cannot be a header's value\n  \
             hint: write one line of visible ASCII, or `off`\n\
             t.yaml:2:1: error: unknown key `frame_option`\n  hint: did you mean `frame_options`?"
        );
        assert!(problems(kind(), "referrer_policy: ''").contains("cannot be a header's value"));
    }
}
