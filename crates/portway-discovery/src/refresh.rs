//! What the sources that look names up have in common: asking again when an answer is old, keeping
//! what is known when it cannot be renewed, and telling a new set from the same one.
//!
//! Must hold: a name that fails keeps its last addresses, whatever becomes of the other names; the
//! wait after failures doubles and differs between processes; dropping a future loses nothing.

use std::collections::HashMap;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::Sleep;

use crate::lookup::{Answer, Lookup};
use crate::source::{BoxFuture, DiscoveredTarget, NamedTarget, SourceError, TargetSet};

/// The longest wait after failures: a server that is back is noticed within this time.
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// Names that are asked for at the same time: one that is slow must not hold the others up, and a long
/// list must not flood its server.
const ASKED_MAX: usize = 16;

type Answered = Result<Answer<IpAddr>, String>;

/// What is looked up.
pub(crate) enum Question {
    /// Targets of which some may be host names.
    Hosts(Vec<NamedTarget>),
    /// A service by its SRV name.
    Service(String),
}

/// Looks a question up again and again.
pub(crate) struct Refresh {
    question: Question,
    lookup: Lookup,
    min: Duration,
    max: Duration,
    /// The last addresses of each name.
    known: HashMap<String, Vec<IpAddr>>,
    /// The last hosts of the service.
    service: Vec<NamedTarget>,
    failures: u32,
    wait: Wait,
    /// What went wrong while a set was found nevertheless: said after it.
    problem: Option<SourceError>,
}

/// When to ask next. Kept outside the future, so that dropping that does not start it anew.
enum Wait {
    Over,
    Until(Pin<Box<Sleep>>),
    Forever,
}

impl Refresh {
    /// Answers are used for at least `min` and at most `max`, whatever their TTL.
    pub(crate) fn new(question: Question, lookup: Lookup, min: Duration, max: Duration) -> Refresh {
        Refresh {
            question,
            lookup,
            min,
            max: max.max(min),
            known: HashMap::new(),
            service: Vec::new(),
            failures: 0,
            wait: Wait::Over,
            problem: None,
        }
    }

    /// Asks something else from now on, at once; what is known of names stays.
    pub(crate) fn ask(&mut self, question: Question) {
        self.question = question;
        self.wait = Wait::Over;
        self.failures = 0;
        self.problem = None;
    }

    /// The next set that differs from the last.
    pub(crate) async fn next_set(&mut self, sets: &mut Sets) -> Result<TargetSet, SourceError> {
        loop {
            if let Some(set) = sets.offer(self.next().await?) {
                return Ok(set);
            }
        }
    }

    /// The targets when they were next looked up, changed or not.
    pub(crate) async fn next(&mut self) -> Result<Vec<DiscoveredTarget>, SourceError> {
        if let Some(problem) = self.problem.take() {
            return Err(problem);
        }
        match &mut self.wait {
            Wait::Over => {}
            Wait::Until(sleep) => sleep.as_mut().await,
            Wait::Forever => std::future::pending().await,
        }
        let (targets, ttl, problems) = self.look_up().await;
        self.plan_next(ttl, problems.is_empty());
        if problems.is_empty() {
            return Ok(targets);
        }
        let problem = SourceError {
            what: problems.join("; "),
        };
        if targets.is_empty() {
            return Err(problem);
        }
        self.problem = Some(problem);
        Ok(targets)
    }

    async fn look_up(&mut self) -> (Vec<DiscoveredTarget>, Option<Duration>, Vec<String>) {
        let mut ttl: Option<Duration> = None;
        let mut problems = Vec::new();
        if let Question::Service(name) = &self.question {
            match self.lookup.services(name).await {
                Ok(answer) => {
                    ttl = Some(answer.ttl);
                    let named = answer.list.into_iter().map(|s| NamedTarget {
                        host: s.host,
                        port: s.port,
                        weight: s.weight,
                    });
                    self.service = named.collect();
                }
                Err(problem) => problems.push(problem),
            }
        }
        let named = match &self.question {
            Question::Hosts(targets) => targets,
            Question::Service(_) => &self.service,
        };
        let mut names: Vec<&str> = Vec::new();
        for target in named.iter().filter(|t| t.host.parse::<IpAddr>().is_err()) {
            if !names.contains(&target.host.as_str()) {
                names.push(&target.host);
            }
        }
        for (name, answer) in ask_all(&mut self.lookup, &names).await {
            match answer {
                Ok(answer) => {
                    ttl = Some(ttl.map_or(answer.ttl, |t| t.min(answer.ttl)));
                    self.known.insert(name, answer.list);
                }
                Err(problem) => problems.push(problem),
            }
        }
        // A name that is no longer asked for is no longer remembered.
        self.known.retain(|name, _| names.contains(&name.as_str()));
        let mut found = Found::default();
        for target in named {
            if let Ok(ip) = target.host.parse() {
                found.add(ip, None, target);
            }
            for ip in self.known.get(&target.host).into_iter().flatten() {
                found.add(*ip, Some(&target.host), target);
            }
        }
        (found.targets, ttl, problems)
    }

