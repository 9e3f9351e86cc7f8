//! A tunnel from its first moment on: what is known of it, and what becomes of it if its route goes while its
//! target is still asked.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use portway_testkit::{Gateway, eventually};
use tungstenite::{Message, WebSocket};

use super::tunnel::open_h2;
use super::{Config, agree, echo, expect_going_away, open, read_head, says, serve};
use crate::pool::Gate;
use crate::tcp::Peer;

/// The route changes by `change` between the request and the switch; `then` is told of the socket.
#[track_caller]
fn reload_during_handshake<S: Read + Write + 'static>(
    change: fn(String) -> String,
    open: fn(SocketAddr) -> WebSocket<S>,
    then: fn(&mut WebSocket<S>),
) {
    let (told, asked) = std::sync::mpsc::sync_channel(1);
    let gate = Gate::default();
    let held = gate.clone();
    let peer = Peer::start(move |mut stream| {
        let head = read_head(&mut stream);
        told.send(()).expect("somebody waits");
        held.wait();
        agree(&mut stream, &head);
        let role = tungstenite::protocol::Role::Server;
        serve(WebSocket::from_raw_socket(stream, role, None));
    });
    let config = Config::to(&peer);
    let gateway = Gateway::start(&config.yaml());
    let addr = gateway.addr();
    let client = std::thread::spawn(move || then(&mut open(addr)));
    let wait = Duration::from_secs(5);
    asked.recv_timeout(wait).expect("the target is asked");
    gateway.reload(&change(config.yaml())).unwrap();
    gate.open();
    client.join().expect("what was to happen did");
    gateway.wait_connections(0);
}

fn without_route(yaml: String) -> String {
    yaml.replace("name: chat, prefix: /chat", "name: other, prefix: /other")
}

fn without_listener(yaml: String) -> String {
    yaml.replace("{ name: public, bind: \"127.0.0.1:0\" }, ", "")
}

fn with_route_changed(yaml: String) -> String {
    yaml.replace("prefix: /chat,", "prefix: /chat, upgrades: [websocket],")
}

fn ends<S: Read + Write>(socket: &mut WebSocket<S>) {
    expect_going_away(socket);
    while socket.read().is_ok() {}
}

fn goes_on<S: Read + Write>(socket: &mut WebSocket<S>) {
    says(socket, Message::text("still there"));
    socket.close(None).unwrap();
    while socket.read().is_ok() {}
}

#[test]
fn a_route_that_goes_during_the_handshake_ends_the_tunnel() {
    reload_during_handshake(without_route, open, ends);
    reload_during_handshake(without_route, open_h2, ends);
}

/// It is served to its end by the snapshot that had the listener.
#[test]
fn a_listener_that_goes_during_the_handshake_ends_the_tunnel() {
    reload_during_handshake(without_listener, open, ends);
    reload_during_handshake(without_listener, open_h2, ends);
}

#[test]
fn a_route_that_changes_during_the_handshake_keeps_the_tunnel() {
    reload_during_handshake(with_route_changed, open, goes_on);
    reload_during_handshake(with_route_changed, open_h2, goes_on);
}

fn expect_active<S: Read + Write>(open: fn(SocketAddr) -> WebSocket<S>) {
    let peer = echo();
    let gateway = Gateway::start(&Config::to(&peer).yaml());
    let active = |count: usize| {
        let wanted = format!("portway_active_requests {count}\n");
        eventually(&wanted, || gateway.metrics().contains(&wanted));
    };
    let mut sockets = [open(gateway.addr()), open(gateway.addr())];
    for socket in &mut sockets {
        says(socket, Message::text("hello"));
    }
    active(2);
    let [mut first, second] = sockets;
    first.close(None).unwrap();
    while first.read().is_ok() {}
    active(1);
    drop(second);
    active(0);
}

#[test]
fn an_open_tunnel_is_an_active_request() {
    expect_active(open);
    expect_active(open_h2);
}
