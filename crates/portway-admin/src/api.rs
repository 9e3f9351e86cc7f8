//! The operators' paths.
//!
//! Must hold: a page says what is, a POST or PUT changes something, and nothing else does; an unknown
//! path names the known ones. What may take long does not hold up other callers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use portway_config::Secret;
use portway_telemetry::app_log::LogLevel;
use portway_telemetry::metrics::Format;
use serde_json::{Value, json};

use crate::answer::{Answered, answer, json_answer, problem, problem_with};
use crate::explain::{self, Question};
use crate::gate::{self, Door, Page};
use crate::operations::{Operations, Readiness, ReloadOutcome};
use crate::{certificates, routes, upstreams};

/// Every path with its method and what it is for.
const PATHS: &[(&str, &str, &str)] = &[
    ("GET", "/health", "the process is alive"),
    (
        "GET",
        "/ready",
        "it wants requests: 200, or 503 while it drains",
    ),
    ("GET", "/metrics", "Prometheus text"),
    ("GET", "/config", "the config as it runs, secrets hidden"),
    (
        "GET",
        "/config/status",
        "the last reload: when, result, diagnostics",
    ),
    (
        "GET",
        "/certificates",
        "every certificate: until when, and how obtaining it goes",
    ),
    ("GET", "/routes", "routes with filters and where they go"),
    ("GET", "/upstreams", "targets with health, breaker, load"),
    (
        "GET",
        "/explain",
        "?host=..&path=..&method=..&header=K:V&listener=..: which route, and why",
    ),
    (
        "POST",
        "/reload",
        "load the config again, and say what came of it",
    ),
    ("POST", "/drain", "finish what runs, then exit"),
    ("PUT", "/log-level", "{\"level\": \"debug\"}"),
];

/// A request body, bytes. The largest one is a log level.
const BODY_BYTES_MAX: usize = 4 * 1024;
/// A body must be complete by then.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The API on one socket.
pub(crate) struct Api {
    door: Door,
    token: Option<Secret>,
    operations: Arc<dyn Operations>,
}

impl Api {
    pub(crate) fn new(door: Door, token: Option<Secret>, operations: Arc<dyn Operations>) -> Api {
        Api {
            door,
            token,
            operations,
        }
    }

    /// Answers one call.
    pub(crate) async fn answer(&self, request: Request<Incoming>) -> Answered {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let page = if matches!(path, "/health" | "/ready") {
            Page::Open
        } else {
            Page::Guarded
        };
        if let Some(refusal) = gate::refuse(self.door, self.token.as_ref(), page, &head.headers) {
            return refusal;
        }
        let methods: Vec<&str> = PATHS
            .iter()
            .filter(|(_, known, _)| *known == path)
            .map(|(method, ..)| *method)
            .collect();
        let asked = if head.method == Method::HEAD {
            &Method::GET
        } else {
            &head.method
        };
        if methods.is_empty() {
            return unknown_path(path);
        }
        if !methods.contains(&asked.as_str()) {
            return wrong_method(path, &methods);
        }
        match path {
            "/health" => json_answer(StatusCode::OK, &json!({ "status": "ok" })),
            "/ready" => self.ready(),
            "/explain" => self.explain(head.uri.query().unwrap_or_default()),
            "/config/status" => {
                json_answer(StatusCode::OK, &self.operations.reload_status().to_json())
            }
            "/certificates" => json_answer(
                StatusCode::OK,
                &certificates::certificates(&self.operations.certificates()),
            ),
            "/upstreams" => json_answer(
                StatusCode::OK,
                &upstreams::upstreams(&self.operations.snapshot(), self.operations.now()),
            ),
            "/drain" => {
                self.operations.drain();
                json_answer(StatusCode::ACCEPTED, &json!({ "status": "draining" }))
            }
            "/log-level" => self.log_level(body).await,
            _ => self.apart(path.to_owned()).await,
        }
    }

    fn ready(&self) -> Answered {
        match self.operations.readiness() {
            Readiness::Ready => json_answer(StatusCode::OK, &json!({ "status": "ready" })),
            Readiness::Draining => json_answer(
                StatusCode::SERVICE_UNAVAILABLE,
                &json!({ "status": "draining" }),
            ),
        }
    }

    /// Pages that take long with a large config, on a thread of their own.
    async fn apart(&self, path: String) -> Answered {
        let operations = Arc::clone(&self.operations);
        let page = move || match path.as_str() {
            "/metrics" => {
                let text = operations.registry().encode(Format::Text);
                answer(
                    StatusCode::OK,
                    "text/plain; version=0.0.4; charset=utf-8",
                    text,
                )
            }
            "/config" => json_answer(StatusCode::OK, &operations.config()),
            "/routes" => {
                let snapshot = operations.snapshot();
                json_answer(
                    StatusCode::OK,
                    &routes::routes(&snapshot.plan, &operations.config()),
                )
            }
            _ => reload(&*operations),
        };
        tokio::task::spawn_blocking(page)
            .await
            .unwrap_or_else(|error| {
                tracing::error!(%error, "an operators' page failed");
                problem(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "the page could not be made; see the log",
                )
            })
    }

    fn explain(&self, query: &str) -> Answered {
        let question = match question(query) {
            Ok(question) => question,
            Err(detail) => return problem(StatusCode::BAD_REQUEST, "bad_request", &detail),
        };
        let (snapshot, now) = (self.operations.snapshot(), self.operations.now());
        match explain::explain(&snapshot.plan, &question) {
            Ok(answer) => {
                let value = answer.to_json(|id| upstreams::upstream_by_id(&snapshot, id, now));
                json_answer(StatusCode::OK, &value)
            }
            Err(detail) => problem(StatusCode::BAD_REQUEST, "bad_request", &detail),
        }
    }