    fn plan_next(&mut self, ttl: Option<Duration>, ok: bool) {
        let wait = if ok {
            self.failures = 0;
            // No name at all: there is nothing that could change.
            ttl.map(|ttl| ttl.clamp(self.min, self.max))
        } else {
            let wait = back_off(self.min, self.failures, fastrand::f64());
            self.failures = self.failures.saturating_add(1);
            Some(wait)
        };
        self.wait = match wait {
            Some(wait) => Wait::Until(Box::pin(tokio::time::sleep(wait))),
            None => Wait::Forever,
        };
    }
}

/// The addresses of each name, or what went wrong, in the order of the names.
async fn ask_all(lookup: &mut Lookup, names: &[&str]) -> Vec<(String, Answered)> {
    if names.is_empty() {
        return Vec::new();
    }
    if let Err(problem) = lookup.prepare() {
        return vec![(String::new(), Err(problem))];
    }
    let mut answers = Vec::with_capacity(names.len());
    for some in names.chunks(ASKED_MAX) {
        let asking = some.iter().map(|name| {
            let (mut lookup, name) = (lookup.clone(), (*name).to_owned());
            let asked: BoxFuture<'_, _> = Box::pin(async move {
                let answer = lookup.addresses(&name).await;
                (name, answer)
            });
            asked
        });
        answers.extend(all(asking.collect()).await);
    }
    answers
}

/// What comes of futures that go on side by side, in their order.
async fn all<T>(mut futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let Poll::Ready(output) = future.as_mut().poll(cx)
            {
                *done = Some(output);
            }
        }
        match done.iter().all(Option::is_some) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

/// The wait after a failure that so many failures came before. Up to a fifth longer or shorter, by
/// `random` (0.0 to 1.0): a fleet must not come back all at once.
fn back_off(min: Duration, failures: u32, random: f64) -> Duration {
    let doubled = min.saturating_mul(1 << failures.min(16));
    doubled
        .min(BACK_OFF_MAX.max(min))
        .mul_f64(0.8 + 0.4 * random)
}

/// Those targets that are addresses, so that nothing needs to be looked up for them.
pub(crate) fn addresses(named: &[NamedTarget]) -> Vec<DiscoveredTarget> {
    let mut found = Found::default();
    for target in named {
        if let Ok(ip) = target.host.parse() {
            found.add(ip, None, target);
        }
    }
    found.targets
}

/// The targets of one look-up, each address once.
#[derive(Default)]
struct Found {
    targets: Vec<DiscoveredTarget>,
    places: HashMap<SocketAddr, usize>,
}

impl Found {
    fn add(&mut self, ip: IpAddr, host: Option<&str>, target: &NamedTarget) {
        let addr = SocketAddr::new(ip, target.port);
        let at = *self.places.entry(addr).or_insert(self.targets.len());
        match self.targets.get_mut(at) {
            // Two names of one address: it bears the weight of both.
            Some(same) => same.weight = same.weight.saturating_add(target.weight),
            None => self.targets.push(DiscoveredTarget {
                addr,
                host: host.map(str::to_owned),
                weight: target.weight,
            }),
        }
    }
}

/// Counts sets and drops repetitions.
#[derive(Default)]
pub(crate) struct Sets {
    generation: u64,
    last: Option<Vec<DiscoveredTarget>>,
}

impl Sets {
    /// The set of these targets, unless they are those of the last set.
    pub(crate) fn offer(&mut self, targets: Vec<DiscoveredTarget>) -> Option<TargetSet> {
        if self.last.as_ref() == Some(&targets) {
            return None;
        }
        self.generation += 1;
        self.last = Some(targets.clone());
        Some(TargetSet {
            generation: self.generation,
            targets,
        })
    }
}

#[cfg(test)]
mod tests;
