//! A service that tells its descriptors by server reflection, as it comes, changes and goes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portway_core::Clock;
use portway_testkit::frames::{ACK, END_HEADERS, END_STREAM, field, frame, kind};
use portway_testkit::ports::{Reserved, reserve};
use portway_testkit::{Folder, Process, RawClient, eventually};

use crate::support::PORTWAY;

const SET: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../examples/bookstore/bookstore.binpb"
);
const SERVICE: &[u8] = b"bookstore.v1.Bookstore";

/// A service that answers questions about itself, and nothing else.
struct Books {
    addr: SocketAddr,
    /// What it tells; it hangs up on everybody without that.
    set: Arc<Mutex<Option<Vec<u8>>>>,
    /// How often somebody began to ask.
    asked: Arc<AtomicUsize>,
}

impl Books {
    fn start(listener: TcpListener, set: Vec<u8>) -> Books {
        let books = Books {
            addr: listener.local_addr().unwrap(),
            set: Arc::new(Mutex::new(Some(set))),
            asked: Arc::default(),
        };
        let (set, asked) = (Arc::clone(&books.set), Arc::clone(&books.asked));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let set = set.lock().unwrap().clone();
                let _ = set.map(|set| answer(stream, &set, &asked));
            }
        });
        books
    }

    fn tell(&self, set: Option<Vec<u8>>) {
        *self.set.lock().unwrap() = set;
    }
}

fn set() -> Vec<u8> {
    std::fs::read(SET).unwrap()
}

/// The set with shelves elsewhere.
fn moved() -> Vec<u8> {
    let (mut set, from) = (set(), b"/v1/shelves");
    for at in 0..set.len() - from.len() {
        if set[at..].starts_with(from) {
            set[at + 2] = b'2';
        }
    }
    set
}

/// Answers one call.
fn answer(mut stream: TcpStream, set: &[u8], begun: &AtomicUsize) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.read_exact(&mut [0; 24])?;
    stream.write_all(&frame(kind::SETTINGS, 0, 0, &[]))?;
    let mut asked = Vec::new();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head)?;
        let [a, b, c, of, flags, ..] = head;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        stream.read_exact(&mut payload)?;
        match of {
            kind::SETTINGS if flags & ACK == 0 => {
                stream.write_all(&frame(kind::SETTINGS, ACK, 0, &[]))?;
            }
            kind::DATA => {
                asked.extend(payload);
                if flags & END_STREAM != 0 {
                    break;
                }
            }
            _ => {}
        }
    }
    let head = [&[0x88][..], &field("content-type", "application/grpc")].concat();
    stream.write_all(&frame(kind::HEADERS, END_HEADERS, 1, &head))?;
    for piece in answers(&asked, set, begun).chunks(16_000) {
        stream.write_all(&frame(kind::DATA, 0, 1, piece))?;
    }
    let end = field("grpc-status", "0");
    stream.write_all(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &end))?;
    stream.shutdown(Shutdown::Write)?;
    std::io::copy(&mut stream, &mut std::io::sink())?;
    Ok(())
}

/// A framed answer to each question: the one service there is, or all of the files.
fn answers(mut asked: &[u8], set: &[u8], begun: &AtomicUsize) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((prefix, rest)) = asked.split_first_chunk::<5>() {
        let (question, rest) = rest.split_at(usize::from(prefix[4]));
        asked = rest;
        let (key, inner) = match question[0] >> 3 {
            7 => {
                begun.fetch_add(1, Ordering::Relaxed);
                (0x32, [&[0x0a, 24, 0x0a, 22], SERVICE].concat())
            }
            _ => (0x22, set.to_vec()),
        };
        let mut message = vec![key];
        let mut left = inner.len();
        while left > 0x7f {
            message.push(left as u8 | 0x80);
            left >>= 7;
        }
        message.push(left as u8);
        message.extend(inner);
        out.push(0);
        out.extend((message.len() as u32).to_be_bytes());
        out.extend(message);
    }
    out
}

struct Gateway {
    folder: Folder,
    process: Process,
    gateway: Reserved,
    admin: Reserved,
}

impl Gateway {
    /// Starts one whose only route is bound as this service says.
    fn start(books: SocketAddr) -> Gateway {
        let (folder, gateway, admin) = (Folder::new(), reserve(), reserve());
        let text = config(&gateway, &admin, books, "");
        let file = folder.write("gateway.yaml", text);
        let process = Process::start(PORTWAY, &["run", "-c", file.to_str().unwrap()]);
        Gateway {
            folder,
            process,
            gateway,
            admin,
        }
    }

