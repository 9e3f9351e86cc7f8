use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::AtomicBool;

use portway_config::{FixedEnv, parse};
use portway_filter::{Chain, Entry, Filter, Flow, Hooks, Phase, Step};
use portway_http::Exchange;

use super::*;

/// Waits for something that never comes, as a file system can make one wait.
struct Stuck {
    began: Arc<AtomicBool>,
    place: Where,
}

#[derive(Clone, Copy, Debug)]
enum Where {
    Worker,
    Pool,
}

const LONG: Duration = Duration::from_secs(30);

impl Filter for Stuck {
    fn hooks(&self) -> Hooks {
        Hooks::Request
    }

    fn on_request<'a>(&'a self, _: &'a mut Exchange) -> Step<'a> {
        let began = Arc::clone(&self.began);
        let wait = move || {
            began.store(true, Ordering::Release);
            std::thread::sleep(LONG);
        };
        match self.place {
            Where::Worker => {
                wait();
                Step::Now(Flow::Continue)
            }
            Where::Pool => Step::Later(Box::pin(async {
                let _ = tokio::task::spawn_blocking(wait).await;
                Flow::Continue
            })),
        }
    }
}

fn plan(yaml: &str) -> Plan {
    let document = parse("t.yaml", yaml, &FixedEnv::new()).0.unwrap();
    let plan = portway_plan::compile(&document, &[], &Clock::system()).0;
    plan.unwrap()
}

#[test]
fn a_snapshot_goes_with_the_last_connection_of_the_listeners_that_it_was_the_last_of() {
    let listeners = |names: &[&str]| {
        let of = |name: &&str| format!("{{ name: {name}, bind: \"127.0.0.1:0\" }}");
        let all: Vec<String> = names.iter().map(of).collect();
        plan(&format!(
            "server: {{ workers: 2, drain_timeout: 300ms }}\nlisteners: [ {} ]\n",
            all.join(", ")
        ))
    };
    let gateway = Gateway::start(GatewayOptions::default(), listeners(&["a", "b", "c"])).unwrap();
    let old: Vec<_> = [&["a", "b"][..], &["a"]]
        .into_iter()
        .map(|names| {
            let old = Arc::downgrade(&gateway.snapshot());
            gateway.apply(listeners(names)).unwrap();
            old
        })
        .collect();
    for _ in 0..500 {
        if old.iter().all(|old| old.strong_count() == 0) {
            return gateway.stop();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let held: Vec<_> = old.iter().map(Weak::strong_count).collect();
    panic!("still held: {held:?}");
}

#[test]
fn the_end_does_not_wait_for_what_is_stuck() {
    for place in [Where::Worker, Where::Pool] {
        let clock = Clock::system();
        let mut plan = plan("server: { host: 127.0.0.1, port: 0, workers: 1 }");
        let began = Arc::new(AtomicBool::new(false));
        plan.no_route = Chain::new(vec![Entry {
            name: "stuck",
            phase: Phase::Transform,
            fingerprint: 0,
            filter: Arc::new(Stuck {
                began: Arc::clone(&began),
                place,
            }),
        }]);
        let gateway = Gateway::start(GatewayOptions::default(), plan).unwrap();
        let mut client = TcpStream::connect(gateway.snapshot().listeners[0].addr).unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        while !began.load(Ordering::Acquire) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let started = clock.now();
        gateway.stop();
        drop(gateway);
        let took = clock.now().since(started);
        assert!(took < LONG / 2, "{place:?}: {took:?}");
    }
}
