//! Which route an exchange would take and why, through which filters, to which targets: for
//! `portway explain` and `/explain`.
//!
//! Must hold: the question is made canonical by the listener's own rules before it is asked, so that
//! the answer is the one that the exchange would get. Pure: nothing is sent anywhere.

use std::fmt;

use http::{HeaderMap, Method};
use portway_core::{ListenerId, UpstreamId};
use portway_http::hygiene::host::parse_authority;
use portway_http::hygiene::path::canonicalize;
use portway_plan::{Action, ListenerPlan, Plan};
use portway_route::{Explanation, Lookup, Verdict};
use serde_json::{Value, json};

/// A request that is not sent.
#[derive(Clone, Debug)]
pub struct Question {
    /// The listener's name; the first one if none.
    pub listener: Option<String>,
    /// `host` or `host:port`.
    pub authority: String,
    /// The path, with a query if there is one.
    pub target: String,
    /// The method.
    pub method: Method,
    /// Its header fields.
    pub headers: HeaderMap,
}

/// What would become of it.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The listener it was asked of.
    pub listener: String,
    /// The canonical host.
    pub host: String,
    /// The canonical path.
    pub path: String,
    /// The query.
    pub query: Option<String>,
    /// The method.
    pub method: Method,
    /// The route and its rivals.
    pub explanation: Explanation,
    /// The route's name.
    pub route: Option<String>,
    /// Names of the filters, in the order in which they see the request.
    pub filters: Vec<&'static str>,
    /// What becomes of it, in words.
    pub action: String,
    /// Where it may go, with weights.
    pub upstreams: Vec<(UpstreamId, u32)>,
}

/// Asks the plan.
///
/// # Errors
/// If no exchange can be like that (a host or path that would be refused), in words.
pub fn explain(plan: &Plan, question: &Question) -> Result<Answer, String> {
    let (id, listener) = find_listener(plan, question.listener.as_deref())?;
    let mut host = String::new();
    parse_authority(question.authority.as_bytes(), &mut host)
        .map_err(|e| format!("host `{}`: {e}", question.authority))?;
    let (raw, query) = match question.target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (question.target.as_str(), None),
    };
    let mut path = String::new();
    canonicalize(raw.as_bytes(), listener.head.path, &mut path)
        .map_err(|e| format!("path `{raw}`: {e}"))?;
    let lookup = Lookup {
        listener: id,
        host: &host,
        path: &path,
        query: query.as_deref(),
        method: &question.method,
        headers: &question.headers,
    };
    let explanation = plan.table.explain(&lookup);
    let route = explanation
        .winner
        .and_then(|id| plan.routes.get(id.index()));
    let chain = route.map_or(&plan.no_route, |route| &route.filters);
    let (action, upstreams) = match route {
        Some(_) if question.method == Method::TRACE => {
            ("405 method_not_allowed".to_owned(), Vec::new())
        }
        Some(route) => (action(plan, &route.action), upstreams(&route.action)),
        None if explanation.allow.is_empty() => ("404 no_route".to_owned(), Vec::new()),
        None => ("405 method_not_allowed".to_owned(), Vec::new()),
    };
    Ok(Answer {
        listener: listener.name.to_string(),
        route: route.map(|route| route.name.to_string()),
        filters: chain.entries().iter().map(|entry| entry.name).collect(),
        method: question.method.clone(),
        host,
        path,
        query,
        explanation,
        action,
        upstreams,
    })
}

fn find_listener<'p>(
    plan: &'p Plan,
    name: Option<&str>,
) -> Result<(ListenerId, &'p ListenerPlan), String> {
    let at = match name {
        None => 0,
        Some(name) => plan
            .listeners
            .iter()
            .position(|listener| *listener.name == *name)
            .ok_or_else(|| format!("there is no listener `{name}`"))?,
    };
    let listener = plan.listeners.get(at).ok_or("the config has no listener")?;
    let id = u32::try_from(at).map_err(|_| "too many listeners")?;
    Ok((ListenerId(id), listener))
}

/// What becomes of a route's exchanges, in words.
pub(crate) fn action(plan: &Plan, action: &Action) -> String {
    let name = |id: UpstreamId| {
        plan.upstreams
            .get(id.index())
            .map_or("?", |spec| &*spec.name)
    };
    match action {
        Action::Upstream(id) => format!("forward to upstream `{}`", name(*id)),
        Action::Split(split) => {
            let parts: Vec<_> = split
                .parts
                .iter()
                .map(|(id, weight)| format!("`{}` {weight}", name(*id)))
                .collect();
            format!("split by weight: {}", parts.join(", "))
        }
        Action::Redirect(redirect) => {
            format!("redirect {} to {}", redirect.status.as_u16(), redirect.to)
        }
        Action::Respond(respond) => format!("respond {}", respond.status.as_u16()),
        Action::Static(files) => format!("files of {}", files.root.display()),
    }
}

/// Where a route's exchanges may go.
pub(crate) fn upstreams(action: &Action) -> Vec<(UpstreamId, u32)> {
    match action {
        Action::Upstream(id) => vec![(*id, 1)],
        Action::Split(split) => split.parts.clone(),
        Action::Redirect(_) | Action::Respond(_) | Action::Static(_) => Vec::new(),
    }
}

impl Answer {
    /// As `/explain` answers. `targets` tells what is known of an upstream.
    #[must_use]
    pub fn to_json(&self, targets: impl Fn(UpstreamId) -> Value) -> Value {
        let candidates: Vec<Value> = self.explanation.candidates.iter().map(candidate).collect();
        let allow: Vec<&str> = self.explanation.allow.iter().map(Method::as_str).collect();
        let upstreams: Vec<Value> = self.upstreams.iter().map(|(id, _)| targets(*id)).collect();
        json!({
            "request": {
                "listener": self.listener, "method": self.method.as_str(), "host": self.host,
                "path": self.path, "query": self.query,
            },
            "route": self.route,
            "action": self.action,
            "allow": allow,
            "filters": self.filters,
            "upstreams": upstreams,
            "candidates": candidates,
            "omitted": self.explanation.omitted,
            "elsewhere": self.explanation.elsewhere,
        })
    }
}

fn candidate(candidate: &portway_route::Candidate) -> Value {
    let (verdict, reason) = match &candidate.verdict {
        Verdict::Won => ("won", None),
        Verdict::Lost { reason } => ("lost", Some(reason)),
        Verdict::NotMatched { reason } => ("no_match", Some(reason)),
    };
    json!({ "route": &*candidate.name, "verdict": verdict, "reason": reason })
}

impl fmt::Display for Answer {
    /// As `portway explain` prints, without the targets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let query = self
            .query
            .as_ref()
            .map_or(String::new(), |query| format!("?{query}"));
        writeln!(
            f,
            "request:  {} {}{}{query} on listener `{}`",
            self.method, self.host, self.path, self.listener
        )?;
        writeln!(f, "route:    {}", self.route.as_deref().unwrap_or("none"))?;
        writeln!(f, "action:   {}", self.action)?;
        let allow: Vec<&str> = self.explanation.allow.iter().map(Method::as_str).collect();
        if !allow.is_empty() {
            writeln!(f, "allowed:  {}", allow.join(", "))?;
        }
        let filters = if self.filters.is_empty() {
            "none".to_owned()
        } else {
            self.filters.join(" → ")
        };
        writeln!(f, "filters:  {filters}")?;
        writeln!(f, "candidates:")?;
        self.explanation
            .to_string()
            .lines()
            .try_for_each(|line| writeln!(f, "  {line}"))
    }
}
