//! Clients that are far away: what was written for them is still on its way when a connection is to end.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portway_testkit::{Gateway, Origin, ports, replies};
use tokio::net::UdpSocket;
use tokio::runtime::Runtime;
use tokio::time::{Sleep, sleep, timeout};

use super::client::{Client, HEAD, Quic, get, post, read, settle};
use super::{before, setup};
use crate::tls::Authority;

const NO_ERROR: u64 = 0x100;

/// Takes datagrams of one client to a gateway and back, each after a while.
struct Distance {
    addr: SocketAddr,
    /// Nothing gets through any more.
    dark: Arc<AtomicBool>,
    _runtime: Runtime,
}

impl Distance {
    fn to(gateway: SocketAddr, one_way: Duration) -> Distance {
        Distance::losing(gateway, one_way, usize::MAX)
    }

    /// One datagram of so many is lost each way.
    fn losing(gateway: SocketAddr, one_way: Duration, one_of: usize) -> Distance {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let dark = Arc::new(AtomicBool::new(false));
        let carrying = Arc::clone(&dark);
        let (near, far) = runtime.block_on(async {
            let near = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            let far = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            far.connect(gateway).await.unwrap();
            (near, far)
        });
        let addr = near.local_addr().unwrap();
        runtime.spawn(async move {
            let mut packet = vec![0; 65536];
            let (length, client) = near.recv_from(&mut packet).await.unwrap();
            near.connect(client).await.unwrap();
            far.send(&packet[..length]).await.unwrap();
            let there = carry(&near, &far, one_way, one_of, &carrying);
            let back = carry(&far, &near, one_way, one_of, &carrying);
            tokio::join!(there, back);
        });
        Distance {
            addr,
            dark,
            _runtime: runtime,
        }
    }
}

/// In order: what overtakes looks like loss.
async fn carry(from: &UdpSocket, to: &UdpSocket, wait: Duration, one_of: usize, dark: &AtomicBool) {
    let (underway, mut arriving) = tokio::sync::mpsc::channel::<(Pin<Box<Sleep>>, Vec<u8>)>(4096);
    let departing = async {
        let mut packet = vec![0; 65536];
        let mut count = 0;
        loop {
            // An error says that the other end of a past datagram is gone.
            let Ok(length) = from.recv(&mut packet).await else {
                continue;
            };
            count += 1;
            if count % one_of != 0 && !dark.load(Ordering::Relaxed) {
                // With no room it is lost.
                let _ = underway.try_send((Box::pin(sleep(wait)), packet[..length].to_vec()));
            }
        }
    };
    let delivering = async {
        while let Some((time, packet)) = arriving.recv().await {
            time.await;
            let _ = to.send(&packet).await;
        }
    };
    tokio::join!(departing, delivering);
}

/// Far enough that a reply of [`LONG`] takes several round trips, none of which is over soon.
const FAR: Duration = Duration::from_millis(100);
const LONG: usize = 300_000;

/// What comes on a stream until it ends.
async fn arriving(receive: &mut quinn::RecvStream) -> Result<usize, quinn::ReadError> {
    let mut came = 0;
    let mut room = vec![0; 65536];
    while let Some(octets) = receive.read(&mut room).await? {
        came += octets;
    }
    Ok(came)
}

#[test]
fn what_is_lost_on_the_way_is_sent_again_both_ways() {
    let origin = Origin::start(|request, conn| conn.reply(200, &[], request.body.clone()));
    let (gateway, ca) = before(&origin);
    let distance = Distance::losing(gateway.addr(), Duration::from_millis(5), 20);
    let body: &'static [u8] = vec![b'x'; LONG].leak();
    let mut client = Client::connect(distance.addr, &ca);
    for _ in 0..2 {
        assert!(client.send(post("/"), body).body == body);
    }
    gateway.drain(Duration::from_secs(60));
    assert_eq!(client.quic.closed_with(), NO_ERROR);
}

#[test]
fn a_drain_waits_until_the_client_has_all_of_its_reply() {
    let origin = Origin::start(replies::big(LONG));
    let (gateway, ca) = before(&origin);
    let distance = Distance::to(gateway.addr(), FAR);
    let mut client = Client::connect(distance.addr, &ca);
    let mut stream = client.begin(get("/"));
    client.run(stream.finish()).unwrap();
    origin.wait("it is under way", |seen| seen.request_count == 1);
    gateway.drain(Duration::from_secs(60));
    let reply = client.run(read(&mut stream)).unwrap();
    assert_eq!(reply.body.len(), LONG);
    assert_eq!(client.quic.closed_with(), NO_ERROR);
    gateway.wait_connections(0);
}

#[test]
fn a_listener_that_a_reload_removes_waits_too() {
    let origin = Origin::start(replies::big(LONG));
    let ca = Authority::new();
    let port = ports::reserve();
    let addr = port.addr();
    drop(port);
    let with = setup(&origin, &ca)
        .yaml()
        .replace("bind: 127.0.0.1:0", &format!("bind: {addr}"));
    let gateway = Gateway::start(&with);
    let distance = Distance::to(addr, FAR);
    let mut client = Client::connect(distance.addr, &ca);
    let mut stream = client.begin(get("/"));
    client.run(stream.finish()).unwrap();
    origin.wait("it is under way", |seen| seen.request_count == 1);
    gateway.reload(&with.replace("h2, h3", "h2")).unwrap();
    let reply = client.run(read(&mut stream)).unwrap();
    assert_eq!(reply.body.len(), LONG);
    assert_eq!(client.quic.closed_with(), NO_ERROR);
}

