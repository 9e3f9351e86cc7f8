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

#[test]
fn the_end_does_not_wait_for_what_is_stuck() {
    for place in [Where::Worker, Where::Pool] {
        let clock = Clock::system();
        let yaml = "server: { host: 127.0.0.1, port: 0, workers: 1 }";
        let document = parse("t.yaml", yaml, &FixedEnv::new()).0.unwrap();
        let mut plan = portway_plan::compile(&document, &[], &clock).0.unwrap();
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
