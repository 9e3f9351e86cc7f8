use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;

use portway_core::Clock;
use socket2::SockRef;

use super::*;
use crate::Wheel;

fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

#[test]
fn accepted_connections_have_the_listening_sockets_options() {
    let listener = bind(loopback(), ListenOptions::default()).unwrap();
    listener.set_nonblocking(false).unwrap();
    let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    let socket = SockRef::from(&accepted);
    assert!(socket.tcp_nodelay().unwrap());
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), limits::TCP_KEEPALIVE);
    assert_eq!(
        socket.tcp_keepalive_retries().unwrap(),
        limits::TCP_KEEPALIVE_RETRIES
    );
}

#[test]
fn every_worker_gets_a_socket_on_the_same_port() {
    let listeners = bind_workers(loopback(), 4, ListenOptions::default()).unwrap();
    let ports: Vec<u16> = listeners
        .iter()
        .map(|l| l.local_addr().unwrap().port())
        .collect();
    assert_eq!(ports, [ports[0]; 4]);
}

#[test]
fn refuses_an_address_that_others_share() {
    let theirs = bind_workers(loopback(), 2, ListenOptions::default()).unwrap();
    let addr = theirs[0].local_addr().unwrap();
    let refused = bind_workers(addr, 2, ListenOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AddrInUse);
    assert_eq!(
        refused.to_string(),
        format!(
            "cannot listen on {addr}: address already in use (another process listens there; \
             `ss -ltnp` names it)"
        )
    );
    drop(theirs);
    bind_workers(addr, 2, ListenOptions::default()).expect("free again");
}

#[test]
fn listens_again_at_once_after_a_restart() {
    let first = bind_workers(loopback(), 1, ListenOptions::default()).unwrap();
    let addr = first[0].local_addr().unwrap();
    first[0].set_nonblocking(false).unwrap();
    let mut client = TcpStream::connect(addr).unwrap();
    // The server closes first, so that its side stays in TIME_WAIT.
    drop(first[0].accept().unwrap());
    drop(first);
    let _ = client.read(&mut [0]);
    drop(client);
    bind_workers(addr, 1, ListenOptions::default()).expect("no wait for TIME_WAIT");
}

#[test]
fn the_unspecified_v6_address_takes_v4_too() {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let Ok(listener) = bind(any, ListenOptions::default()) else {
        return; // no IPv6 on this host
    };
    let port = listener.local_addr().unwrap().port();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
}

#[test]
fn an_address_of_another_host_says_so() {
    // TEST-NET-3, RFC 5737.
    let elsewhere = SocketAddr::from((Ipv4Addr::new(203, 0, 113, 1), 0));
    let refused = bind(elsewhere, ListenOptions::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AddrNotAvailable);
    assert!(
        refused.to_string().contains("no network interface"),
        "{refused}"
    );
}

#[test]
fn a_socket_file_is_replaced_only_if_nobody_answers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("admin.sock");
    let first = bind_unix(&path, Present::Refuse).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    UnixStream::connect(&path).unwrap();

    let refused = bind_unix(&path, Present::Refuse).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::AddrInUse);
    let second = bind_unix(&path, Present::Replace).unwrap();
    drop(first);
    UnixStream::connect(&path).expect("the successor's");

    drop(second);
    bind_unix(&path, Present::Refuse).expect("nobody answers");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_plain_file_is_not_replaced_by_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    std::fs::write(&path, "kept").unwrap();
    let refused = bind_unix(&path, Present::Replace).unwrap_err();
    assert!(refused.to_string().contains("not a socket"), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), b"kept");
}

#[tokio::test]
async fn accepts_one_connection_after_the_other() {
    let listener = bind(loopback(), ListenOptions::default()).unwrap();
    let addr = listener.local_addr().unwrap();
    let wheel = Wheel::new(Clock::system());
    let mut acceptor = Acceptor::new(listener, &wheel).unwrap();
    for n in 0..3u8 {
        let mut client = TcpStream::connect(addr).unwrap();
        client.write_all(&[n]).unwrap();
        let (accepted, peer) = acceptor.accept().await;
        assert_eq!(peer, client.local_addr().unwrap());
        accepted.readable().await.unwrap();
        let mut seen = [9];
        accepted.try_read(&mut seen).unwrap();
        assert_eq!(seen, [n]);
    }
}

#[tokio::test]
async fn finds_every_connection_that_is_already_there() {
    const CLIENTS: usize = 300;
    let options = ListenOptions {
        backlog: 2 * CLIENTS as u32,
        ..ListenOptions::default()
    };
    let listener = bind(loopback(), options).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut acceptor = Acceptor::new(listener, &Wheel::new(Clock::system())).unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| TcpStream::connect(addr).unwrap())
        .collect();
    let mut served = Vec::new();
    served.extend(std::iter::from_fn(|| acceptor.try_accept()));
    assert_eq!(served.len(), clients.len());
}

#[test]
fn the_kernels_bound_on_the_backlog_can_be_read() {
    assert!(somaxconn().unwrap() > 0);
}
