//! Connections that pass as they are: TCP, TLS by server name, and the PROXY protocol on any listener.

mod databases;
mod limits;
mod passing;
mod proxy_protocol;
mod sni;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portway_core::clock::ManualClock;
use portway_testkit::{Folder, Gateway, RawClient, eventually};
use serde_json::Value;

/// A target that is no HTTP server: each connection is given to a function on a thread of its own.
pub struct Peer {
    addr: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Peer {
    pub fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Peer {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let accepted = Arc::new(AtomicUsize::new(0));
        let (count, serve) = (Arc::clone(&accepted), Arc::new(serve));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                std::thread::spawn(move || serve(stream));
            }
        });
        Peer { addr, accepted }
    }

    /// Says everything back until it is closed.
    pub fn echo() -> Peer {
        Peer::start(|mut stream| {
            let mut copy = stream.try_clone().expect("a handle");
            let _ = std::io::copy(&mut stream, &mut copy);
            let _ = copy.shutdown(Shutdown::Write);
        })
    }

    /// Says its name, then everything back.
    pub fn named(name: &'static str) -> Peer {
        Peer::start(move |mut stream| {
            let _ = stream.write_all(name.as_bytes());
            let mut copy = stream.try_clone().expect("a handle");
            let _ = std::io::copy(&mut stream, &mut copy);
            let _ = copy.shutdown(Shutdown::Write);
        })
    }

    /// Keeps what it reads of each connection, to its end.
    pub fn keeping() -> (Peer, Arc<Mutex<Vec<Vec<u8>>>>) {
        let kept = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&kept);
        let peer = Peer::start(move |mut stream| {
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all);
            to.lock().unwrap().push(all);
        });
        (peer, kept)
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub fn url(&self) -> String {
        format!("tcp://{}", self.addr)
    }

    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// A config with one tcp listener `db`, its upstream `db` and an access log.
pub struct Config<'a> {
    pub targets: Vec<String>,
    pub listener: &'a str,
    pub upstream: &'a str,
    pub more: &'a str,
    pub log: Folder,
}

impl<'a> Config<'a> {
    pub fn to(peers: &[&Peer]) -> Config<'a> {
        Config {
            targets: peers.iter().map(|peer| peer.url()).collect(),
            listener: "",
            upstream: "",
            more: "",
            log: Folder::new(),
        }
    }

    pub fn yaml(&self) -> String {
        let Config {
            listener,
            upstream,
            more,
            ..
        } = self;
        let targets: Vec<String> = self
            .targets
            .iter()
            .map(|url| format!("{{ addr: \"{url}\" }}"))
            .collect();
        format!(
            "server: {{ workers: 1 }}\n\
             listeners: [ {{ name: db, bind: \"127.0.0.1:0\", protocol: tcp, upstream: db, {listener} }},\n\
             {{ name: clock, bind: \"127.0.0.1:0\" }} ]\n\
             upstreams: [ {{ name: db, targets: [ {} ], {upstream} }} ]\n\
             global_filters: [ {{ logging: {{ output: \"{}\" }} }} ]\n{more}\n",
            targets.join(", "),
            self.log.path().join("access.log").display(),
        )
    }

    #[track_caller]
    pub fn start(&self) -> Gateway {
        Gateway::start(&self.yaml())
    }

    /// The records of the access log, once there are so many.
    #[track_caller]
    pub fn records(&self, count: usize) -> Vec<Value> {
        let path = self.log.path().join("access.log");
        // Those of the clock's listener are none of the test's.
        let read = || {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines = text.lines().filter(|line| !line.contains("\"HTTP/1.1\""));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        eventually("the log is written", || read().len() >= count);
        read()
            .iter()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect()
    }
}

/// Moves time on and waits until the worker has noticed; `clock` is an HTTP listener of its own.
pub fn turn(gateway: &Gateway, hand: &ManualClock, by: Duration) {
    let date = || {
        let mut client = RawClient::try_connect(gateway.addr_of("clock")).ok()?;
        client
            .try_send("OPTIONS * HTTP/1.1\r\nHost: test.example\r\n\r\n")
            .ok()?;
        let reply = client.try_reply("OPTIONS").ok()?;
        reply.field("date").map(str::to_owned)
    };
    let before = date();
    hand.advance(by);
    eventually("the worker notices the time", || date() != before);
}

pub fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).expect("a listener");
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).expect("a setting");
    stream.set_write_timeout(limit).expect("a setting");
    stream.set_nodelay(true).expect("a setting");
    stream
}

/// Sends, ends its side, and reads to the other side's end.
#[track_caller]
pub fn ask(addr: SocketAddr, say: impl AsRef<[u8]>) -> Vec<u8> {
    let mut stream = connect(addr);
    stream.write_all(say.as_ref()).expect("it is taken");
    stream.shutdown(Shutdown::Write).expect("its side ends");
    let mut heard = Vec::new();
    stream.read_to_end(&mut heard).expect("the end comes");
    heard
}

/// Whether the gateway closes, whatever is sent: no byte of an answer.
#[track_caller]
pub fn expect_closed(addr: SocketAddr, say: impl AsRef<[u8]>) {
    let mut stream = connect(addr);
    let _ = stream.write_all(say.as_ref());
    let mut heard = Vec::new();
    let end = stream.read_to_end(&mut heard);
    let in_time = end.map_or_else(
        |e| e.kind() == std::io::ErrorKind::ConnectionReset,
        |_| true,
    );
    assert!(in_time && heard.is_empty(), "{heard:?}");
}
