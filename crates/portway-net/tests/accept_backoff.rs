//! A process of its own, since the limit on file descriptors is the process's.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portway_core::Clock;
use portway_core::limits::{ACCEPT_BACKOFF, TIMER_TICK};
use portway_net::listen::bind;
use portway_net::{Acceptor, ListenOptions, Wheel};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::span;

/// Counts warnings.
#[derive(Clone, Default)]
struct Warnings(Arc<AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("portway")
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[tokio::test]
async fn pauses_without_file_descriptors_and_goes_on_when_there_are() {
    let warnings = Warnings::default();
    let _here = tracing::subscriber::set_default(warnings.clone());
    let listener = bind(
        SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        ListenOptions::default(),
    )
    .unwrap();
    let addr = listener.local_addr().unwrap();
    let (clock, hand) = Clock::manual();
    let wheel = Wheel::new(clock);
    let mut acceptor = Acceptor::new(listener, &wheel).unwrap();

    let client = TcpStream::connect(addr).unwrap();
    let before = getrlimit(Resource::Nofile);
    let none_left = Rlimit {
        current: Some(u64::try_from(client.as_raw_fd()).unwrap() + 1),
        ..before
    };
    setrlimit(Resource::Nofile, none_left).unwrap();

    let mut accept = std::pin::pin!(acceptor.accept());
    for _ in 0..5 {
        let some_time = tokio::time::sleep(Duration::from_millis(20));
        tokio::select! {
            _ = &mut accept => panic!("accepted without a descriptor"),
            () = some_time => {}
        }
        assert_eq!(wheel.len(), 1, "waiting for the wheel, not spinning");
        hand.advance(ACCEPT_BACKOFF + TIMER_TICK);
        wheel.tick();
    }
    assert_eq!(warnings.0.load(Ordering::Relaxed), 1, "said once");

    setrlimit(Resource::Nofile, before).unwrap();
    let (_, peer) = tokio::time::timeout(Duration::from_secs(5), accept)
        .await
        .expect("accepts again");
    assert_eq!(peer, client.local_addr().unwrap());
}
