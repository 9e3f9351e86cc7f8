//! A target that speaks HTTP/2 frame by frame, as the test tells it: for what no library would send.
//!
//! Must hold: nothing is answered by itself but SETTINGS and PING; header blocks are not read, only
//! counted. Never: keeps HPACK state; what it sends needs none.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use portway_testkit::frames::{ACK, END_HEADERS, END_STREAM, Frame, frame, kind};

/// `:status: 200` in HPACK's static table (RFC 7541, appendix A).
pub const STATUS_200: &[u8] = &[0x88];

/// One connection from the gateway.
pub struct FrameConn {
    stream: TcpStream,
    /// Which one, from 1.
    pub number: usize,
}

impl FrameConn {
    /// The next frame that is no SETTINGS, PING, WINDOW_UPDATE; `None` when the gateway has closed.
    pub fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.read().ok()?;
            match (frame.kind, frame.flags & ACK) {
                (kind::SETTINGS, 0) => self.send(kind::SETTINGS, ACK, 0, &[]),
                (kind::PING, 0) => self.send(kind::PING, ACK, 0, &frame.payload),
                (kind::SETTINGS | kind::PING | kind::WINDOW_UPDATE, _) => {}
                _ => return Some(frame),
            }
        }
    }

    /// Waits for a PING and answers it.
    pub fn wait_ping(&mut self) {
        while let Ok(frame) = self.read() {
            if (frame.kind, frame.flags & ACK) == (kind::PING, 0) {
                self.send(kind::PING, ACK, 0, &frame.payload);
                return;
            }
        }
    }

    /// Takes what comes and answers nothing, until the gateway has closed.
    pub fn hold(&mut self) {
        while self.read().is_ok() {}
    }

    /// The next HEADERS: the stream it opens.
    pub fn request(&mut self) -> Option<u32> {
        loop {
            let frame = self.next()?;
            if frame.kind == kind::HEADERS {
                return Some(frame.stream);
            }
        }
    }

    fn read(&mut self) -> std::io::Result<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head)?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame {
            kind: head[3],
            flags: head[4],
            stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
            payload,
        })
    }

    pub fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        // Whoever hung up on purpose is not to fail here.
        let _ = self.stream.write_all(&frame(kind, flags, stream, payload));
    }

    /// A whole reply: 200 and this body.
    pub fn reply(&mut self, stream: u32, body: &str) {
        self.send(kind::HEADERS, END_HEADERS, stream, STATUS_200);
        self.send(kind::DATA, END_STREAM, stream, body.as_bytes());
    }

    pub fn reset(&mut self, stream: u32, code: u32) {
        self.send(kind::RST_STREAM, 0, stream, &code.to_be_bytes());
    }

    /// GOAWAY: streams up to `last` are being worked on.
    pub fn go_away(&mut self, last: u32, code: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(code.to_be_bytes());
        self.send(kind::GOAWAY, 0, 0, &payload);
    }

    /// Closes, so that what was sent still arrives: not with a reset over unread octets.
    pub fn hang_up(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
        while self.read().is_ok() {}
    }

    /// Waits until the gateway has closed.
    pub fn wait_closed(&mut self) {
        while self.next().is_some() {}
    }
}

/// Where such connections are accepted, each on a thread of its own.
pub struct FrameOrigin {
    pub addr: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl FrameOrigin {
    /// Accepts, sends these SETTINGS (identifier, value), and lets `act` go on.
    pub fn start(
        settings: &[(u16, u32)],
        act: impl Fn(&mut FrameConn) + Send + Sync + 'static,
    ) -> FrameOrigin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let act = Arc::new(act);
        let payload: Vec<u8> = settings
            .iter()
            .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat())
            .collect();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let number = counted.fetch_add(1, Ordering::SeqCst) + 1;
                let (act, payload) = (Arc::clone(&act), payload.clone());
                thread::spawn(move || {
                    let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                    let mut conn = FrameConn { stream, number };
                    let mut preface = [0; 24];
                    if conn.stream.read_exact(&mut preface).is_err() {
                        return;
                    }
                    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
                    conn.send(kind::SETTINGS, 0, 0, &payload);
                    act(&mut conn);
                    // Closing over unread frames would send RST, which may overtake the reply.
                    let _ = conn.stream.shutdown(std::net::Shutdown::Write);
                    let _ = std::io::copy(&mut conn.stream, &mut std::io::sink());
                });
            }
        });
        FrameOrigin { addr, connections }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}
