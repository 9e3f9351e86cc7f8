//! Checks against real sockets. Waits are bounded and poll: nothing depends on exact timing.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::AtomicU16;

use portway_discovery::{NamedTarget, SourceSpec};
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::background;
use crate::spec::{BalanceSpec, LimitSpec, PoolSpec, TimeoutSpec, UpstreamSpec};

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn health(probe: Probe) -> HealthSpec {
    HealthSpec {
        probe,
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(200),
        healthy_after: 2,
        unhealthy_after: 2,
    }
}

fn http_probe() -> Probe {
    Probe::Http {
        path: "/health".into(),
        host: None,
        expect: vec![(200, 299)],
    }
}

fn upstream(addrs: &[SocketAddr], health: HealthSpec) -> Arc<Upstream> {
    let named = addrs.iter().map(|a| NamedTarget {
        host: a.ip().to_string(),
        port: a.port(),
        weight: 1,
    });
    Arc::new(Upstream::new(UpstreamSpec {
        name: "users".into(),
        source: SourceSpec::Static(named.collect()),
        balance: BalanceSpec::default(),
        health: Some(health),
        outlier: None,
        breaker: None,
        limits: LimitSpec::default(),
        timeouts: TimeoutSpec::default(),
        pool: PoolSpec::default(),
    }))
}

/// A server that answers every connection with the status it is set to; 0 for silence.
fn server(status: Arc<AtomicU16>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = [0; 1024];
            let _ = stream.read(&mut request);
            match status.load(Ordering::Relaxed) {
                0 => silent.push(stream),
                status => {
                    let _ = write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: 0\r\n\r\n");
                }
            }
        }
    });
    addr
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

#[test]
fn a_target_that_answers_badly_is_left_out_until_it_is_well_again() {
    let status = Arc::new(AtomicU16::new(200));
    let up = upstream(&[server(Arc::clone(&status))], health(http_probe()));
    let runtime = runtime();
    let _tasks = background::spawn(Arc::clone(&up), Clock::system(), runtime.handle());
    let target = Arc::clone(&up.targets().targets[0]);
    assert!(target.is_fit(), "fit until proven otherwise");
    status.store(500, Ordering::Relaxed);
    eventually("unhealthy", || target.is(Unfit::Unhealthy));
    assert_eq!(
        target.last_failure().as_deref(),
        Some("status 500, wanted 200-299")
    );
    status.store(204, Ordering::Relaxed);
    eventually("healthy", || target.is_fit());
    status.store(0, Ordering::Relaxed);
    eventually("unhealthy for silence", || target.is(Unfit::Unhealthy));
}

#[test]
fn a_port_that_nobody_listens_on_fails_the_tcp_probe() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let open = server(Arc::new(AtomicU16::new(0)));
    let up = upstream(&[closed, open], health(Probe::Tcp));
    let runtime = runtime();
    let _tasks = background::spawn(Arc::clone(&up), Clock::system(), runtime.handle());
    eventually("the closed one is unhealthy", || {
        up.targets().targets[0].is(Unfit::Unhealthy)
    });
    assert!(up.targets().targets[1].is_fit());
}

#[test]
fn jitter_stays_within_a_tenth() {
    let second = Duration::from_secs(1);
    assert_eq!(jittered(second, 0.0), Duration::from_millis(900));
    assert_eq!(jittered(second, 1.0), Duration::from_millis(1100));
}
