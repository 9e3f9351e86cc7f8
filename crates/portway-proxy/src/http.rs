//! The path of every HTTP exchange: [`handle`].
//!
//! Must hold: one snapshot per exchange, loaded by the caller; every way out of `handle` has passed the
//! response filters, and has an id where one is asked for. There is one exception: the answer to an issuer's
//! check is what the issuer wants it to be, and nothing else. Whoever sends the reply calls `finish` once, last.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http::header::{ALLOW, HeaderValue, ORIGIN};
use http::{HeaderMap, HeaderName, Method, StatusCode};
use portway_core::{Code, ListenerId, ProxyError, RouteId};
use portway_filter::{Chain, Flow};
use portway_http::{Body, BodyLength, Exchange, Reply, request::Form};
use portway_net::Timer;
use portway_plan::Action;
use portway_route::{Found, Lookup, Params};

use crate::forward::{Lease, forward};
use crate::local;
use crate::snapshot::WorkerSnapshot;
use crate::tunnel;
use crate::worker::Worker;

/// A reply on its way, and what must live until it has been sent.
pub struct Handled<'s> {
    /// The reply.
    pub reply: Reply,
    /// The target's share in it, if it came from one.
    pub lease: Option<Lease<'s>>,
}

impl From<Reply> for Handled<'_> {
    fn from(reply: Reply) -> Self {
        Handled { reply, lease: None }
    }
}

/// Finds the route, runs its filters around its action.
pub async fn handle<'s>(
    worker: &'s Rc<Worker>,
    snapshot: &'s Rc<WorkerSnapshot>,
    timer: &'s Timer,
    exchange: &mut Exchange,
) -> Handled<'s> {
    if let Some(reply) = check_of_name(worker, snapshot, exchange) {
        return reply.into();
    }
    if is_misdirected(exchange) {
        let filters = &snapshot.shared.no_route;
        return Box::pin(answer_early(filters, exchange, misdirected)).await;
    }
    let (filters, found) = find(snapshot, exchange);
    exchange.route = found.as_ref().ok().copied();
    if let Some(port) = https_port(snapshot, &found, exchange) {
        let to_https = |exchange: &mut Exchange| local::redirect_https(port, exchange);
        return Box::pin(answer_early(filters, exchange, to_https)).await;
    }
    let mut handled = match filters.on_request(exchange).await {
        Flow::Stop(reply) => Handled::from(*reply),
        Flow::Continue if is_too_large(exchange) => {
            let detail = format!("the limit is {} octets", exchange.body_bytes_max);
            exchange.refuse(Code::PayloadTooLarge, &detail).into()
        }
        Flow::Continue => match found {
            Ok(route) => act(worker, snapshot, timer, exchange, route).await,
            Err(missing) => missing.reply(worker, exchange).await.into(),
        },
    };
    if exchange.upgrade.asked().is_some() && handled.reply.status.is_success() {
        tunnel::refuse_false(exchange, &mut handled);
    }
    if !answer(timer, filters, exchange, &mut handled).await {
        Box::pin(give_up(filters, exchange, &mut handled)).await;
    }
    handled
}

/// Answers before the request filters have run. The id comes first: what goes wrong names it.
#[cold]
async fn answer_early<'s>(
    filters: &Chain,
    exchange: &mut Exchange,
    reply: impl FnOnce(&mut Exchange) -> Reply,
) -> Handled<'s> {
    filters.identify(exchange).await;
    let mut reply = reply(exchange);
    filters.on_response(exchange, &mut reply).await;
    reply.into()
}

/// Runs the response filters. False if one waited for the target longer than the exchange may take.
async fn answer(
    timer: &Timer,
    filters: &Chain,
    exchange: &mut Exchange,
    handled: &mut Handled<'_>,
) -> bool {
    let seen = exchange.seen_at;
    let Handled { reply, lease } = handled;
    let mut answering = pin!(filters.on_response(exchange, reply));
    poll_fn(|cx| {
        if answering.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        match lease {
            Some(lease) => timer.poll(cx, lease.deadline(seen)).map(|()| false),
            None => Poll::Pending,
        }
    })
    .await
}

