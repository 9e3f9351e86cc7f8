//! What the tests of all filters share: from YAML to a filter, and from an exchange to its reply.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use portway_config::{FixedEnv, parse_node};
use portway_core::clock::ManualClock;
use portway_core::{Clock, Diagnostics, Span};
use portway_filter::{Built, Chain, Compile, Entry, FilterKind, Flow, Scope};
use portway_http::{Exchange, Reply};

/// Compiles a filter's config. Gives what was built and all diagnostics as a user sees them.
pub fn compile_in(
    scope: Scope,
    kind: FilterKind,
    yaml: &str,
) -> (Option<Built>, String, ManualClock) {
    let mut problems = Diagnostics::new();
    let node = parse_node("t.yaml", yaml, &FixedEnv::new(), &mut problems).expect("valid YAML");
    let (clock, hand) = Clock::manual();
    let mut cx = Compile {
        diagnostics: &mut problems,
        scope,
        route: (scope == Scope::Route).then_some("r"),
        span: &Span::file("t.yaml"),
        clock: &clock,
        files: &portway_filter::NoFiles,
        files_read: 0,
    };
    let built = (kind.compile)(&node, &mut cx);
    let built = built.filter(|_| !problems.has_errors());
    let lines: Vec<String> = problems.sorted().iter().map(ToString::to_string).collect();
    (built, lines.join("\n"), hand)
}

/// What compiling gives when nothing is wrong.
pub fn built(kind: FilterKind, yaml: &str) -> Built {
    let (built, problems, _) = compile_in(Scope::Route, kind, yaml);
    assert_eq!(problems, "", "{yaml}");
    built.expect("no problems, so something was built")
}

/// All problems of a config.
pub fn problems(kind: FilterKind, yaml: &str) -> String {
    compile_in(Scope::Route, kind, yaml).1
}

/// A chain of one filter.
pub fn chain(kind: FilterKind, yaml: &str) -> Chain {
    chain_with_clock(kind, yaml).0
}

/// A chain of one filter and the hand of its clock.
pub fn chain_with_clock(kind: FilterKind, yaml: &str) -> (Chain, ManualClock) {
    let (built, problems, hand) = compile_in(Scope::Route, kind, yaml);
    let Some(Built::Filter(filter)) = built else {
        panic!("{yaml}: {problems}");
    };
    let entry = Entry {
        name: kind.name,
        phase: kind.phase,
        fingerprint: 0,
        filter,
    };
    (Chain::new(vec![entry]), hand)
}

/// Runs the request hooks; the reply if one stopped.
pub fn request(chain: &Chain, exchange: &mut Exchange) -> Option<Reply> {
    match now(chain.on_request(exchange)) {
        Flow::Continue => None,
        Flow::Stop(reply) => Some(*reply),
    }
}

/// Runs the response hooks and shows the gateway's own fields among the reply's.
pub fn response(chain: &Chain, exchange: &mut Exchange, reply: &mut Reply) {
    now(chain.on_response(exchange, reply));
    for (name, value) in exchange.own_fields.iter() {
        let name = http::HeaderName::from_bytes(name).unwrap();
        let value = http::HeaderValue::from_bytes(value).unwrap();
        if exchange.own_fields.replaces(&name) {
            reply.headers.insert(name, value);
        } else {
            reply.headers.append(name, value);
        }
    }
    exchange.own_fields.clear();
}

/// An exchange with these request fields.
pub fn exchange(fields: &[(&'static str, &str)]) -> Exchange {
    let mut exchange = Exchange::blank();
    for (name, value) in fields {
        let name = http::HeaderName::from_static(name);
        exchange
            .request
            .headers
            .append(name, value.parse().unwrap());
    }
    exchange
}

/// All values of a reply's header, with ` | ` between.
pub fn header(reply: &Reply, name: &str) -> String {
    let values = reply.headers.get_all(name).into_iter();
    values
        .map(|v| v.to_str().unwrap())
        .collect::<Vec<_>>()
        .join(" | ")
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("the filter waits"),
    }
}
