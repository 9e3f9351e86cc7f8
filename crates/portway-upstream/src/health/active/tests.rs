//! Checks against real sockets. Waits are bounded and poll: nothing depends on exact timing.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use portway_core::Mono;
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::background::{self, Tasks};
use crate::fixture::{found, spec};
use crate::health::probe::HEAD_BYTES_MAX;
use crate::spec::{Probe, UpstreamSpec};

fn health(probe: Probe) -> HealthSpec {
    HealthSpec {
        probe,
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(500),
        healthy_after: 2,
        unhealthy_after: 2,
    }
}

fn http() -> Probe {
    Probe::Http {
        path: "/health?deep=1".into(),
        host: None,
        expect: vec![(200, 299)],
    }
}

/// An upstream that is being checked.
struct Checked {
    upstream: Arc<Upstream>,
    tasks: Option<Tasks>,
    _runtime: Runtime,
}

fn checked(addrs: &[SocketAddr], health: HealthSpec) -> Checked {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let spec = UpstreamSpec {
        health: Some(health),
        ..spec(addrs)
    };
    let upstream = Arc::new(Upstream::new(spec));
    let tasks = background::spawn(
        Arc::clone(&upstream),
        Clock::system(),
        runtime.handle(),
        None,
    );
    Checked {
        upstream,
        tasks: Some(tasks),
        _runtime: runtime,
    }
}

impl Checked {
    fn target(&self, index: usize) -> Arc<Target> {
        Arc::clone(&self.upstream.targets().targets[index])
    }

    fn becomes(&self, index: usize, fit: bool) -> Option<String> {
        eventually(&format!("target {index} fit: {fit}"), || {
            self.target(index).is_fit() == fit
        });
        let check = self.target(index).last_check().unwrap();
        check.failure.map(String::from)
    }
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

/// A server that answers each connection with the text it is set to, one thread for all.
struct Server {
    addr: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
    request: Arc<Mutex<String>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
enum Answer {
    Text(String),
    Silence,
}

fn status(status: u16) -> Answer {
    Answer::Text(format!(
        "HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n"
    ))
}

impl Server {
    fn start(answer: Answer) -> Server {
        Server::listen(TcpListener::bind("127.0.0.1:0").unwrap(), answer)
    }

    fn listen(listener: TcpListener, answer: Answer) -> Server {
        let mut server = Server {
            addr: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(answer)),
            asked: Arc::default(),
            request: Arc::default(),
            stop: Arc::default(),
            thread: None,
        };
        let (answer, stop) = (Arc::clone(&server.answer), Arc::clone(&server.stop));
        let (asked, request) = (Arc::clone(&server.asked), Arc::clone(&server.request));
        server.thread = Some(std::thread::spawn(move || {
            let mut silent = Vec::new();
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let mut stream = stream.unwrap();
                let mut head = [0; 1024];
                let length = stream.read(&mut head).unwrap_or(0);
                *request.lock().unwrap() = String::from_utf8_lossy(&head[..length]).into_owned();
                match answer.lock().unwrap().clone() {
                    Answer::Silence => silent.push(stream),
                    // It may have hung up: that is its right.
                    Answer::Text(text) => drop(stream.write_all(text.as_bytes())),
                }
                asked.fetch_add(1, Ordering::Relaxed);
            }
        }));
        server
    }

    fn says(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(TcpStream::connect(self.addr));
        self.thread.take().unwrap().join().unwrap();
    }
}

#[test]
fn a_wrong_status_leaves_a_target_out_until_it_is_right_again() {
    let server = Server::start(status(200));
    let up = checked(&[server.addr], health(http()));
    assert!(up.target(0).is_fit(), "fit until proven otherwise");
    eventually("asked", || server.asked() > 2);
    assert!(up.target(0).is_fit());
    server.says(status(500));
    let why = up.becomes(0, false);
    assert_eq!(why.as_deref(), Some("status 500, wanted 200-299"));
    server.says(status(204));
    assert_eq!(up.becomes(0, true), None);
}

#[test]
fn a_target_that_dies_is_left_out_and_comes_back_when_it_does() {
    let server = Server::start(status(200));
    let addr = server.addr;
    let up = checked(&[addr], health(http()));
    eventually("asked", || server.asked() > 0);
    drop(server);
    // The last check may have been cut off in the middle; soon all are refused.
    up.becomes(0, false);
    eventually("refused", || {
        let check = up.target(0).last_check().unwrap();
        check.failure.as_deref() == Some("connect refused")
    });
    let mut listener = None;
    eventually("the port is free", || {
        listener = TcpListener::bind(addr).ok();
        listener.is_some()
    });
    let _server = Server::listen(listener.unwrap(), status(200));
    assert_eq!(up.becomes(0, true), None);
}

#[test]
fn every_change_moves_the_epoch_that_workers_watch() {
    let server = Server::start(status(500));
    let up = checked(&[server.addr], health(http()));
    let first = up.upstream.epoch();
    up.becomes(0, false);
    eventually("epoch moved", || up.upstream.epoch() > first);
    let second = up.upstream.epoch();
    server.says(status(200));
    up.becomes(0, true);
    eventually("epoch moved", || up.upstream.epoch() > second);
}

