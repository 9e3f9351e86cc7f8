//! `grpc_web`: browsers' gRPC calls, served by gRPC services
//! (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md>).
//!
//! Must hold: behind this filter a call is a gRPC call to everybody, refusals included; its reply goes back
//! in the form that the caller sent or asked for, each message as soon as it comes; a call that fails after
//! its reply began still ends with a status.

mod body;

use std::sync::Arc;

use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_TYPE,
};
use http::{HeaderValue, Method};
use portway_config::{Decode, Node, config};
use portway_filter::{Built, Compile, Filter, FilterKind, Flow, Hooks, Phase, Step};
use portway_http::grpc::web::Form;
use portway_http::{Body, Exchange, Reply, Request, grpc};

use body::{FromText, ToWeb};

/// What a page must be let see to know how its call ended.
static EXPOSED: HeaderValue =
    HeaderValue::from_static("grpc-status, grpc-message, grpc-status-details-bin");

config! {
    /// Serves gRPC-Web callers, that is browsers, from gRPC services.
    pub struct GrpcWebConfig {
        /// Lets pages of other origins that `cors` allows see how a call ended (`grpc-status` and the like).
        pub expose_status: bool = true,
    }
}

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "grpc_web",
        summary: "Serves gRPC-Web callers, that is browsers, from gRPC services.",
        phase: Phase::Admission,
        scopes: &[],
        schema: GrpcWebConfig::schema,
        compile,
    }
}

fn compile(node: &Node, cx: &mut Compile<'_>) -> Option<Built> {
    let config = GrpcWebConfig::decode(node, cx.diagnostics)?;
    Some(Built::Filter(Arc::new(GrpcWeb {
        expose_status: config.expose_status,
    })))
}

struct GrpcWeb {
    expose_status: bool,
}

/// Left by the request hook for the response hook: the form of the reply.
#[derive(Clone, Copy)]
struct Translated(Form);

impl Filter for GrpcWeb {
    fn hooks(&self) -> Hooks {
        Hooks::Both
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if let Some((form, content_type)) = call(&exchange.request) {
            let headers = &mut exchange.request.headers;
            headers.insert(CONTENT_TYPE, content_type);
            let accepted = headers.remove(ACCEPT);
            let accepted = accepted.and_then(|value| Some(Form::of(value.as_bytes())?.0));
            exchange
                .extensions
                .insert(Translated(accepted.unwrap_or(form)));
            if form == Form::Text {
                let body = std::mem::take(&mut exchange.body);
                exchange.body = Body::Stream(Box::pin(FromText::new(body)));
            }
        }
        Step::Now(Flow::Continue)
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, reply: &'a mut Reply) -> Step<'a, ()> {
        if let Some(Translated(form)) = exchange.extensions.get::<Translated>().copied() {
            if self.expose_status && reply.headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
                let headers = &mut reply.headers;
                headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED.clone());
            }
            // Anything else is no reply to a call: the caller judges it by its HTTP status.
            if grpc::is_grpc(&reply.headers) {
                translate(form, exchange, reply);
            }
        }
        Step::Now(())
    }
}

/// The form of a gRPC-Web call, and the content type of the gRPC call that it becomes.
fn call(request: &Request) -> Option<(Form, HeaderValue)> {
    if request.method != Method::POST {
        return None;
    }
    let (form, rest) = Form::of(request.headers.get(CONTENT_TYPE)?.as_bytes())?;
    Some((form, content_type("application/grpc", rest)?))
}

fn content_type(begin: &str, rest: &[u8]) -> Option<HeaderValue> {
    HeaderValue::from_bytes(&[begin.as_bytes(), rest].concat()).ok()
}

fn translate(form: Form, exchange: &Exchange, reply: &mut Reply) {
    let headers = &mut reply.headers;
    let before = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = before.and_then(|value| value.get("application/grpc".len()..));
    if let Some(value) = content_type(form.content_type(), rest.unwrap_or_default()) {
        headers.insert(CONTENT_TYPE, value);
    }
    // Trailers-only: the status is in the head, which is where callers look first.
    if grpc::status(headers).is_some() {
        return;
    }
    let body = std::mem::take(&mut reply.body);
    let ending = exchange.notes.grpc.clone();
    reply.body = Body::Stream(Box::pin(ToWeb::new(body, form, reply.status, ending)));
}

#[cfg(test)]
mod tests;