/// The reply in place of one that did not become complete in time.
#[cold]
async fn give_up(filters: &Chain, exchange: &mut Exchange, handled: &mut Handled<'_>) {
    let detail = "the target did not complete its reply in time";
    handled.reply = exchange.problem(ProxyError::new(Code::UpstreamTimeout, detail));
    filters.on_response(exchange, &mut handled.reply).await;
}

/// An issuer of certificates checks that a name leads here (http-01, RFC 8555, section 8.3). Before all
/// filters: it comes from anywhere, without credentials. Other requests for such paths are the routes'.
#[inline]
fn check_of_name(worker: &Worker, snapshot: &WorkerSnapshot, exchange: &Exchange) -> Option<Reply> {
    snapshot.shared.plan.acme.as_ref()?;
    let token = exchange.request.path.strip_prefix(local::CHECKS)?;
    local::check_of_name(&worker.shared.keeper, token, exchange)
}

/// A request on a connection whose handshake was for another host: what was asked of the client
/// there (its certificate above all) says nothing for this one.
#[inline]
fn is_misdirected(exchange: &Exchange) -> bool {
    let tls = exchange.client.tls.as_ref();
    tls.is_some_and(|tls| !tls.may_ask_for(&exchange.request.host))
}

fn misdirected(exchange: &mut Exchange) -> Reply {
    let tls = exchange.client.tls.as_ref();
    let named = tls.and_then(|tls| tls.server_name.as_deref());
    let named = named.unwrap_or_default();
    let detail = format!("the handshake was for `{named}`, the request is for another host");
    exchange.refuse(Code::MisdirectedRequest, &detail)
}

/// The port to which a client without TLS is sent, if that is wanted. The client's side may be another
/// gateway's: a trusted one says which scheme the client used.
#[inline]
fn https_port(
    snapshot: &WorkerSnapshot,
    found: &Result<RouteId, Missing>,
    exchange: &Exchange,
) -> Option<u16> {
    let plan = &snapshot.shared.plan;
    let everywhere = plan.listeners[exchange.client.listener.index()].redirect_https;
    let port = match found {
        Ok(route) => plan.routes[route.index()].redirect_https.or(everywhere),
        Err(Missing::Page(_)) => None,
        Err(_) => everywhere,
    }?;
    if portway_http::hygiene::forwarded::client_scheme(exchange) == "https" {
        return None;
    }
    Some(port)
}

/// Whether the request says itself that its body is over the limit.
fn is_too_large(exchange: &Exchange) -> bool {
    let max = exchange.body_bytes_max;
    max != 0 && matches!(exchange.body.length(), BodyLength::Exact(length) if length > max)
}

/// Why no route took the exchange.
enum Missing {
    Route,
    Method(Vec<Method>),
    /// `OPTIONS *` asks about the gateway itself (RFC 9110, section 9.3.7).
    Nothing,
    /// TRACE echoes what the target got, and with it credentials and what the gateway has added, to
    /// scripts that may not see them (RFC 9110, section 9.3.8): no route passes it on.
    Trace,
    /// The listener shows a page there: no route can take its place by accident.
    Page(local::Page),
}

/// What may be asked for where no route says it.
const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

