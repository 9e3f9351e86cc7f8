//! Forwarding: breaker around retries around balancing, and the exchange's share of an upstream.
//!
//! Must hold: a breaker judges whole exchanges, after retries and with the reply's body, so that one dead
//! target among good ones does not open it and one that breaks its replies off does; each try goes to
//! another target while there is one.

mod choose;
mod lease;

pub(crate) use lease::Loaded;
pub use lease::{Kept, Lease};

use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};
use portway_balance::Outcome;
use portway_core::{Code, GrpcStatus, Mono, ProxyError, RouteId, limits};
use portway_filter::RetryPolicy;
use portway_http::{Body, Exchange, Protocol, Reply, Unsent, grpc};
use portway_net::Timer;
use portway_plan::RoutePlan;
use portway_upstream::connect::Held;
use portway_upstream::retry::{pause, wants_retry};
use portway_upstream::{Attempt, Breaker, Permit, Picked, Tried, WorkerUpstream};

use crate::http::Handled;
use crate::mirror;
use crate::rewrite::{place, rewrite};
use crate::snapshot::WorkerSnapshot;
use crate::tunnel;
use crate::worker::Worker;
use choose::{choose_upstream, stick, sticky_key};
use lease::{Breakers, is_failure, record};

/// Whether nothing of the exchange has gone anywhere.
fn is_untried(code: Code) -> bool {
    matches!(code, Code::NoHealthyTarget | Code::UpstreamOverloaded)
}

/// Learns how a call ended: from the head now, or from the trailers when they come.
fn follow(ending: &grpc::Ending, reply: &mut Reply) {
    let in_head = grpc::status(&reply.headers);
    let no_call = reply.status != StatusCode::OK;
    match &mut reply.body {
        _ if in_head.is_some() => ending.set(in_head),
        _ if no_call => ending.set(Some(grpc::status_of_http(reply.status))),
        Body::H2(incoming) => incoming.tell_ending(Rc::clone(ending)),
        _ => {}
    }
}

/// One exchange's way to an upstream.
struct Forwarding<'s> {
    worker: &'s Rc<Worker>,
    snapshot: &'s Rc<WorkerSnapshot>,
    timer: &'s Timer,
    route: RouteId,
    plan: &'s RoutePlan,
    upstream: &'s Rc<WorkerUpstream>,
    retry: Option<&'s RetryPolicy>,
    deadline: Mono,
    started: Mono,
}

/// Sends the exchange to the route's upstream.
pub async fn forward<'s>(
    worker: &'s Rc<Worker>,
    snapshot: &'s Rc<WorkerSnapshot>,
    timer: &'s Timer,
    exchange: &mut Exchange,
    route: RouteId,
) -> Handled<'s> {
    let plan = &snapshot.shared.plan.routes[route.index()];
    if exchange.upgrade.asked().is_some()
        && let Err(refusal) = tunnel::check(plan, exchange)
    {
        return Handled::from(*refusal);
    }
    let id = choose_upstream(worker, &plan.action, exchange);
    let upstream = snapshot.upstream(worker, id);
    exchange.notes.upstream = Some(id);
    let started = worker.wheel.clock().now();
    exchange.seen_at = started;
    let mut limit = plan
        .timeouts
        .request
        .or(upstream.shared.spec.timeouts.request);
    if grpc::is_call(&exchange.request) {
        limit = begin_call(exchange, limit, started);
    }
    let forwarding = Forwarding {
        worker,
        snapshot,
        timer,
        route,
        plan,
        upstream,
        retry: plan.retry.as_ref(),
        deadline: limit.map_or(Mono::NEVER, |limit| started + limit),
        started,
    };
    match forwarding.run(exchange).await {
        Ok(handled) => handled,
        Err(refusal) => Handled::from(*refusal),
    }
}

/// What is different for a gRPC call; gives the time that it may take.
fn begin_call(exchange: &mut Exchange, limit: Option<Duration>, now: Mono) -> Option<Duration> {
    exchange.notes.grpc = Some(grpc::Ending::default());
    // Nobody waits longer for an answer than the caller, whose time began with the request.
    let own = grpc::timeout(&exchange.request.headers);
    let own = own.map(|own| own.saturating_sub(now.since(exchange.started)));
    let limit = limit.into_iter().chain(own).min();
    if matches!(exchange.protocol, Protocol::Http2 | Protocol::Http3) {
        // A caller's messages are no request that has to arrive by some time: they may be what the
        // service has said so far, answered one by one.
        let patient = now + limit.unwrap_or(limits::REPLY_SILENCE_MAX);
        exchange.read_deadline = exchange.read_deadline.max(patient);
    }
    limit
}

