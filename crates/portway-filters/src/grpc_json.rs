//! `grpc_json`: JSON over HTTP for gRPC services, by their `google.api.http` options.
//!
//! Must hold: what a request is bound to comes from the descriptors alone; calls that are gRPC already pass
//! untouched; of bodies one message at a time is held, under a limit. The exchange keeps the client's path
//! and gets its method and query back with the reply, so that log and metrics show what the client asked.
//! Never: waits for a client; its body is read by whoever sends it on.

pub mod ask;
mod config;
mod encode;
pub mod field;
pub mod overlay;
pub mod pieces;
pub mod print;
pub mod rules;
pub mod set;
pub mod status;
pub mod template;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod told;
pub mod tree;
mod values;

use std::sync::Arc;

use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue,
};
use http::{HeaderMap, Method};
use portway_core::{Code, ProxyError};
use portway_filter::{Filter, FilterKind, Flow, Hooks, Phase, Step};
use portway_http::{Body, BodyLength, Downstream, Exchange, Reply, grpc};

use ask::Reading;
use config::GrpcJsonConfig;
use overlay::{Overlay, QueryRules};
use print::Print;
use rules::{Rule, Rules};
use status::{Details, Failure};
use told::{Streams, Telling};
use tree::Found;

/// How the config names it and makes it.
#[must_use]
pub fn kind() -> FilterKind {
    FilterKind {
        name: "grpc_json",
        summary: "Serves gRPC services to clients that speak JSON.",
        phase: Phase::Transform,
        scopes: &[],
        schema: <GrpcJsonConfig as portway_config::Decode>::schema,
        compile: config::compile,
    }
}

/// The filter.
struct GrpcJson {
    rules: Rules,
    details: Arc<Details>,
    /// What of a path goes before the templates; empty for nothing.
    prefix: Box<str>,
    pass_unmatched: bool,
    query: QueryRules,
    streams: Streams,
    print: Print,
    message_bytes_max: usize,
}

/// A call that was made of a request, for the way back.
#[derive(Clone)]
struct Asked {
    /// The filter it was made by: there may be others around it.
    by: usize,
    rule: Arc<Rule>,
    method: Method,
    query: Option<String>,
    streams: Streams,
}

/// The path and method of a request, found among the bindings.
enum Bound {
    To(Arc<Rule>, Result<Overlay, String>),
    OtherMethods(String),
    Nothing,
}

impl Filter for GrpcJson {
    fn hooks(&self) -> Hooks {
        Hooks::Both
    }

    fn on_request<'a>(&'a self, exchange: &'a mut Exchange) -> Step<'a> {
        if is_grpc_of_any_kind(&exchange.request.headers) {
            return Step::Now(Flow::Continue);
        }
        let refused = match self.find(exchange) {
            Bound::To(rule, Ok(overlay)) => match self.ask(exchange, rule, overlay) {
                Ok(()) => return Step::Now(Flow::Continue),
                Err(error) => exchange.problem(error),
            },
            Bound::To(_, Err(why)) => exchange.refuse(Code::BadRequest, &why),
            Bound::OtherMethods(_) | Bound::Nothing if self.pass_unmatched => {
                return Step::Now(Flow::Continue);
            }
            Bound::OtherMethods(methods) => {
                let detail = format!("the path is bound to {methods} only");
                let reply = exchange.refuse(Code::MethodNotAllowed, &detail);
                match HeaderValue::try_from(methods) {
                    Ok(methods) => reply.with_header(ALLOW, methods),
                    Err(_) => reply,
                }
            }
            Bound::Nothing => exchange.refuse(Code::NotFound, "no method is bound to this path"),
        };
        Step::Now(Flow::stop(refused))
    }

    fn on_response<'a>(&'a self, exchange: &'a mut Exchange, reply: &'a mut Reply) -> Step<'a, ()> {
        let asked = exchange.extensions.get::<Asked>();
        match asked.filter(|asked| asked.by == self.address()).cloned() {
            None => {
                self.translate_problem(exchange, reply);
                Step::Now(())
            }
            Some(asked) => Step::Later(Box::pin(async move {
                self.answer(&asked, exchange, reply).await;
                exchange.extensions.remove::<Asked>();
                exchange.request.method = asked.method;
                exchange.request.query = asked.query;
            })),
        }
    }
}

impl GrpcJson {
    fn address(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }

    fn find(&self, exchange: &Exchange) -> Bound {
        let request = &exchange.request;
        let path = match request.path.strip_prefix(&*self.prefix) {
            Some(path) if path.starts_with('/') => path,
            _ => return Bound::Nothing,
        };
        let mut segments = Vec::with_capacity(8);
        match self
            .rules
            .find(request.method.as_str(), path, &mut segments)
        {
            Found::Value(rule) => {
                let query = request.query.as_deref();
                let overlay = Overlay::read(rule, &segments, query, &self.query);
                Bound::To(Arc::clone(rule), overlay)
            }
            Found::OtherMethods(methods) => Bound::OtherMethods(methods.join(", ")),
            Found::Nothing => Bound::Nothing,
        }
    }