    /// Asks the operators' API.
    fn operators(&self, method: &str, target: &str) -> String {
        let admin = self.admin.addr();
        let asked = format!("{method} {target} HTTP/1.1\r\nHost: {admin}\r\n\r\n");
        RawClient::ask(admin, asked).text()
    }

    /// Waits for a load with such a status.
    fn wait_status(&self, parts: &[&str]) -> String {
        let status = || self.operators("GET", "/config/status");
        let is = |status: &str| parts.iter().all(|part| status.contains(part));
        eventually(&format!("the status has {parts:?}"), || is(&status()));
        status()
    }

    /// Whether a method is bound there. None can be called: nobody is at the target's port.
    fn is_bound(&self, path: &str) -> bool {
        RawClient::get(self.gateway.addr(), path).status != 404
    }
}

fn config(gateway: &Reserved, admin: &Reserved, books: SocketAddr, more: &str) -> String {
    format!(
        "server: {{ host: 127.0.0.1, port: {}, workers: 1 }}\n\
         admin: {{ bind: \"{}\" }}\n\
         upstreams: [ {{ name: books, protocol: grpc, targets: [ {{ addr: \"127.0.0.1:1\" }} ] }} ]\n\
         routes:\n\
         \x20 - {{ name: books, prefix: /, upstream: books, filters: [ {{ grpc_json: {{ descriptors: \"grpc://{books}\", refresh: 1s }} }} ] }}\n{more}",
        gateway.port(),
        admin.addr(),
    )
}

#[test]
fn a_service_that_tells_other_descriptors_is_noticed_and_one_that_tells_none_changes_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let books = Books::start(listener, set());
    let mut running = Gateway::start(books.addr);
    running.process.wait_port(running.gateway.addr());
    assert!(running.is_bound("/v1/shelves"));
    assert!(!running.is_bound("/v2/shelves"));
    books.tell(Some(moved()));
    eventually("the change is noticed", || running.is_bound("/v2/shelves"));
    assert!(!running.is_bound("/v1/shelves"));
    running.wait_status(&["\"cause\": \"service\""]);
    books.tell(None);
    running.process.wait_output("those it told before go on");
    // A change of something else is taken all the same.
    let more = "  - { name: new, path: /new, respond: { status: 200, body: new } }\n";
    let text = config(&running.gateway, &running.admin, books.addr, more);
    running.folder.write("gateway.yaml", text);
    eventually("the new route is there", || {
        RawClient::get(running.gateway.addr(), "/new").text() == "new"
    });
    assert!(running.is_bound("/v2/shelves"));
}

#[test]
fn a_service_that_starts_later_is_waited_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    drop(listener);
    let mut running = Gateway::start(addr);
    std::thread::sleep(Duration::from_millis(500));
    let _books = Books::start(TcpListener::bind(addr).unwrap(), set());
    running.process.wait_port(running.gateway.addr());
    assert!(running.is_bound("/v1/shelves"));
}

/// A route whose filter is made of what a service tells.
fn route(name: &str, service: SocketAddr) -> String {
    format!(
        "  - {{ name: {name}, prefix: /{name}, upstream: books, filters: [ {{ grpc_json: {{ descriptors: \"grpc://{service}\" }} }} ] }}\n"
    )
}

#[test]
fn a_service_of_many_routes_is_asked_once_in_a_load() {
    let books = Books::start(TcpListener::bind("127.0.0.1:0").unwrap(), set());
    let mut running = Gateway::start(books.addr);
    running.process.wait_port(running.gateway.addr());
    let more: String = ["a", "b", "c"].map(|name| route(name, books.addr)).concat();
    // Asked again at its interval only in an hour.
    let text = config(&running.gateway, &running.admin, books.addr, &more);
    let text = text.replace("refresh: 1s", "refresh: 1h");
    running.folder.write("gateway.yaml", text);
    running.wait_status(&["\"cause\": \"file\"", "\"result\": \"ok\""]);
    let before = books.asked.load(Ordering::Relaxed);
    running.operators("POST", "/reload");
    running.wait_status(&["\"cause\": \"request\"", "\"result\": \"ok\""]);
    assert_eq!(books.asked.load(Ordering::Relaxed), before + 1);
}

