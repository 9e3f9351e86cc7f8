//! `cors`: which pages of other origins may read replies (Fetch standard, section 3.2).
//!
//! Must hold: a preflight is answered here and never reaches a target; an origin that is not allowed
//! gets no permission, whatever the target says, but its request passes: refusing is the browser's part.
//! Replies that differ by origin say so (`Vary`), or a shared cache would mix them up.

mod origin;

pub use origin::Origin;

use std::sync::Arc;
use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use portway_config::{Decode, Node, OneOrMany, Spanned, config};
use portway_filter::{Built, Compile, Filter, FilterKind, Flow, Hooks, Phase, Step};
use portway_http::{Body, Exchange, Reply};

use crate::names::header_name;

static ANY: HeaderValue = HeaderValue::from_static("*");
static TRUE: HeaderValue = HeaderValue::from_static("true");
static VARY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
static VARY_PREFLIGHT: HeaderValue =
    HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers");

config! {
    /// Lets pages of other origins read replies.
    pub struct CorsConfig {
        /// `https://app.example.com`, `https://*.example.com` for all its subdomains, or `*` for all,
        /// which is the default.
        pub allow_origins: Option<OneOrMany<Spanned<String>>>,
        /// Methods that pages may use; `*` for all. Default GET, HEAD, POST, PUT, PATCH, DELETE.
        pub allow_methods: Option<OneOrMany<Spanned<String>>>,
        /// Request headers that pages may set. Default whatever they ask for.
        pub allow_headers: Option<OneOrMany<Spanned<String>>>,
        /// Reply headers that pages may see beyond the usual few.
        pub expose_headers: Option<OneOrMany<Spanned<String>>>,
        /// Lets pages send cookies and other credentials. Needs `allow_origins` without `*`.
        pub allow_credentials: Spanned<bool> = false,
        /// How long a browser may remember the answer to a preflight.
        pub max_age: Duration = Duration::from_secs(600),
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "cors",
        summary: "Lets pages of other origins read replies, and answers preflights.",
        phase: Phase::Cors,
        scopes: &[],
        schema: CorsConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = CorsConfig::decode(node, cx.diagnostics)?;
    let origins = compile_origins(&config, cx);
    let methods = compile_methods(config.allow_methods.as_ref(), cx);
    let headers = field_names(config.allow_headers.as_ref(), cx);
    let expose = field_names(config.expose_headers.as_ref(), cx);
    Some(Built::Filter(Arc::new(Cors {
        origins: origins?,
        methods: methods?,
        headers: headers?,
        expose: expose?,
        credentials: config.allow_credentials.value(),
        max_age: HeaderValue::from(config.max_age.as_secs()),
    })))
}

fn compile_origins(config: &CorsConfig, cx: &mut Compile<'_>) -> Option<Origins> {
    let Some(entries) = &config.allow_origins else {
        return any_origin(config, cx);
    };
    if entries.iter().any(|e| **e == "*") {
        return any_origin(config, cx);
    }
    let mut origins = Vec::new();
    for entry in entries.iter() {
        match Origin::parse(entry) {
            Ok(origin) => origins.push(origin),
            Err(wrong) => {
                let what = format!("`{}` is not an origin: {wrong}", entry.escape_default());
                cx.error(
                    entry.span(),
                    what,
                    "write https://host or https://*.host, with :port if any",
                );
            }
        }
    }
    (origins.len() == entries.len()).then(|| Origins::Listed(origins.into()))
}

fn any_origin(config: &CorsConfig, cx: &mut Compile<'_>) -> Option<Origins> {
    if config.allow_credentials.value() {
        let what = "credentials cannot be allowed to every origin";
        let hint = "list the origins in `allow_origins`, without `*`";
        cx.error(config.allow_credentials.span(), what, hint);
        return None;
    }
    Some(Origins::Any)
}

/// The value for `Access-Control-Allow-Methods`; `Some(None)` for whatever is asked for.
fn compile_methods(
    config: Option<&OneOrMany<Spanned<String>>>,
    cx: &mut Compile<'_>,
) -> Option<Option<HeaderValue>> {
    let Some(words) = config else {
        return Some(Some(HeaderValue::from_static(
            "GET, HEAD, POST, PUT, PATCH, DELETE",
        )));
    };
    if words.iter().any(|w| **w == "*") {
        return Some(None);
    }
    for word in words
        .iter()
        .filter(|w| Method::from_bytes(w.as_bytes()).is_err())
    {
        let what = format!("`{}` is not a method", word.escape_default());
        cx.error(
            word.span(),
            what,
            "use methods as in [GET, POST], or \"*\" for all",
        );
    }
    joined(words).map(Some)
}

/// The names with commas between; `Some(None)` if there is no list.
fn field_names(
    config: Option<&OneOrMany<Spanned<String>>>,
    cx: &mut Compile<'_>,
) -> Option<Option<HeaderValue>> {
    let Some(words) = config else {
        return Some(None);
    };
    let good = words
        .iter()
        .filter(|w| header_name(w, cx.diagnostics).is_some())
        .count();
    if good < words.len() {
        return None;
    }
    joined(words).map(Some)
}

fn joined(words: &[Spanned<String>]) -> Option<HeaderValue> {
    let words: Vec<&str> = words.iter().map(|w| w.as_str()).collect();
    HeaderValue::try_from(words.join(", ")).ok()
}

enum Origins {
    Any,
    Listed(Box<[Origin]>),
}

/// Left by the request hook for the response hook: this origin may read the reply.
#[derive(Clone)]
struct Allowed(HeaderValue);

struct Cors {
    origins: Origins,
    /// `None` for whatever is asked for; so with `headers`.
    methods: Option<HeaderValue>,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

impl Cors {
    fn allows(&self, origin: &HeaderValue) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Listed(list) => list.iter().any(|o| o.matches(origin.as_bytes())),
        }
    }

    /// The answer to a preflight; the response hook adds for whom.
    fn preflight(&self, asked: &HeaderMap, allowed: bool) -> Reply {
        let mut reply = Reply::new(StatusCode::NO_CONTENT, Body::Empty);
        if !allowed {
            return reply;
        }
        let method = || asked.get(ACCESS_CONTROL_REQUEST_METHOD).cloned();
        if let Some(methods) = self.methods.clone().or_else(method) {
            reply.headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
        }
        match &self.headers {
            Some(headers) => {
                reply
                    .headers
                    .insert(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
            }
            None => {
                for headers in asked.get_all(ACCESS_CONTROL_REQUEST_HEADERS) {
                    reply
                        .headers
                        .append(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone());
                }
            }
        }
        if self.methods.is_none() || self.headers.is_none() {
            reply.headers.append(VARY, VARY_PREFLIGHT.clone());
        }
        reply
            .headers
            .insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        reply
    }
}

impl Filter for Cors {
    fn hooks(&self) -> Hooks {
        Hooks::Both
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        let request = &exchange.request;
        let Some(origin) = request.headers.get(ORIGIN) else {
            return Step::Now(Flow::Continue);
        };
        let allowed = self.allows(origin);
        if allowed && matches!(self.origins, Origins::Listed(_)) {
            exchange.extensions.insert(Allowed(origin.clone()));
        }
        let is_preflight = request.method == Method::OPTIONS
            && request.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        if is_preflight {
            return Step::Now(Flow::stop(self.preflight(&request.headers, allowed)));
        }
        Step::Now(Flow::Continue)
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, reply: &'a mut Reply) -> Step<'a, ()> {
        let headers = &mut reply.headers;
        let allowed = match &self.origins {
            Origins::Any => Some(ANY.clone()),
            Origins::Listed(_) => {
                headers.append(VARY, VARY_ORIGIN.clone());
                exchange.extensions.get::<Allowed>().map(|a| a.0.clone())
            }
        };
        let Some(origin) = allowed else {
            headers.remove(ACCESS_CONTROL_ALLOW_ORIGIN);
            headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
            return Step::Now(());
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE.clone());
        } else {
            headers.remove(ACCESS_CONTROL_ALLOW_CREDENTIALS);
        }
        if let Some(expose) = &self.expose {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
        Step::Now(())
    }
}

#[cfg(test)]
mod tests;
