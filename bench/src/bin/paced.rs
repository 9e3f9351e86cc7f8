//! A load generator with a fixed rate: what a client sees when the proxy is not saturated.
//!
//! Must hold: a request is due at its own time whatever happened before, and a late answer counts
//! against the requests it delayed (latency runs from the due time when the connection was still
//! busy then, otherwise from the moment of sending: the generator's own late wake-up is not the
//! proxy's). One thread for all connections, which sleeps when nothing is due: the backend shares its
//! core, and a thread for each connection takes more of that core than the backend does.
//! It never opens a connection during the measurement.
//!
//! Usage: `paced PORT PATH CONNECTIONS REQUESTS_PER_SECOND SECONDS`; prints one JSON object.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use portway_core::{Clock, Mono};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

/// An answer that takes longer ends the run with an error instead of hanging it.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

struct Load {
    port: u16,
    path: String,
    connections: u32,
    rate: f64,
    seconds: f64,
}

impl Load {
    fn from_args() -> Option<Load> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let [port, path, connections, rate, seconds] = args.as_slice() else {
            return None;
        };
        let load = Load {
            port: port.parse().ok()?,
            path: path.clone(),
            connections: connections.parse().ok()?,
            rate: rate.parse().ok()?,
            seconds: seconds.parse().ok()?,
        };
        (load.connections > 0 && load.rate > 0.0 && load.seconds > 0.0).then_some(load)
    }

    /// When the request of this number is due, after the first.
    fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    fn requests(&self) -> u64 {
        (self.rate * self.seconds) as u64
    }
}

/// Head plus declared body; `None` while the head is incomplete.
fn answer_bytes(bytes: &[u8]) -> io::Result<Option<usize>> {
    let Some(head_end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(io::Error::other("an answer that is not 200"));
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse::<usize>().ok())
        .ok_or_else(|| io::Error::other("an answer without Content-Length"))?;
    Ok(Some(head_end + 4 + length))
}

/// One connection: a request under way at most, and those that are late because of it.
struct Conn {
    stream: TcpStream,
    /// From when the latency of the request under way runs.
    start: Option<Mono>,
    late: VecDeque<Mono>,
    buffer: Vec<u8>,
    filled: usize,
}

impl Conn {
    fn open(load: &Load) -> io::Result<Conn> {
        let stream = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, load.port)))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Conn {
            stream,
            start: None,
            late: VecDeque::new(),
            buffer: vec![0; 64 * 1024],
            filled: 0,
        })
    }

    fn ask(&mut self, request: &[u8], start: Mono) -> io::Result<()> {
        self.start = Some(start);
        self.stream.write_all(request)
    }

    /// Reads what has come; `true` once the answer is whole.
    fn hear(&mut self) -> io::Result<bool> {
        loop {
            match self.stream.read(&mut self.buffer[self.filled..]) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.filled += read,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
            if let Some(total) = answer_bytes(&self.buffer[..self.filled])?
                && self.filled >= total
            {
                self.filled = 0;
                return Ok(true);
            }
        }
    }
}

/// Latencies in nanoseconds, sorted.
fn run(load: &Load) -> io::Result<Vec<u64>> {
    let clock = Clock::system();
    let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", load.path);
    let request = request.as_bytes();
    let ready = epoll::create(CreateFlags::CLOEXEC)?;
    let mut conns = Vec::new();
    for number in 0..u64::from(load.connections) {
        let conn = Conn::open(load)?;
        epoll::add(
            &ready,
            &conn.stream,
            EventData::new_u64(number),
            EventFlags::IN,
        )?;
        conns.push(conn);
    }
    let begin = clock.now() + Duration::from_millis(50);
    let total = load.requests();
    let mut latencies = Vec::with_capacity(total as usize);
    let mut next = 0;
    let mut events = Vec::with_capacity(conns.len());
    while (latencies.len() as u64) < total {
        let mut wait = READ_TIMEOUT;
        while next < total {
            let (now, due) = (clock.now(), begin + load.due(next));
            if now < due {
                wait = due.since(now);
                break;
            }
            let at = (next % u64::from(load.connections)) as usize;
            match conns[at].start {
                Some(_) => conns[at].late.push_back(due),
                None => conns[at].ask(request, now)?,
            }
            next += 1;
        }
        let timeout = wait.try_into().map_err(io::Error::other)?;
        events.clear();
        epoll::wait(&ready, spare_capacity(&mut events), Some(&timeout))?;
        if events.is_empty() && next == total {
            return Err(io::ErrorKind::TimedOut.into());
        }
        for event in events.drain(..) {
            let conn = &mut conns[event.data.u64() as usize];
            while conn.hear()? {
                let start = conn.start.take();
                let start = start.ok_or_else(|| io::Error::other("an answer nobody asked for"))?;
                latencies.push(clock.now().since(start).as_nanos() as u64);
                match conn.late.pop_front() {
                    Some(due) => conn.ask(request, due)?,
                    None => break,
                }
            }
        }
    }
    latencies.sort_unstable();
    Ok(latencies)
}

fn percentile_us(sorted: &[u64], share: f64) -> f64 {
    let index = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(index).map_or(0.0, |&nanos| nanos as f64 / 1e3)
}

fn main() -> ExitCode {
    let Some(load) = Load::from_args() else {
        eprintln!("usage: paced PORT PATH CONNECTIONS REQUESTS_PER_SECOND SECONDS");
        return ExitCode::from(1);
    };
    match run(&load) {
        Ok(latencies) => {
            println!(
                "{{\"requests\": {}, \"p50_us\": {:.1}, \"p99_us\": {:.1}}}",
                latencies.len(),
                percentile_us(&latencies, 0.50),
                percentile_us(&latencies, 0.99),
            );
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("paced: port {}: {error}", load.port);
            ExitCode::from(2)
        }
    }
}
