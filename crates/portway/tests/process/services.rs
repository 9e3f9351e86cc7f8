//! A service that tells its descriptors by server reflection, as it comes, changes and goes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
}

impl Books {
    fn start(listener: TcpListener, set: Vec<u8>) -> Books {
        let books = Books {
            addr: listener.local_addr().unwrap(),
            set: Arc::new(Mutex::new(Some(set))),
        };
        let set = Arc::clone(&books.set);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let set = set.lock().unwrap().clone();
                let _ = set.map(|set| answer(stream, &set));
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
fn answer(mut stream: TcpStream, set: &[u8]) -> std::io::Result<()> {
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
    for piece in answers(&asked, set).chunks(16_000) {
        stream.write_all(&frame(kind::DATA, 0, 1, piece))?;
    }
    let end = field("grpc-status", "0");
    stream.write_all(&frame(kind::HEADERS, END_HEADERS | END_STREAM, 1, &end))?;
    stream.shutdown(Shutdown::Write)?;
    std::io::copy(&mut stream, &mut std::io::sink())?;
    Ok(())
}

/// A framed answer to each question: the one service there is, or all of the files.
fn answers(mut asked: &[u8], set: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some((prefix, rest)) = asked.split_first_chunk::<5>() {
        let (question, rest) = rest.split_at(usize::from(prefix[4]));
        asked = rest;
        let (key, inner) = match question[0] >> 3 {
            7 => (0x32, [&[0x0a, 24, 0x0a, 22], SERVICE].concat()),
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
    let admin = running.admin.addr();
    let asked = format!("GET /config/status HTTP/1.1\r\nHost: {admin}\r\n\r\n");
    let status = RawClient::ask(admin, asked).text();
    assert!(status.contains("\"cause\": \"service\""), "{status}");
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