#[test]
fn a_connection_on_which_a_reply_is_on_its_way_is_not_idle() {
    let origin = Origin::start(replies::big(LONG));
    let ca = Authority::new();
    // Less than one round trip.
    let gateway = setup(&origin, &ca).server("idle_timeout: 100ms").start();
    let distance = Distance::to(gateway.addr(), FAR);
    let mut client = Client::connect(distance.addr, &ca);
    assert_eq!(client.send(get("/"), b"").body.len(), LONG);
    assert_eq!(client.quic.closed_with(), NO_ERROR);
}

/// It says that no more requests come (RFC 9114, section 5.2), not that it does without the reply.
#[test]
fn a_client_that_says_goaway_gets_its_reply() {
    for one_way in [Duration::ZERO, FAR] {
        let origin = Origin::start(replies::big(LONG));
        let (gateway, ca) = before(&origin);
        let distance = Distance::to(gateway.addr(), one_way);
        let quic = Quic::connect(distance.addr, &ca);
        let mut control = quic.run(settle(&quic.connection));
        let came = quic.run(async {
            let (mut send, mut receive) = quic.connection.open_bi().await.unwrap();
            send.write_all(HEAD).await.unwrap();
            send.finish().unwrap();
            control.write_all(&[7, 1, 0]).await.unwrap();
            let (came, ()) = tokio::join!(arriving(&mut receive), goaway(&quic.connection, 4));
            came
        });
        assert!(came.as_ref().is_ok_and(|came| *came > LONG), "{came:?}");
        assert_eq!(quic.closed_with(), NO_ERROR);
        gateway.wait_connections(0);
    }
}

/// Waits until the gateway has said that requests from this one on are not served.
async fn goaway(connection: &quinn::Connection, from: u8) {
    let mut said = Vec::new();
    while said.first() != Some(&0) {
        let mut stream = connection.accept_uni().await.unwrap();
        said.clear();
        while let Ok(Some(octets)) = stream.read_chunk(64, true).await {
            said.extend_from_slice(&octets.bytes);
            if said[0] != 0 || said.ends_with(&[7, 1, from]) {
                break;
            }
        }
    }
    assert!(said.ends_with(&[7, 1, from]), "{said:?}");
}

#[test]
fn a_client_that_confirms_nothing_is_not_waited_for_longer_than_the_drain() {
    let origin = Origin::start(replies::big(LONG));
    let (gateway, ca) = before(&origin);
    let distance = Distance::to(gateway.addr(), FAR);
    let mut client = Client::connect(distance.addr, &ca);
    let mut stream = client.begin(get("/"));
    client.run(stream.finish()).unwrap();
    origin.wait("it is under way", |seen| seen.request_count == 1);
    distance.dark.store(true, Ordering::Relaxed);
    gateway.drain(Duration::from_secs(1));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(gateway.inner().open_connections(), 1, "it may come back");
    let limit = Duration::from_secs(10);
    let drained = client.run(async { timeout(limit, gateway.inner().drained()).await });
    drained.expect("by the deadline");
    gateway.inner().stop();
}

#[test]
fn a_client_that_takes_no_more_of_a_reply_is_given_up_after_write_timeout() {
    let origin = Origin::start(replies::big(LONG));
    let ca = Authority::new();
    let gateway = setup(&origin, &ca).server("write_timeout: 300ms").start();
    let distance = Distance::to(gateway.addr(), FAR);
    let mut client = Client::connect(distance.addr, &ca);
    let mut stream = client.begin(get("/"));
    client.run(stream.finish()).unwrap();
    origin.wait("it is under way", |seen| seen.request_count == 1);
    distance.dark.store(true, Ordering::Relaxed);
    gateway.drain(Duration::from_secs(60));
    gateway.wait_connections(0);
}

/// The code for a stream that broke, then the connection's end: it need not wait for its own patience.
#[test]
fn a_client_whose_reply_is_cut_at_the_end_of_the_drain_is_told_so() {
    let origin = Origin::start(replies::big(4_000_000));
    let (gateway, ca) = before(&origin);
    let distance = Distance::to(gateway.addr(), Duration::from_millis(10));
    let quic = Quic::connect(distance.addr, &ca);
    let _control = quic.run(settle(&quic.connection));
    let mut receive = quic.run(async {
        let (mut send, receive) = quic.connection.open_bi().await.unwrap();
        send.write_all(HEAD).await.unwrap();
        send.finish().unwrap();
        receive
    });
    origin.wait("it is under way", |seen| seen.request_count == 1);
    gateway.drain(Duration::from_millis(100));
    gateway.inner().stop();
    let cut = quic.run(arriving(&mut receive)).unwrap_err();
    let code = match &cut {
        quinn::ReadError::Reset(code) => code.into_inner(),
        quinn::ReadError::ConnectionLost(quinn::ConnectionError::ApplicationClosed(close)) => {
            close.error_code.into_inner()
        }
        other => panic!("{other}"),
    };
    assert!([NO_ERROR, 0x102].contains(&code), "{cut}");
    assert_eq!(quic.closed_with(), NO_ERROR);
}