#[test]
fn silence_is_a_failure_when_the_timeout_is_over() {
    let server = Server::start(Answer::Silence);
    let quick = HealthSpec {
        timeout: Duration::from_millis(50),
        ..health(http())
    };
    let up = checked(&[server.addr], quick);
    assert_eq!(up.becomes(0, false).as_deref(), Some("no reply in 50ms"));
}

#[test]
fn an_answer_that_is_not_http_is_a_failure() {
    let server = Server::start(Answer::Text("HTTP/1.1 200 OK\n\n".into()));
    let up = checked(&[server.addr], health(http()));
    let why = up.becomes(0, false).unwrap();
    assert!(why.starts_with("bad reply: "), "{why}");
}

#[test]
fn a_head_without_end_is_a_failure() {
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(HEAD_BYTES_MAX + 1));
    let server = Server::start(Answer::Text(endless));
    let up = checked(&[server.addr], health(http()));
    let why = up.becomes(0, false).unwrap();
    assert!(why.contains("its head is over 64 KiB"), "{why}");
}

#[test]
fn an_informational_reply_is_not_the_answer() {
    let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n";
    let Answer::Text(ok) = status(200) else {
        unreachable!()
    };
    let server = Server::start(status(500));
    let up = checked(&[server.addr], health(http()));
    up.becomes(0, false);
    server.says(Answer::Text(format!("{hints}{ok}")));
    assert_eq!(up.becomes(0, true), None);
}

#[test]
fn the_request_names_host_and_path_and_who_asks() {
    let server = Server::start(status(200));
    let _up = checked(&[server.addr], health(http()));
    eventually("asked", || server.asked() > 0);
    let request = server.request.lock().unwrap().clone();
    let wanted = format!(
        "GET /health?deep=1 HTTP/1.1\r\nhost: {}\r\nuser-agent: portway-health\r\nconnection: close\r\n\r\n",
        server.addr
    );
    assert_eq!(request, wanted);
}

#[test]
fn the_tcp_probe_wants_a_connection_and_no_more() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let up = checked(&[closed, silent.local_addr().unwrap()], health(Probe::Tcp));
    assert_eq!(up.becomes(0, false).as_deref(), Some("connect refused"));
    eventually("checked", || up.target(1).last_check().is_some());
    assert!(up.target(1).is_fit());
}

#[test]
fn checks_follow_the_set_of_targets() {
    let (old, stays, new) = (
        Server::start(status(200)),
        Server::start(status(500)),
        Server::start(status(500)),
    );
    let up = checked(&[old.addr, stays.addr], health(http()));
    up.becomes(1, false);
    let set = found(&[stays.addr, new.addr]);
    up.upstream.set_targets(&set, Mono(1));
    assert!(!up.target(0).is_fit(), "what stays keeps its verdict");
    assert!(up.target(1).is_fit(), "what is new has none yet");
    up.becomes(1, false);
    // One check may have been under way; after it there is silence.
    let before = old.asked();
    let others = stays.asked();
    eventually("ten more rounds", || stays.asked() > others + 10);
    assert!(old.asked() <= before + 1, "what is gone is not asked");
}

#[test]
fn checks_end_with_their_handle() {
    let server = Server::start(status(200));
    let mut up = checked(&[server.addr], health(http()));
    eventually("asked", || server.asked() > 0);
    up.tasks = None;
    eventually("nobody else holds it", || {
        Arc::strong_count(&up.upstream) == 1
    });
}

#[test]
fn no_more_checks_run_at_once_than_allowed() {
    let listeners: Vec<_> = (0..CHECKS_MAX + 16)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let addrs: Vec<_> = listeners.iter().map(|l| l.local_addr().unwrap()).collect();
    listeners
        .iter()
        .for_each(|l| l.set_nonblocking(true).unwrap());
    let patient = HealthSpec {
        timeout: Duration::from_secs(60),
        ..health(http())
    };
    let _up = checked(&addrs, patient);
    // Nobody is answered, so no check ends: each that began has a connection.
    let mut begun = Vec::new();
    let mut accept = || {
        begun.extend(listeners.iter().filter_map(|l| l.accept().ok()));
        begun.len()
    };
    eventually("as many as allowed", || accept() >= CHECKS_MAX);
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(accept(), CHECKS_MAX);
    }
}

#[test]
fn a_verdict_takes_as_many_results_in_a_row_as_asked_for() {
    let spec = HealthSpec {
        healthy_after: 2,
        unhealthy_after: 3,
        ..health(Probe::Tcp)
    };
    let mut in_row = InRow::default();
    let mut verdict = |ok| {
        in_row.note(ok);
        in_row.verdict(&spec)
    };
    assert_eq!([false, false, true].map(&mut verdict), [None; 3]);
    let results = [false, false, false, false].map(&mut verdict);
    assert_eq!(results, [None, None, Some(true), Some(true)]);
    let results = [true, false, true, true].map(&mut verdict);
    assert_eq!(results, [None, None, None, Some(false)]);
}

#[test]
fn jitter_stays_within_a_tenth_and_reaches_both_ends() {
    let second = Duration::from_secs(1);
    assert_eq!(jittered(second, 0.0), Duration::from_millis(900));
    assert_eq!(jittered(second, 0.5), second);
    assert_eq!(jittered(second, 1.0), Duration::from_millis(1100));
    for _ in 0..1000 {
        let moved = jittered(second, fastrand::f64());
        assert!((900..=1100).contains(&moved.as_millis()), "{moved:?}");
    }
}