    /// Makes the request a call.
    fn ask(
        &self,
        exchange: &mut Exchange,
        rule: Arc<Rule>,
        overlay: Overlay,
    ) -> Result<(), ProxyError> {
        let headers = &exchange.request.headers;
        let coded = headers.get_all(CONTENT_ENCODING).into_iter();
        if coded.into_iter().any(|coding| coding != "identity") {
            let detail = "a body with a content coding is not read";
            return Err(ProxyError::new(Code::BadRequest, detail));
        }
        let max = exchange.body_bytes_max;
        if max != 0 && matches!(exchange.body.length(), BodyLength::Exact(n) if n > max) {
            let detail = format!("the limit is {max} octets");
            return Err(ProxyError::new(Code::PayloadTooLarge, detail));
        }
        let streams = match accepts_lines(headers) {
            Some(streams) if rule.method.gives_stream => streams,
            _ => self.streams,
        };
        let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let reading = Reading {
            rule: Arc::clone(&rule),
            unknown: self.query.unknown,
            message_bytes_max: self.message_bytes_max,
            content_type: content_type.unwrap_or("application/octet-stream").into(),
        };
        let mut body = std::mem::take(&mut exchange.body);
        body.limit(max); // forwarding cannot limit what is made of it
        exchange.body = reading.body(body, overlay)?;
        let request = &mut exchange.request;
        exchange.target_path.clear();
        exchange.target_path.push_str(&rule.method.path);
        let asked = Asked {
            by: self.address(),
            rule,
            method: std::mem::replace(&mut request.method, Method::POST),
            query: request.query.take(),
            streams,
        };
        become_call(&mut request.headers);
        exchange.extensions.insert(asked);
        Ok(())
    }

    /// Makes the reply to a call one to the client.
    async fn answer(&self, asked: &Asked, exchange: &mut Exchange, reply: &mut Reply) {
        if exchange.notes.code.is_some() {
            return translate_refusal(exchange, reply);
        }
        let telling = Telling {
            rule: Arc::clone(&asked.rule),
            print: self.print.clone(),
            details: Arc::clone(&self.details),
            streams: asked.streams,
            message_bytes_max: self.message_bytes_max,
        };
        let told = telling.tell(reply, |cx| match &exchange.downstream {
            // An HTTP/1 connection says so only once the request has been read.
            Downstream::H1(conn) if !conn.body_is_done() => std::task::Poll::Pending,
            downstream => downstream.poll_gone(cx),
        });
        if let Err(error) = told.await {
            let mut refused = exchange.problem(error);
            translate_refusal(exchange, &mut refused);
            *reply = refused;
        }
    }

    /// Replies that the gateway made before the request was a call: one form of error for all.
    fn translate_problem(&self, exchange: &Exchange, reply: &mut Reply) {
        let is_problem = reply
            .headers
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind == "application/problem+json");
        let Some(code) = exchange.notes.code.filter(|_| is_problem) else {
            return;
        };
        if self.pass_unmatched || is_grpc_of_any_kind(&exchange.request.headers) {
            return;
        }
        let Body::Full(text) = &reply.body else {
            return;
        };
        let Ok(problem) = serde_json::from_slice::<serde_json::Value>(text) else {
            return;
        };
        let mut message = code.title().to_owned();
        if let Some(detail) = problem["detail"].as_str() {
            message.push_str(": ");
            message.push_str(detail);
        }
        Failure::of_gateway(code, message, exchange.request_id.as_str()).reply(reply);
    }
}

/// The gateway's refusal of a call, for a client that knows of no call.
fn translate_refusal(exchange: &Exchange, reply: &mut Reply) {
    let code = exchange.notes.code.unwrap_or(Code::Internal);
    let message = status::message_of(&reply.headers);
    for name in [grpc_field("grpc-status"), status::MESSAGE] {
        reply.headers.remove(name);
    }
    Failure::of_gateway(code, message, exchange.request_id.as_str()).reply(reply);
}

const fn grpc_field(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// gRPC and gRPC-Web.
fn is_grpc_of_any_kind(headers: &HeaderMap) -> bool {
    const WEB: &[u8] = b"application/grpc-web";
    let web = |value: &HeaderValue| {
        let value = value.as_bytes();
        value.len() >= WEB.len() && value[..WEB.len()].eq_ignore_ascii_case(WEB)
    };
    grpc::is_grpc(headers) || headers.get(CONTENT_TYPE).is_some_and(web)
}

/// The form of streams that the client asks for, if it asks for one.
fn accepts_lines(headers: &HeaderMap) -> Option<Streams> {
    let accept = headers.get_all(ACCEPT).into_iter();
    let mut kinds = accept
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.find_map(|kind| {
        if [
            "application/x-ndjson",
            "application/jsonl",
            "application/ndjson",
        ]
        .iter()
        .any(|lines| kind.eq_ignore_ascii_case(lines))
        {
            return Some(Streams::Lines);
        }
        kind.eq_ignore_ascii_case("application/json")
            .then_some(Streams::Array)
    })
}

/// Fields of a request that would say something else of a call.
fn become_call(headers: &mut HeaderMap) {
    for name in [
        ACCEPT,
        ACCEPT_ENCODING,
        CONTENT_ENCODING,
        grpc_field("grpc-encoding"),
        grpc_field("grpc-accept-encoding"),
        grpc_field("grpc-status"),
        grpc_field("grpc-message"),
    ] {
        headers.remove(name);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
}
