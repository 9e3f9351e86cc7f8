//! Clients that look at every octet, and the target that they ask: whether what one exchange sends or
//! receives ever shows in another, or ends early as if it were whole.
//!
//! Must hold: each exchange's octets follow from its key alone; clients read at once, slowly, late, or go
//! away; the target answers at once, early, in pieces, at the second try, or breaks off. Everything that is
//! not as asked for is a fault, and one fault makes the run fail.
//!
//! Usage: `octets serve PORT`, and
//! `octets ask PROTOCOL PORT PREFIX CONNECTIONS STREAMS SECONDS`, which prints one JSON object. PROTOCOL is
//! h1, h1-tls, h2, h2-tls, h3, pipelined or websocket; `tcp` is h1 through a gateway that passes octets.

mod asked;
mod clients;
mod exchange;
mod local;
mod origin;
mod pipelined;
mod tunnel;

use std::cell::RefCell;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use fastrand::Rng;
use portway_core::{Clock, Mono};
use tokio::task::LocalSet;

use asked::{Asked, Shape};
use clients::{PROTOCOLS, Place, Protocol, Sender};
use exchange::Ended;

/// So many faults are printed.
const SHOWN: u64 = 20;

#[derive(Default)]
struct Counts {
    whole: u64,
    told: u64,
    left: u64,
    octets: u64,
    connections: u64,
    faults: u64,
}

struct Load {
    place: Place,
    shapes: &'static [Shape],
    connections: usize,
    streams: usize,
    clock: Clock,
    ends: Mono,
    counts: RefCell<Counts>,
}

impl Load {
    fn from_args(args: &[String]) -> Option<Load> {
        let [protocol, port, prefix, connections, streams, seconds] = args else {
            return None;
        };
        let tcp = protocol == "tcp";
        let name = if tcp { "h1" } else { protocol };
        let (_, protocol) = *PROTOCOLS.iter().find(|(known, _)| *known == name)?;
        let shapes: &[Shape] = match protocol {
            Protocol::WebSocket => &[Shape::Tunnel],
            // Nobody there makes a failed try again.
            _ if tcp => &[Shape::Sized, Shape::Pieces, Shape::Early],
            _ => &[
                Shape::Sized,
                Shape::Pieces,
                Shape::Early,
                Shape::Again,
                Shape::Cut,
            ],
        };
        let clock = Clock::system();
        Some(Load {
            place: Place {
                protocol,
                port: port.parse().ok()?,
                prefix: prefix.clone(),
            },
            shapes,
            connections: connections.parse().ok()?,
            streams: streams.parse().ok()?,
            ends: clock.now() + Duration::from_secs(seconds.parse().ok()?),
            clock,
            counts: RefCell::default(),
        })
    }

    fn goes_on(&self) -> bool {
        self.clock.now() < self.ends
    }

    fn fault(&self, what: &str) {
        let mut counts = self.counts.borrow_mut();
        counts.faults += 1;
        if counts.faults <= SHOWN {
            eprintln!("octets: {what}");
        }
    }

    /// A connection until it ends, then the next.
    async fn connection(self: Rc<Load>) {
        let mut rng = Rng::new();
        while self.goes_on() {
            self.counts.borrow_mut().connections += 1;
            if self.place.protocol == Protocol::Pipelined {
                self.pipelined(&mut rng).await;
                continue;
            }
            let sender = match self.place.connect(&mut rng).await {
                Ok(sender) => sender,
                Err(why) => {
                    self.fault(&format!("no connection: {why}"));
                    continue;
                }
            };
            let mut others = Vec::new();
            for _ in 1..self.streams {
                if let Some(another) = sender.another() {
                    others.push(tokio::task::spawn_local(Rc::clone(&self).stream(another)));
                }
            }
            Rc::clone(&self).stream(sender).await;
            for other in others {
                // Its faults are counted where they are found.
                let _ = other.await;
            }
        }
    }

    /// One exchange after the other.
    async fn stream(self: Rc<Load>, mut sender: Sender) {
        let mut rng = Rng::new();
        while self.goes_on() && sender.ready().await {
            let asked = Asked::any(&mut rng, self.shapes);
            let done = exchange::exchange(&mut sender, &self.place, &asked, &mut rng).await;
            let mut counts = self.counts.borrow_mut();
            let alone = matches!(sender, Sender::One(_));
            match done {
                Ok((ended, octets)) => {
                    counts.octets += octets;
                    match ended {
                        Ended::Whole => counts.whole += 1,
                        Ended::Told => counts.told += 1,
                        Ended::Left => counts.left += 1,
                        Ended::Unsent => return,
                    }
                    // Over HTTP/1 the connection has ended with the exchange.
                    if alone && (ended != Ended::Whole || asked.shape == Shape::Tunnel) {
                        return;
                    }
                }
                Err(what) => {
                    drop(counts);
                    self.fault(&format!("{}: {what}", self.place.url(&asked)));
                    return;
                }
            }
        }
    }

    async fn pipelined(&self, rng: &mut Rng) {
        let mut stream = match self.place.tcp(rng).await {
            Ok(stream) => stream,
            Err(why) => return self.fault(&format!("no connection: {why}")),
        };
        while self.goes_on() {
            match pipelined::some(&mut stream, &self.place, rng).await {
                Ok(lengths) => {
                    let mut counts = self.counts.borrow_mut();
                    counts.whole += lengths.len() as u64;
                    counts.octets += lengths.iter().sum::<u64>();
                }
                Err(what) => return self.fault(&what),
            }
        }
    }

    async fn run(self) -> bool {
        let load = Rc::new(self);
        let running: Vec<_> = (0..load.connections)
            .map(|_| tokio::task::spawn_local(Rc::clone(&load).connection()))
            .collect();
        for task in running {
            if task.await.is_err() {
                load.fault("a client of ours broke");
            }
        }
        if load.counts.borrow().whole == 0 {
            load.fault("not one exchange came to its end");
        }
        let Counts {
            whole,
            told,
            left,
            octets,
            connections,
            faults,
        } = *load.counts.borrow();
        println!(
            "{{\"whole\": {whole}, \"told\": {told}, \"left\": {left}, \"octets\": {octets}, \
             \"connections\": {connections}, \"faults\": {faults}}}"
        );
        faults == 0
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("octets: {error}");
            return ExitCode::FAILURE;
        }
    };
    let served = match args.split_first() {
        Some((word, [port])) if word == "serve" => port.parse().ok(),
        _ => None,
    };
    if let Some(port) = served {
        if let Err(error) = LocalSet::new().block_on(&runtime, origin::serve(port)) {
            eprintln!("octets: port {port}: {error}");
        }
        return ExitCode::FAILURE;
    }
    let load = match args.split_first() {
        Some((word, rest)) if word == "ask" => Load::from_args(rest),
        _ => None,
    };
    let Some(load) = load else {
        eprintln!(
            "usage: octets serve PORT | octets ask PROTOCOL PORT PREFIX CONNECTIONS STREAMS SECONDS"
        );
        return ExitCode::from(2);
    };
    if LocalSet::new().block_on(&runtime, load.run()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
