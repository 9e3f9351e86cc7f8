use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
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

/// Makes `plan` the one that serves, and stops before the listeners that it has no more are told to end.
fn swap(gateway: &Gateway, plan: Plan) {
    let shared = &gateway.shared;
    let parts = apply::Parts {
        clock: &shared.clock,
        sinks: &shared.sinks,
        keeper: &shared.keeper,
        runtime: &gateway.handle,
        workers: 1,
        operators: None,
        leaving: &[],
    };
    let old = shared.current.load_full();
    let next = apply::build(&parts, &mut gateway.changing(), Some(&old), plan).unwrap();
    apply::publish(shared, &old, next.snapshot);
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(LONG / 3)).unwrap();
    stream
}

/// Sends this, and reads until that has come.
fn say(stream: &mut TcpStream, words: &str, until: &str) {
    stream.write_all(words.as_bytes()).unwrap();
    let mut heard = Vec::new();
    while !heard.ends_with(until.as_bytes()) {
        let mut some = [0; 4096];
        let read = stream.read(&mut some).unwrap();
        assert!(
            read > 0,
            "closed after {:?}",
            String::from_utf8_lossy(&heard)
        );
        heard.extend_from_slice(&some[..read]);
    }
}

/// However long a reload takes between its swap and the end of a listener: both the connections that the
/// listener has and those that it still accepts are served, as what it was.
#[test]
fn a_listener_that_left_serves_until_it_is_told_to_end() {
    const ASK: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const INTRODUCED: &str = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n";
    let peer = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = peer.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in peer.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"welcome");
            let _ = stream.read(&mut [0; 16]); // until the test is done with it
        }
    });
    let more = ", { name: http, bind: \"127.0.0.1:0\" }, \
        { name: introduced, bind: \"127.0.0.1:0\", proxy_protocol: v1, trusted_proxies: [127.0.0.0/8] }, \
        { name: db, bind: \"127.0.0.1:0\", protocol: tcp, upstream: db }";
    let yaml = |more: &str| {
        plan(&format!(
            "server: {{ workers: 1 }}\n\
             listeners: [ {{ name: stays, bind: \"127.0.0.1:0\" }}{more} ]\n\
             upstreams: [ {{ name: db, targets: [ {{ addr: \"tcp://{target}\" }} ] }} ]\n\
             routes: [ {{ name: all, prefix: /, respond: {{ body: served }} }} ]\n"
        ))
    };
    let gateway = Gateway::start(GatewayOptions::default(), yaml(more)).unwrap();
    let of = |at: usize| gateway.snapshot().listeners[at].addr;
    let [http, introduced, db] = [of(1), of(2), of(3)];
    let mut kept = connect(http);
    say(&mut kept, ASK, "served");
    swap(&gateway, yaml(""));
    say(&mut kept, ASK, "served");
    say(&mut connect(http), ASK, "served");
    say(
        &mut connect(introduced),
        &format!("{INTRODUCED}{ASK}"),
        "served",
    );
    say(&mut connect(db), "", "welcome");
    gateway.stop();
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
