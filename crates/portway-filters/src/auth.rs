//! `auth`: who calls. Each type is a file of its own; a request that does not say who it is, or not
//! convincingly, ends here with 401.
//!
//! Must hold: nothing opens by itself: without a key there is no pass, a failure refuses, and headers
//! that tell the target who calls come from here and never from the client.

mod apikey;
mod cache;
mod excluded;
mod jwt;
mod mtls;
mod token;

pub use excluded::Excluded;
pub use token::Claims;

use std::time::Duration;

use portway_config::{Decode, Each, Node, OneOrMany, Secret, Spanned, Table, choice, config};
use portway_filter::{Built, Compile, FilterKind, Phase};

config! {
    /// Lets in only callers who prove who they are.
    #[later("jwks", "cookie")]
    pub struct AuthConfig {
        /// How callers prove who they are.
        #[key = "type"]
        pub kind: AuthType,
        /// Paths that need no proof: exact, or `/public/*` for all below. The path is the canonical one
        /// that the client asked for, before any rewrite.
        pub exclude_paths: Vec<Spanned<String>> = Vec::new(),
        /// jwt: the secret shared with the issuer.
        pub secret: Option<Spanned<Secret>>,
        /// jwt: the algorithms that are accepted. Default HS256.
        pub algorithms: Option<OneOrMany<Algorithm>>,
        /// jwt: accepted issuers (`iss`); without it, any.
        pub issuer: OneOrMany<String> = Vec::new(),
        /// jwt: accepted audiences (`aud`); without it, any.
        pub audience: OneOrMany<String> = Vec::new(),
        /// jwt: how far the issuer's clock may be off.
        pub clock_skew: Spanned<Duration> = Duration::from_secs(60),
        /// jwt: refuses tokens without an end (`exp`).
        pub require_exp: bool = true,
        /// jwt: claims that go to the target, and in which header. `a.b` is `b` inside `a`.
        pub claims_to_headers: Table<Spanned<String>> = Table::default(),
        /// jwt: what a caller's token must grant.
        pub require: Option<Require>,
        /// apikey: the header that carries the key. Default X-API-Key.
        pub header: Option<Spanned<String>>,
        /// apikey: the query parameter that may carry the key. Default none.
        pub query: Option<Spanned<String>>,
        /// apikey: the keys and whose they are.
        pub keys: Option<Each<KeyConfig>>,
    }
}

choice! {
    /// How callers prove who they are.
    #[later("basic", "hmac", "introspection", "forward", "oidc")]
    pub enum AuthType {
        /// With a signed token: `Authorization: Bearer …`.
        Jwt = "jwt",
        /// With a key that is theirs.
        ApiKey = "apikey",
        /// With the certificate of their connection; its listener asks for one with `client_auth`.
        Mtls = "mtls",
    }
}

choice! {
    /// A signature algorithm (RFC 7518, section 3.1).
    #[later("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA")]
    pub enum Algorithm {
        /// HMAC with SHA-256.
        Hs256 = "HS256",
        /// HMAC with SHA-384.
        Hs384 = "HS384",
        /// HMAC with SHA-512.
        Hs512 = "HS512",
    }
}

config! {
    /// What a caller's token must grant; otherwise 403.
    pub struct Require {
        /// All of these, in the claim `permissions`, `scope` or `scp`.
        pub permissions: Vec<String> = Vec::new(),
        /// One of these, in the claim `roles`, `role` or `realm_access.roles`.
        pub roles: Vec<String> = Vec::new(),
    }
}

config! {
    /// A key and whose it is.
    pub struct KeyConfig {
        /// The key.
        pub key: Spanned<Secret>,
        /// Who holds it, for limits and logs.
        pub consumer: Spanned<String>,
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "auth",
        summary: "Lets in only callers who prove who they are.",
        phase: Phase::Authentication,
        scopes: &[],
        schema: AuthConfig::schema,
        compile,
    }
}

const OF_JWT: &[&str] = &[
    "secret",
    "algorithms",
    "issuer",
    "audience",
    "clock_skew",
    "require_exp",
    "claims_to_headers",
    "require",
];
const OF_APIKEY: &[&str] = &["header", "query", "keys"];

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = AuthConfig::decode(node, cx.diagnostics)?;
    let excluded = Excluded::compile(&config.exclude_paths, cx);
    match config.kind {
        AuthType::Jwt => {
            refuse_keys(node, OF_APIKEY, AuthType::ApiKey, cx);
            jwt::compile(node, &config, excluded, cx)
        }
        AuthType::ApiKey => {
            refuse_keys(node, OF_JWT, AuthType::Jwt, cx);
            apikey::compile(node, &config, excluded, cx)
        }
        AuthType::Mtls => {
            refuse_keys(node, OF_JWT, AuthType::Jwt, cx);
            refuse_keys(node, OF_APIKEY, AuthType::ApiKey, cx);
            mtls::compile(excluded)
        }
    }
}

/// A key that another type reads would be silently without effect.
fn refuse_keys(node: &Node, keys: &[&str], of: AuthType, cx: &mut Compile<'_>) {
    for entry in node.entries().unwrap_or_default() {
        if keys.contains(&&*entry.key) {
            let what = format!("`{}` belongs to `type: {}`", entry.key, of.as_str());
            cx.error(&entry.key_span, what, "remove the key, or change the type");
        }
    }
}

#[cfg(test)]
mod tests;