impl<'s> Forwarding<'s> {
    async fn run(&self, exchange: &mut Exchange) -> Result<Handled<'s>, Box<Reply>> {
        let breakers = self.pass_breakers(exchange)?;
        let spec = &self.upstream.shared.spec;
        let requests = match spec.limits.requests_max {
            0 => None, // not limited, so not counted: the count is shared by all workers
            max => {
                let held = Held::begin(&self.upstream.shared, |u| &u.usage.requests, max);
                Some(held.ok_or_else(|| {
                    let detail = format!("max_requests of upstream {} is reached", spec.name);
                    Box::new(exchange.problem(ProxyError::new(Code::UpstreamOverloaded, detail)))
                })?)
            }
        };
        let listener = exchange.client.listener.index();
        let rules = self.snapshot.shared.plan.listeners[listener].head.path;
        rewrite(&self.plan.rewrite, rules, exchange)
            .map_err(|refused| Box::new(exchange.problem(refused)))?;
        exchange.body.limit(exchange.body_bytes_max);
        let tried = self.try_targets(exchange).await;
        let now = exchange.seen_at;
        let is_first = exchange.notes.retries == 0;
        if !matches!(&tried, Err(error) if is_first && is_untried(error.kind)) {
            exchange.notes.upstream_ns = Some(now.since(self.started).as_nanos() as u64);
        }
        match tried {
            Ok((mut reply, loaded)) => {
                if let Some(ending) = &exchange.notes.grpc {
                    follow(ending, &mut reply);
                }
                if let Some(sticky) = &spec.balance.sticky {
                    stick(sticky, exchange, &mut reply, loaded.target());
                }
                let lease = Lease {
                    loaded,
                    upstream: self.upstream,
                    breakers,
                    requests,
                    failed: reply.status.is_server_error(),
                    over_by: self.deadline,
                };
                Ok(Handled {
                    reply,
                    lease: Some(lease),
                })
            }
            Err(error) => {
                if is_failure(error.kind) {
                    record(breakers, false, now);
                }
                Err(Box::new(exchange.problem(error)))
            }
        }
    }

    /// The route's own breaker, then the upstream's.
    fn pass_breakers(&self, exchange: &mut Exchange) -> Result<Breakers<'s>, Box<Reply>> {
        let now = self.worker.wheel.now();
        let own = self.snapshot.shared.routes[self.route.index()]
            .breaker
            .as_deref();
        let shared = self.upstream.shared.breaker.as_deref();
        Ok([
            self.pass(own, now, exchange)?,
            self.pass(shared, now, exchange)?,
        ])
    }

    fn pass<'b>(
        &self,
        breaker: Option<&'b Breaker>,
        now: Mono,
        exchange: &mut Exchange,
    ) -> Result<Option<Permit<'b>>, Box<Reply>> {
        let Some(breaker) = breaker else {
            return Ok(None);
        };
        breaker.admit(now).map(Some).map_err(|wait| {
            let detail = format!("the breaker of {} is open", self.upstream.shared.spec.name);
            let reply = exchange.problem(ProxyError::new(Code::CircuitOpen, detail));
            // Rounded up: who comes a moment too early is refused again.
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            Box::new(reply.with_header(RETRY_AFTER, HeaderValue::from(seconds.max(1))))
        })
    }

    async fn try_targets(&self, exchange: &mut Exchange) -> Result<(Reply, Loaded), ProxyError> {
        let balance = &self.upstream.shared.spec.balance;
        let hash = place(&balance.hash_on, balance.policy, exchange);
        let sticky = balance
            .sticky
            .as_ref()
            .and_then(|s| sticky_key(s, exchange));
        let budget = self.retry.map(|policy| {
            let budget = self.snapshot.budget(self.worker, self.route);
            budget.earn(policy);
            (policy, budget)
        });
        let mirror = mirror::wanted(self.worker, self.plan);
        let mut unsent = Unsent {
            replay: Vec::new(),
            rest: std::mem::take(&mut exchange.body),
        };
        let mut tried: Vec<u64> = Vec::new();
        loop {
            let loaded = self.pick(hash, sticky, &tried)?;
            exchange.notes.target = Some(Rc::clone(loaded.picked().label()));
            let kept = self.kept_bytes(mirror.is_some());
            let attempted = self.attempt(loaded.picked(), exchange, unsent, kept).await;
            let retries = exchange.notes.retries;
            let again = budget.filter(|(policy, budget)| {
                retries < policy.retries_max
                    && attempted.unsent.is_some()
                    && wants_retry(policy, &exchange.request.method, &attempted.outcome)
                    && self.worker.wheel.now() < self.deadline
                    && budget.spend(policy, self.worker.wheel.now())
            });
            let (policy, again) = match (again, attempted.unsent) {
                (Some((policy, _)), Some(again)) => (policy, again),
                (_, sent) => {
                    if let Some(mirror) = mirror {
                        mirror::send(self.worker, self.snapshot, mirror, exchange, sent);
                    }
                    return attempted.outcome.map(|reply| (reply, loaded));
                }
            };
            if let Ok(reply) = &attempted.outcome {
                let ok = is_good(exchange, reply);
                let target = loaded.target();
                self.upstream.shared.observe(target, ok, exchange.seen_at);
            }
            tried.push(loaded.target().key);
            if let Ok(mut reply) = attempted.outcome {
                reply.body.discard_arrived(limits::RETRIED_REPLY_BYTES_MAX);
            }
            drop(loaded);
            unsent = again;
            let wait = pause(policy, retries, self.worker.random.borrow_mut().f64());
            if !wait.is_zero() {
                self.timer
                    .sleep((exchange.seen_at + wait).min(self.deadline))
                    .await;
                exchange.seen_at = self.worker.wheel.clock().now();
            }
            exchange.notes.retries += 1;
        }
    }

    /// So much of the body must be kept: for a retry, or for the mirror.
    fn kept_bytes(&self, mirrored: bool) -> usize {
        let for_retry = if self.retry.is_some() {
            limits::RETRY_BUFFER_BYTES_MAX
        } else {
            0
        };
        for_retry.max(if mirrored {
            limits::MIRROR_BUFFER_BYTES_MAX
        } else {
            0
        })
    }

    fn pick(
        &self,
        hash: Option<u64>,
        sticky: Option<u64>,
        tried: &[u64],
    ) -> Result<Loaded, ProxyError> {
        let picked = self
            .upstream
            .pick(hash, sticky, tried, self.worker.wheel.now());
        let picked = picked.ok_or_else(|| {
            let name = &self.upstream.shared.spec.name;
            ProxyError::new(
                Code::NoHealthyTarget,
                format!("upstream {name} has no target to send to"),
            )
        })?;
        Ok(Loaded::begin(picked))
    }

    async fn attempt(
        &self,
        picked: &Picked,
        exchange: &mut Exchange,
        unsent: Unsent,
        keep_bytes_max: usize,
    ) -> Tried {
        let started = exchange.seen_at;
        let per_try = self.retry.and_then(|policy| policy.per_try_timeout);
        let deadline = per_try.map_or(self.deadline, |limit| self.deadline.min(started + limit));
        if exchange.notes.grpc.is_some() {
            let headers = &mut exchange.request.headers;
            grpc::lower_timeout(headers, deadline.since(started), limits::TIMER_TICK);
        }
        let upstream = &self.upstream.shared;
        let timer = self.timer;
        let buffers = &self.worker.buffers;
        let attempt = Attempt {
            upstream,
            part: self.upstream,
            picked,
            buffers,
            timer,
            deadline,
            keep_bytes_max,
        };
        let tried = attempt.run(exchange, unsent).await;
        let now = self.worker.wheel.clock().now();
        exchange.seen_at = now;
        let ok = match &tried.outcome {
            Ok(reply) => is_good(exchange, reply),
            Err(error) if is_failure(error.kind) => false,
            Err(_) => return tried,
        };
        self.upstream.done(
            picked,
            Outcome {
                latency: now.since(started),
                ok,
            },
            now,
        );
        // A reply is judged when its body has come, too.
        if tried.outcome.is_err() {
            upstream.observe(picked.target(), ok, now);
        }
        tried
    }
}

/// Whether the head says nothing of a failure.
fn is_good(exchange: &Exchange, reply: &Reply) -> bool {
    let is_call = exchange.notes.grpc.is_some();
    let failed_call = || grpc::status(&reply.headers).is_some_and(GrpcStatus::is_failure);
    !(reply.status.is_server_error() || is_call && failed_call())
}
