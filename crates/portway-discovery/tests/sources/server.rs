//! A small DNS server on loopback: answers from a table that a test may change at any time.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

#[derive(Default)]
struct Zone {
    records: HashMap<(String, RecordType), Vec<(u32, RData)>>,
    failing: bool,
    questions: u32,
}

pub struct Server {
    pub addr: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    task: JoinHandle<()>,
}

impl Server {
    pub async fn start() -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("loopback");
        let addr = socket.local_addr().expect("is bound");
        let zone = Arc::new(Mutex::new(Zone::default()));
        #[allow(clippy::disallowed_methods)] // ends with the test's runtime
        let task = tokio::spawn(serve(socket, Arc::clone(&zone)));
        Server { addr, zone, task }
    }

    /// Replaces the A and AAAA records of a host.
    pub fn set_host(&self, name: &str, ttl: u32, addresses: &[&str]) {
        let mut zone = self.zone.lock().expect("no test panics with it");
        let data = |v6: bool| -> Vec<(u32, RData)> {
            let all = addresses.iter().filter(|a| a.contains(':') == v6);
            all.map(|a| match v6 {
                true => (ttl, RData::AAAA(AAAA(a.parse().expect("an address")))),
                false => (ttl, RData::A(A(a.parse().expect("an address")))),
            })
            .collect()
        };
        let (v4, v6) = (data(false), data(true));
        zone.records.insert((name.into(), RecordType::A), v4);
        zone.records.insert((name.into(), RecordType::AAAA), v6);
    }

    /// Replaces the SRV records of a service: priority, weight, port, host.
    pub fn set_service(&self, name: &str, ttl: u32, records: &[(u16, u16, u16, &str)]) {
        let mut zone = self.zone.lock().expect("no test panics with it");
        let data = records.iter().map(|(priority, weight, port, host)| {
            let host = Name::from_ascii(format!("{host}.")).expect("a name");
            (ttl, RData::SRV(SRV::new(*priority, *weight, *port, host)))
        });
        zone.records
            .insert((name.into(), RecordType::SRV), data.collect());
    }

    /// From now on every answer is SERVFAIL, or no longer.
    pub fn set_failing(&self, failing: bool) {
        self.zone.lock().expect("no test panics with it").failing = failing;
    }

    pub fn questions(&self) -> u32 {
        self.zone.lock().expect("no test panics with it").questions
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>) {
    let mut buffer = [0u8; 2048];
    while let Ok((len, peer)) = socket.recv_from(&mut buffer).await {
        let Ok(question) = Message::from_vec(&buffer[..len]) else {
            continue;
        };
        let reply = answer(&question, &mut zone.lock().expect("no test panics with it"));
        let reply = reply.to_vec().expect("a reply of ours encodes");
        let _ = socket.send_to(&reply, peer).await;
    }
}

fn answer(question: &Message, zone: &mut Zone) -> Message {
    let query = question.queries[0].clone();
    zone.questions += 1;
    let mut reply = Message::response(question.metadata.id, question.metadata.op_code);
    reply.add_query(query.clone());
    if zone.failing {
        reply.metadata.response_code = ResponseCode::ServFail;
        return reply;
    }
    let name = query.name().to_ascii().trim_end_matches('.').to_lowercase();
    match zone.records.get(&(name, query.query_type())) {
        None => reply.metadata.response_code = ResponseCode::NXDomain,
        Some(records) => {
            for (ttl, data) in records {
                let record = Record::from_rdata(query.name().clone(), *ttl, data.clone());
                reply.add_answer(record);
            }
        }
    }
    reply
}
