use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use portway_core::Clock;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::Wheel;

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn written(version: Version, from: &str, to: &str) -> Vec<u8> {
    let mut out = Vec::new();
    write(version, addr(from), addr(to), &mut out);
    out
}

fn whole(bytes: &[u8], accept: Accept) -> Header {
    match parse(bytes, accept) {
        Ok(Found::Whole(header)) => header,
        other => panic!("{other:?}"),
    }
}

#[test]
fn says_who_the_client_is_in_both_versions() {
    for (from, to) in [
        ("192.0.2.1:4711", "198.51.100.2:443"),
        ("[2001:db8::1]:4711", "[2001:db8::2]:443"),
    ] {
        for version in [Version::V1, Version::V2] {
            let bytes = written(version, from, to);
            let header = whole(&bytes, Accept::Either);
            assert_eq!(header.addresses, Some((addr(from), addr(to))));
            assert_eq!((header.version, header.length), (version, bytes.len()));
        }
    }
    let line = written(Version::V1, "192.0.2.1:4711", "198.51.100.2:443");
    assert_eq!(line, b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n");
}

#[test]
fn writes_addresses_of_two_families_as_ipv6() {
    let line = written(Version::V1, "192.0.2.1:4711", "[2001:db8::2]:443");
    assert_eq!(
        line,
        b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::2 4711 443\r\n"
    );
}

#[test]
fn takes_nothing_for_a_client_where_the_proxy_speaks_for_itself() {
    let unknown = whole(b"PROXY UNKNOWN\r\nGET /", Accept::Either);
    assert_eq!((unknown.client(), unknown.length), (None, 15));
    let mut local = written(Version::V2, "192.0.2.1:1", "192.0.2.2:2");
    local[12] = 0x20;
    assert_eq!(whole(&local, Accept::Either).client(), None);
}

#[test]
fn every_beginning_of_a_header_waits_for_more() {
    for version in [Version::V1, Version::V2] {
        let bytes = written(version, "192.0.2.1:4711", "198.51.100.2:443");
        for end in 0..bytes.len() {
            let found = parse(&bytes[..end], Accept::Either);
            assert_eq!(found, Ok(Found::Part), "{version:?} {end}");
        }
    }
}

#[test]
fn refuses_what_is_no_header() {
    let v1 = Accept::Only(Version::V1);
    let v2 = Accept::Only(Version::V2);
    let line = written(Version::V1, "192.0.2.1:1", "192.0.2.2:2");
    let binary = written(Version::V2, "192.0.2.1:1", "192.0.2.2:2");
    assert_eq!(parse(&line, v2), Err(Malformed::Version));
    assert_eq!(parse(&binary, v1), Err(Malformed::Version));
    assert_eq!(parse(b"GET / HTTP/1.1\r\n", v1), Err(Malformed::Start));
    for inside in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 2001:db8::1 192.0.2.2 1 2\r\n",
        "PROXY TCP9 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXYTCP4 192.0.2.1 192.0.2.2 1 2\r\n",
    ] {
        let found = parse(inside.as_bytes(), v1);
        assert_eq!(found, Err(Malformed::Inside), "{inside:?}");
    }
    let endless = format!("PROXY TCP4 {}", "1".repeat(200));
    assert_eq!(parse(endless.as_bytes(), v1), Err(Malformed::Length));
}

/// CVE-2026-47692: a length is a promise of the peer, not room to be made or read blindly.
#[test]
fn checks_the_length_of_version_2_before_waiting_for_it() {
    let mut bytes = written(Version::V2, "192.0.2.1:1", "192.0.2.2:2");
    bytes[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    assert_eq!(
        parse(&bytes[..16], Accept::Either),
        Err(Malformed::Length),
        "longer than anybody needs"
    );
    bytes[14..16].copy_from_slice(&5u16.to_be_bytes());
    assert_eq!(
        parse(&bytes, Accept::Either),
        Err(Malformed::Inside),
        "shorter than its addresses"
    );
}

proptest! {
    #[test]
    fn never_panics_and_never_claims_more_than_there_is(
        start in prop_oneof![Just(&b""[..]), Just(&b"PROXY TCP4 "[..]), Just(&b"\r\n\r\n\0\r\nQUIT\n\x21"[..])],
        rest in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let bytes = [start, &rest].concat();
        if let Ok(Found::Whole(header)) = parse(&bytes, Accept::Either) {
            prop_assert!(header.length <= bytes.len());
        }
    }
}

/// A header in pieces, then the client's first bytes in the same piece as its end.
#[tokio::test]
async fn leaves_every_byte_behind_the_header_in_the_socket() {
    for version in [Version::V1, Version::V2] {
        let header = written(version, "192.0.2.1:4711", "198.51.100.2:443");
        for cut in [1, 5, 6, 13, 20, header.len() - 1, header.len()] {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            let to = listener.local_addr().unwrap();
            let bytes = header.clone();
            let sending = async move {
                let mut client = TcpStream::connect(to).await.unwrap();
                client.set_nodelay(true).unwrap();
                client.write_all(&bytes[..cut]).await.unwrap();
                tokio::time::sleep(Duration::from_millis(5)).await;
                client.write_all(&bytes[cut..]).await.unwrap();
                client.write_all(b"hello").await.unwrap();
            };
            let receiving = async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let wheel = Wheel::new(Clock::system());
                let timer = wheel.timer();
                let found = super::read(&mut stream, Accept::Either, &timer, Mono::NEVER).await;
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await.unwrap();
                (found.unwrap(), rest)
            };
            let ((), (found, rest)) = tokio::join!(sending, receiving);
            assert_eq!(found.client(), Some(addr("192.0.2.1:4711")));
            assert_eq!(rest, b"hello", "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn a_header_that_does_not_come_is_not_waited_for() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    client.write_all(b"PROXY ").await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let (clock, hand) = Clock::manual();
    let wheel = Wheel::new(clock);
    let timer = wheel.timer();
    let deadline = wheel.now() + Duration::from_secs(1);
    let reading = super::read(&mut stream, Accept::Either, &timer, deadline);
    let turning = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        hand.advance(Duration::from_secs(2));
        wheel.tick();
    };
    let (read, ()) = tokio::join!(reading, turning);
    assert!(matches!(read, Err(Refused::Late)), "{read:?}");
}
