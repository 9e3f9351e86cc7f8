//! A DNS server of a few lines (RFC 1035): one name, A and SRV records, no time to live.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portway_testkit::eventually;

/// What it answers.
#[derive(Clone, Default)]
pub struct Zone {
    /// For every name.
    pub addresses: Vec<Ipv4Addr>,
    /// Ports at `host.test.example`, for every service.
    pub services: Vec<u16>,
    /// Answers are SERVFAIL.
    pub fails: bool,
}

pub struct Dns {
    pub addr: SocketAddr,
    shared: Arc<Mutex<(Zone, u64)>>,
}

impl Dns {
    /// Its thread ends when the last copy of the zone but its own is gone.
    pub fn start(zone: Zone) -> Dns {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback");
        let pause = Some(Duration::from_millis(20));
        socket.set_read_timeout(pause).expect("a setting");
        let addr = socket.local_addr().expect("bound");
        let shared = Arc::new(Mutex::new((zone, 0)));
        let zone = Arc::clone(&shared);
        std::thread::spawn(move || serve(&socket, &zone));
        Dns { addr, shared }
    }

    pub fn set(&self, zone: Zone) {
        self.shared.lock().unwrap().0 = zone;
    }

    /// Waits until it was asked `count` more times.
    #[track_caller]
    pub fn wait_questions(&self, count: u64) {
        let asked = || self.shared.lock().unwrap().1;
        let before = asked();
        eventually("it is asked", || asked() >= before + count);
    }
}

fn serve(socket: &UdpSocket, shared: &Arc<Mutex<(Zone, u64)>>) {
    let mut buffer = [0; 1500];
    while Arc::strong_count(shared) > 1 {
        let Ok((length, peer)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let zone = {
            let mut shared = shared.lock().unwrap();
            shared.1 += 1;
            shared.0.clone()
        };
        if let Some(reply) = answer(&buffer[..length], &zone) {
            let _ = socket.send_to(&reply, peer);
        }
    }
}

const A: u16 = 1;
const SRV: u16 = 33;

fn answer(asked: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let name_end = 12 + asked.get(12..)?.iter().position(|byte| *byte == 0)? + 1;
    let question = asked.get(12..name_end + 4)?;
    let kind = u16::from_be_bytes([*asked.get(name_end)?, *asked.get(name_end + 1)?]);
    let records: Vec<Vec<u8>> = match kind {
        _ if zone.fails => Vec::new(),
        A => zone
            .addresses
            .iter()
            .map(|ip| ip.octets().to_vec())
            .collect(),
        SRV => zone.services.iter().map(|port| service(*port)).collect(),
        _ => Vec::new(),
    };
    let mut reply = asked[..2].to_vec();
    reply.extend([0x81, if zone.fails { 0x82 } else { 0x80 }, 0, 1]);
    reply.extend(u16::try_from(records.len()).ok()?.to_be_bytes());
    reply.extend([0; 4]);
    reply.extend(question);
    for record in records {
        reply.extend([0xc0, 12]); // the name that was asked
        reply.extend(kind.to_be_bytes());
        reply.extend([0, 1, 0, 0, 0, 0]);
        reply.extend(u16::try_from(record.len()).ok()?.to_be_bytes());
        reply.extend(record);
    }
    Some(reply)
}

/// Priority 0, weight 1, the port, the host.
fn service(port: u16) -> Vec<u8> {
    let mut record = vec![0, 0, 0, 1];
    record.extend(port.to_be_bytes());
    for label in ["host", "test", "example", ""] {
        record.push(label.len() as u8);
        record.extend(label.as_bytes());
    }
    record
}