#[test]
fn a_config_that_was_refused_for_a_service_that_is_not_there_serves_once_it_is() {
    let books = Books::start(TcpListener::bind("127.0.0.1:0").unwrap(), set());
    let mut running = Gateway::start(books.addr);
    running.process.wait_port(running.gateway.addr());
    let later = reserve();
    let more = "  - { name: new, path: /new, respond: { status: 200, body: new } }\n";
    let more = route("later", later.addr()).replace(" } } ]", ", refresh: 1s } } ]") + more;
    let text = config(&running.gateway, &running.admin, books.addr, &more);
    running.folder.write("gateway.yaml", text);
    let status = running.wait_status(&["\"cause\": \"file\"", "\"result\": \"failed\""]);
    assert!(status.contains(&later.addr().to_string()), "{status}");
    assert!(status.contains("refused"), "{status}");
    assert!(running.is_bound("/v1/shelves"));
    running.process.wait_output("the config that asks it waits");
    let _later = Books::start(later.listen().unwrap(), set());
    running.wait_status(&["\"cause\": \"service\"", "\"result\": \"ok\""]);
    assert_eq!(RawClient::get(running.gateway.addr(), "/new").text(), "new");
}

/// The kernel accepts for it, and nobody says anything.
fn silent() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

#[test]
fn silent_services_cost_one_deadline_together_and_hold_up_no_operator() {
    let books = Books::start(TcpListener::bind("127.0.0.1:0").unwrap(), set());
    let mut running = Gateway::start(books.addr);
    running.process.wait_port(running.gateway.addr());
    let silent: Vec<TcpListener> = (0..3).map(|_| silent()).collect();
    let more: String = silent
        .iter()
        .zip(["a", "b", "c"])
        .map(|(silent, name)| route(name, silent.local_addr().unwrap()))
        .collect();
    let text = config(&running.gateway, &running.admin, books.addr, &more);
    running.folder.write("gateway.yaml", text);
    let clock = Clock::system();
    // Longer than from one question of the gateway's to the next; the load takes longer still.
    for _ in 0..8 {
        for page in ["/health", "/metrics"] {
            let began = clock.now();
            running.operators("GET", page);
            let took = clock.now().since(began);
            assert!(took < Duration::from_secs(3), "{page} took {took:?}");
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    let status = running.wait_status(&["\"result\": \"failed\""]);
    assert_eq!(
        status.matches("did not answer in time").count(),
        3,
        "{status}"
    );
    let took = status.split("\"duration_ms\": ").nth(1).unwrap();
    let took: f64 = took
        .split([',', '}', '\n'])
        .next()
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    assert!(took < 12_000.0, "three deadlines are 15 seconds: {status}");
    assert!(running.is_bound("/v1/shelves"));
}

#[test]
fn what_a_service_tells_counts_once_it_serves() {
    let books = Books::start(TcpListener::bind("127.0.0.1:0").unwrap(), set());
    let mut running = Gateway::start(books.addr);
    running.process.wait_port(running.gateway.addr());
    // A config that compiles, but cannot be applied for as long as somebody else has its port.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = format!(
        "listeners: [ {{ name: more, bind: \"{}\" }} ]\n",
        taken.local_addr().unwrap()
    );
    let text = config(&running.gateway, &running.admin, books.addr, &more);
    running.folder.write("gateway.yaml", text);
    running.wait_status(&["\"cause\": \"file\"", "\"result\": \"failed\""]);
    books.tell(Some(moved()));
    running.wait_status(&["\"cause\": \"service\"", "\"result\": \"failed\""]);
    assert!(!running.is_bound("/v2/shelves"));
    drop(taken);
    eventually("the change is noticed", || running.is_bound("/v2/shelves"));
}

#[test]
fn a_gateway_that_drains_asks_no_service() {
    let books = Books::start(TcpListener::bind("127.0.0.1:0").unwrap(), set());
    let mut running = Gateway::start(books.addr);
    running.process.wait_port(running.gateway.addr());
    let (target, more) = (
        silent(),
        "  - { name: slow, prefix: /slow, upstream: slow }\n",
    );
    let text = config(&running.gateway, &running.admin, books.addr, more).replace(
        "upstreams: [ ",
        &format!(
            "upstreams: [ {{ name: slow, targets: [ {{ addr: \"{}\" }} ] }}, ",
            target.local_addr().unwrap()
        ),
    );
    running.folder.write("gateway.yaml", text);
    running.wait_status(&["\"cause\": \"file\"", "\"result\": \"ok\""]);
    // Keeps the process from its end.
    let mut client = RawClient::connect(running.gateway.addr());
    client.send(portway_testkit::raw::get("/slow"));
    let _held = target.accept().unwrap();
    running.operators("POST", "/drain");
    running.process.wait_output("draining for");
    // Who was being asked then was asked in vain.
    std::thread::sleep(Duration::from_millis(1500));
    let before = books.asked.load(Ordering::Relaxed);
    books.tell(Some(moved()));
    std::thread::sleep(Duration::from_millis(2500));
    assert_eq!(books.asked.load(Ordering::Relaxed), before);
    let output = running.process.output();
    assert!(!output.contains("config refused"), "{output}");
    assert!(
        !output.contains("ended"),
        "it was to drain all the while: {output}"
    );
}
