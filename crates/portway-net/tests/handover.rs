//! A chain of real processes, each handing its two listening sockets to the next, under clients
//! that connect all the time: no connection may be refused, reset or left without an answer.
//!
//! The same binary plays all parts. As `server` it answers every connection with its process id;
//! a line `next` makes it start its successor, and end once that is ready.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use portway_core::Clock;
use portway_net::handover::SuccessorError;
use portway_net::listen::{ListenOptions, bind_workers};
use portway_net::{Inherited, spawn_successor};

const SWAPS: usize = 200;
const CLIENTS: usize = 2;
const TIMEOUT: Duration = Duration::from_secs(10);

/// The tests, by name: this binary is its own runner, because it is started again as the server.
const TESTS: [(&str, fn()); 2] = [
    (
        "a_successor_that_fails_leaves_things_as_they_are",
        a_successor_that_fails_leaves_things_as_they_are,
    ),
    (
        "no_connection_is_refused_while_processes_swap",
        no_connection_is_refused_while_processes_swap,
    ),
];

/// Speaks what test runners ask of a test binary: `--list`, one test by name, or all of them.
fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args.iter().any(|arg| arg == "--list") {
        let ignored = args.iter().any(|arg| arg == "--ignored");
        for (name, _) in TESTS.iter().filter(|_| !ignored) {
            println!("{name}: test");
        }
        return;
    }
    match args.first().map(String::as_str) {
        Some("server") => serve(args[1].parse().unwrap()),
        Some("dies") => std::process::exit(7),
        Some("hangs") => std::thread::sleep(Duration::from_secs(600)),
        only => {
            let wanted = |name: &str| only.is_none_or(|only| only.starts_with('-') || only == name);
            let run: Vec<_> = TESTS.iter().filter(|(name, _)| wanted(name)).collect();
            run.iter().for_each(|(_, test)| test());
            println!("test result: ok. {} passed; 0 failed", run.len());
        }
    }
}

fn a_successor_that_fails_leaves_things_as_they_are() {
    let listeners = bind_workers(loopback(0), 1, ListenOptions::default()).unwrap();
    let fail = |part: &str, timeout: Duration| {
        let successor = spawn(&listeners, &[part.to_owned()]);
        let pid = successor.pid();
        let error = runtime()
            .block_on(successor.wait_ready(timeout))
            .unwrap_err();
        assert!(
            !std::path::Path::new(&format!("/proc/{pid}")).exists(),
            "ended and reaped"
        );
        error
    };
    let SuccessorError::Gone(Some(status)) = fail("dies", TIMEOUT) else {
        panic!("it died");
    };
    assert_eq!(status.code(), Some(7));
    let short = Duration::from_millis(50);
    assert_eq!(fail("hangs", short), SuccessorError::Late(short));
    TcpStream::connect(listeners[0].local_addr().unwrap()).expect("still listening");
    println!("a_successor_that_fails_leaves_things_as_they_are ... ok");
}

fn no_connection_is_refused_while_processes_swap() {
    // Orphaned servers become this process's children, to be reaped.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let port = TcpListener::bind(loopback(0)).unwrap();
    let addr = port.local_addr().unwrap();
    drop(port);
    let mut first = Command::new(std::env::current_exe().unwrap())
        .args(["server", &addr.to_string()])
        .spawn()
        .unwrap();
    let clock = Clock::system();
    let start = clock.now();
    while TcpStream::connect(addr).is_err() {
        assert!(clock.now() < start + TIMEOUT, "the first server listens");
        std::thread::sleep(Duration::from_millis(5));
    }

    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut pids = BTreeSet::new();
    std::thread::scope(|scope| {
        // Ends the clients even if an assertion fails.
        let _stop = StopOnDrop(&stop);
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    ask(addr, "pid");
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for _ in 0..SWAPS {
            // Answered by the successor's predecessor once the successor is ready.
            pids.insert(ask(addr, "next"));
        }
    });
    ask(addr, "end");
    first.wait().unwrap();
    while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::empty()) {}
    assert_eq!(pids.len(), SWAPS, "a new process each time");
    let asked = asked.load(Ordering::Relaxed);
    assert!(asked as usize > SWAPS, "{asked} connections");
    println!(
        "no_connection_is_refused_while_processes_swap ... ok ({SWAPS} swaps, {asked} connections, \
         {:.1} s)",
        clock.now().since(start).as_secs_f64()
    );
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn ask(addr: SocketAddr, what: &str) -> String {
    let mut client = TcpStream::connect_timeout(&addr, TIMEOUT).expect("not refused");
    client.set_read_timeout(Some(TIMEOUT)).unwrap();
    client
        .write_all(format!("{what}\n").as_bytes())
        .expect("not reset");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("not reset");
    assert!(answer.ends_with('\n'), "answered in full: {answer:?}");
    answer.trim().to_owned()
}

/// One thread per listening socket, as workers would.
fn serve(addr: SocketAddr) {
    let mut inherited = Inherited::from_env().unwrap();
    assert!(
        Inherited::from_env().is_err() || inherited.is_empty(),
        "taken once"
    );
    let listeners = if inherited.is_empty() {
        bind_workers(addr, 2, ListenOptions::default()).unwrap()
    } else {
        inherited.take(addr)
    };
    assert_eq!(listeners.len(), 2);
    assert!(inherited.is_empty());
    let ending = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for listener in &listeners {
            scope.spawn(|| accept(listener, &listeners, addr, &ending));
        }
        inherited.ready().unwrap();
    });
}

fn accept(listener: &TcpListener, all: &[TcpListener], addr: SocketAddr, ending: &AtomicBool) {
    while !ending.load(Ordering::Acquire) {
        let Ok((mut client, _)) = listener.accept() else {
            // Shared sockets are non-blocking; a short sleep stands in for an event loop.
            std::thread::sleep(Duration::from_micros(300));
            continue;
        };
        client.set_nonblocking(false).unwrap();
        client.set_read_timeout(Some(TIMEOUT)).unwrap();
        let mut line = [0; 16];
        let length = client.read(&mut line).unwrap_or(0);
        match &line[..length] {
            b"next\n" => {
                let args = ["server".to_owned(), addr.to_string()];
                let ready = runtime().block_on(spawn(all, &args).wait_ready(TIMEOUT));
                ready.expect("the successor is ready");
                ending.store(true, Ordering::Release);
            }
            b"end\n" => ending.store(true, Ordering::Release),
            _ => {}
        }
        let _ = writeln!(client, "{}", std::process::id());
    }
}

fn spawn(listeners: &[TcpListener], args: &[String]) -> portway_net::Successor {
    let fds: Vec<_> = listeners.iter().map(AsFd::as_fd).collect();
    let args: Vec<_> = args.iter().map(Into::into).collect();
    spawn_successor(&fds, std::env::current_exe().unwrap().as_os_str(), &args).unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}
