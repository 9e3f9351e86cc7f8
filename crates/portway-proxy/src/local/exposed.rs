//! `/health` and `/metrics` where a listener exposes them.
//!
//! Must hold: the global filters have passed before anything is answered; metrics are put into words on a
//! thread of their own, by one caller at a time and at most once a second, so that nobody can keep a
//! worker, or the machine, busy by asking.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, StatusCode};
use portway_core::{Code, Mono};
use portway_http::{Body, Exchange, Reply};
use portway_plan::{Exposed, ListenerPlan};
use portway_telemetry::metrics::Format;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use super::without_body_for_head;
use crate::worker::Worker;

/// Metrics younger than this are shown again.
const SHOWN_FOR: Duration = Duration::from_secs(1);

/// A page that a listener may show clients too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The process is alive.
    Health,
    /// Everything that is counted.
    Metrics,
}

/// The metrics as they were last shown, and when that was; shared by all workers.
pub type Shown = Mutex<Option<(Mono, Bytes)>>;

/// The page that the request asks for, if the listener exposes it.
#[must_use]
pub fn exposed_page(listener: &ListenerPlan, exchange: &Exchange) -> Option<Page> {
    let (page, exposed) = match exchange.request.path.as_str() {
        "/health" => (Page::Health, listener.expose_health),
        "/metrics" => (Page::Metrics, listener.expose_metrics),
        _ => return None,
    };
    let asks = matches!(exchange.request.method, Method::GET | Method::HEAD);
    (asks && exposed == Exposed::Yes).then_some(page)
}

/// The page.
pub async fn show(page: Page, worker: &Worker, exchange: &mut Exchange) -> Reply {
    let (kind, body) = match page {
        Page::Health => ("application/json", Bytes::from("{\"status\":\"ok\"}\n")),
        Page::Metrics => match metrics(worker).await {
            Some(text) => ("text/plain; version=0.0.4; charset=utf-8", text),
            None => return exchange.refuse(Code::Internal, "the metrics could not be gathered"),
        },
    };
    let reply = Reply::new(StatusCode::OK, Body::from(body));
    let reply = reply.with_header(CONTENT_TYPE, HeaderValue::from_static(kind));
    without_body_for_head(exchange, reply)
}

async fn metrics(worker: &Worker) -> Option<Bytes> {
    let mut shown = worker.shared.shown.lock().await;
    let now = worker.wheel.clock().now();
    if let Some((at, text)) = &*shown
        && now.since(*at) < SHOWN_FOR
    {
        return Some(text.clone());
    }
    let registry = worker.shared.registry.clone();
    let text = spawn_blocking(move || registry.encode(Format::Text)).await;
    let text = Bytes::from(text.ok()?);
    *shown = Some((now, text.clone()));
    Some(text)
}