    async fn log_level(&self, body: Incoming) -> Answered {
        let whole =
            tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
        let text = match whole {
            Ok(Ok(text)) => text.to_bytes(),
            Ok(Err(_)) => {
                let detail = format!("the body must be at most {BODY_BYTES_MAX} bytes");
                return problem(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", &detail);
            }
            Err(_) => {
                return problem(
                    StatusCode::REQUEST_TIMEOUT,
                    "request_timeout",
                    "the body did not arrive",
                );
            }
        };
        let level = match level(&text) {
            Ok(level) => level,
            Err(detail) => return problem(StatusCode::BAD_REQUEST, "bad_request", &detail),
        };
        let before = self.operations.log_level();
        match self.operations.set_log_level(level) {
            Ok(()) => json_answer(
                StatusCode::OK,
                &json!({ "level": level.as_str(), "before": before.as_str() }),
            ),
            Err(error) => problem(StatusCode::CONFLICT, "no_log", &error.to_string()),
        }
    }
}

fn reload(operations: &dyn Operations) -> Answered {
    let status = operations.reload();
    match status.outcome {
        ReloadOutcome::Failed => {
            let detail = "the config was refused; what ran before runs on";
            problem_with(
                StatusCode::UNPROCESSABLE_ENTITY,
                "config_refused",
                detail,
                status.to_json(),
            )
        }
        ReloadOutcome::Ok | ReloadOutcome::None => json_answer(StatusCode::OK, &status.to_json()),
    }
}

fn unknown_path(path: &str) -> Answered {
    let known: Vec<Value> = PATHS
        .iter()
        .map(|(method, path, what)| json!({ "method": method, "path": path, "what": what }))
        .collect();
    let detail = format!("there is no `{path}` here");
    problem_with(
        StatusCode::NOT_FOUND,
        "not_found",
        &detail,
        json!({ "paths": known }),
    )
}

fn wrong_method(path: &str, methods: &[&str]) -> Answered {
    let allow = methods.join(", ");
    let detail = format!("`{path}` takes {allow}");
    let mut answer = problem(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        &detail,
    );
    answer
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_str(&allow).expect("method names"));
    answer
}

/// A level as a JSON object, a JSON string, or plain text.
fn level(text: &[u8]) -> Result<LogLevel, String> {
    let text = std::str::from_utf8(text)
        .map_err(|_| "the body is not text")?
        .trim();
    let name = match serde_json::from_str::<Value>(text) {
        Ok(Value::String(name)) => name,
        Ok(Value::Object(fields)) => match fields.get("level") {
            Some(Value::String(name)) => name.clone(),
            _ => return Err("send {\"level\": \"debug\"}".to_owned()),
        },
        _ => text.to_owned(),
    };
    name.parse::<LogLevel>().map_err(|error| error.to_string())
}

/// The question that a query string asks.
fn question(query: &str) -> Result<Question, String> {
    let mut question = Question {
        listener: None,
        authority: "localhost".to_owned(),
        target: "/".to_owned(),
        method: Method::GET,
        headers: HeaderMap::new(),
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decode(value)?;
        match key {
            "host" => question.authority = value,
            "path" => question.target = value,
            "listener" => question.listener = Some(value),
            "method" => {
                let method = Method::from_bytes(value.as_bytes());
                question.method = method.map_err(|_| format!("`{value}` is no method"))?;
            }
            "header" => {
                let (name, field) = header(&value)?;
                question.headers.append(name, field);
            }
            _ => {
                return Err(format!(
                    "unknown parameter `{key}`; known are host, path, method, header, listener"
                ));
            }
        }
    }
    Ok(question)
}

fn decode(value: &str) -> Result<String, String> {
    let spaces = value.replace('+', " ");
    let text = percent_decode_str(&spaces)
        .decode_utf8()
        .map(Cow::into_owned);
    text.map_err(|_| format!("`{value}` is not UTF-8"))
}

/// Splits `Name: value`.
///
/// # Errors
/// If it is no header field, in words.
pub fn header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let wrong = || format!("`{text}` is not `Name: value`");
    let (name, value) = text.split_once(':').ok_or_else(wrong)?;
    let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| wrong())?;
    let value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_question() {
        let asked = question(
            "host=api.example.com&path=%2Fa%20b%3Fq%3D1&method=POST&header=X-A:+1&header=X-B:2",
        )
        .unwrap();
        assert_eq!(asked.authority, "api.example.com");
        assert_eq!(asked.target, "/a b?q=1");
        assert_eq!(asked.method, Method::POST);
        assert_eq!(asked.headers["x-a"], "1");
        assert_eq!(asked.headers["x-b"], "2");
        assert!(question("hots=x").unwrap_err().contains("hots"));
        assert!(question("header=nothing").is_err());
        assert!(question("path=%ff").is_err());
    }

    #[test]
    fn reads_a_level_in_three_forms() {
        for form in ["debug", "\"debug\"", "{\"level\": \"debug\"}", " DEBUG\n"] {
            assert_eq!(level(form.as_bytes()), Ok(LogLevel::Debug), "{form}");
        }
        assert!(
            level(b"debgu")
                .unwrap_err()
                .contains("did you mean `debug`")
        );
        assert!(level(b"{}").is_err());
    }
}