impl Missing {
    async fn reply(self, worker: &Worker, exchange: &mut Exchange) -> Reply {
        match self {
            Missing::Route => {
                let detail = format!(
                    "no route matches host `{}`, path `{}`",
                    exchange.request.host, exchange.request.path
                );
                exchange.refuse(Code::NoRoute, &detail)
            }
            Missing::Method(allow) => {
                let detail = format!(
                    "routes match the path, but none takes {}",
                    exchange.request.method
                );
                let reply = exchange.refuse(Code::MethodNotAllowed, &detail);
                let names: Vec<_> = allow.iter().map(Method::as_str).collect();
                match HeaderValue::try_from(names.join(", ")) {
                    Ok(value) => reply.with_header(ALLOW, value),
                    Err(_) => reply,
                }
            }
            Missing::Page(page) => Box::pin(local::show(page, worker, exchange)).await,
            Missing::Nothing => {
                Reply::new(StatusCode::NO_CONTENT, Body::Empty).with_header(ALLOW, METHODS)
            }
            Missing::Trace => exchange
                .refuse(Code::MethodNotAllowed, "TRACE is not passed on")
                .with_header(ALLOW, METHODS),
        }
    }
}

fn find<'s>(
    snapshot: &'s WorkerSnapshot,
    exchange: &Exchange,
) -> (&'s Chain, Result<RouteId, Missing>) {
    let shared = &snapshot.shared;
    let request = &exchange.request;
    let listener = &shared.plan.listeners[exchange.client.listener.index()];
    if let Some(page) = local::exposed_page(listener, exchange) {
        return (&shared.no_route, Err(Missing::Page(page)));
    }
    if request.form == Form::Asterisk {
        return (&shared.no_route, Err(Missing::Nothing));
    }
    let found = lookup(
        snapshot,
        exchange.client.listener,
        exchange,
        &request.method,
    );
    // A preflight asks on behalf of another method: the filters of that method's route answer it
    // (Fetch standard, "CORS-preflight fetch").
    let found = match (found, preflight_method(exchange)) {
        (Found::Route(route), _) => {
            let filters = &shared.routes[route.index()].filters;
            let passed_on = request.method != Method::TRACE;
            return (filters, passed_on.then_some(route).ok_or(Missing::Trace));
        }
        (other, None) => other,
        (other, Some(method)) => {
            match lookup(snapshot, exchange.client.listener, exchange, &method) {
                Found::Route(route) => {
                    let missing = Missing::of(other);
                    return (&shared.routes[route.index()].filters, Err(missing));
                }
                _ => other,
            }
        }
    };
    (&shared.no_route, Err(Missing::of(found)))
}

impl Missing {
    fn of(found: Found) -> Missing {
        match found {
            Found::MethodNotAllowed(methods) => Missing::Method(methods.into_iter().collect()),
            _ => Missing::Route,
        }
    }
}

fn lookup(
    snapshot: &WorkerSnapshot,
    listener: ListenerId,
    exchange: &Exchange,
    method: &Method,
) -> Found {
    let request = &exchange.request;
    let lookup = Lookup {
        listener,
        host: &request.host,
        path: &request.path,
        query: request.query.as_deref(),
        method,
        headers: &request.headers,
    };
    snapshot.shared.plan.table.find(&lookup, &mut Params::new())
}

fn preflight_method(exchange: &Exchange) -> Option<Method> {
    const REQUEST_METHOD: HeaderName = HeaderName::from_static("access-control-request-method");
    let headers: &HeaderMap = &exchange.request.headers;
    if exchange.request.method != Method::OPTIONS || !headers.contains_key(ORIGIN) {
        return None;
    }
    Method::from_bytes(headers.get(REQUEST_METHOD)?.as_bytes()).ok()
}

async fn act<'s>(
    worker: &'s Rc<Worker>,
    snapshot: &'s Rc<WorkerSnapshot>,
    timer: &'s Timer,
    exchange: &mut Exchange,
    route: RouteId,
) -> Handled<'s> {
    let plan = &snapshot.shared.plan.routes[route.index()];
    match &plan.action {
        Action::Upstream(_) | Action::Split(_) => {
            forward(worker, snapshot, timer, exchange, route).await
        }
        Action::Redirect(redirect) => {
            local::redirect(redirect, plan.prefix.as_deref(), exchange).into()
        }
        Action::Respond(respond) => local::respond(respond, exchange).into(),
        Action::Static(files) => local::serve_static(files, exchange).await.into(),
    }
}
