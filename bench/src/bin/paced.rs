//! A load generator with a fixed rate: what a client sees when the proxy is not saturated.
//!
//! Must hold: a request is due at its own time whatever happened before, and a late answer counts
//! against the requests it delayed (latency runs from the due time when the connection was still
//! busy then, otherwise from the moment of sending: the generator's own late wake-up is not the
//! proxy's). One blocking thread for each connection: nothing in here queues.
//! It never opens a connection during the measurement.
//!
//! Usage: `paced PORT PATH CONNECTIONS REQUESTS_PER_SECOND SECONDS`; prints one JSON object.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use portway_core::{Clock, Mono};

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

    /// Time between two requests of one connection.
    fn gap(&self) -> Duration {
        Duration::from_secs_f64(f64::from(self.connections) / self.rate)
    }
}

/// Reads one answer with a `Content-Length`; says how many bytes it had.
fn read_answer(stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        filled += read;
        if let Some(total) = answer_bytes(&buffer[..filled])?
            && filled >= total
        {
            return Ok(total);
        }
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

/// Drives one connection; latencies in nanoseconds.
fn drive(mut stream: TcpStream, load: &Load, clock: &Clock, first: Mono) -> io::Result<Vec<u64>> {
    let request = format!("GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", load.path);
    let mut buffer = vec![0_u8; 64 * 1024];
    let mut latencies = Vec::new();
    let mut due = first;
    let end = first + Duration::from_secs_f64(load.seconds);
    while due < end {
        let now = clock.now();
        let start = if now < due {
            thread::sleep(due.since(now));
            clock.now()
        } else {
            due
        };
        stream.write_all(request.as_bytes())?;
        read_answer(&mut stream, &mut buffer)?;
        latencies.push(clock.now().since(start).as_nanos() as u64);
        due = due + load.gap();
    }
    Ok(latencies)
}

fn run(load: &Load) -> io::Result<Vec<u64>> {
    let clock = Clock::system();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, load.port));
    let mut streams = Vec::new();
    for _ in 0..load.connections {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(READ_TIMEOUT))?;
        streams.push(stream);
    }
    let begin = clock.now() + Duration::from_millis(50);
    let mut latencies = Vec::new();
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, stream) in streams.into_iter().enumerate() {
            // Spread the connections over the gap, so that requests come evenly, not in volleys.
            let offset = load
                .gap()
                .mul_f64(index as f64 / f64::from(load.connections));
            let clock = &clock;
            threads.push(scope.spawn(move || drive(stream, load, clock, begin + offset)));
        }
        for thread in threads {
            let measured = thread
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a connection's thread panicked")));
            latencies.extend(measured?);
        }
        Ok::<(), io::Error>(())
    })?;
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
