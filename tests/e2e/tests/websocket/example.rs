//! `examples/websocket/config.yaml`, as it is but for its ports.

use portway_testkit::{Gateway, Origin, RawClient, replies};
use tungstenite::Message;

use super::{echo, handshake, says};
use crate::tcp::connect;
use crate::tls::authority::Authority;

const CONFIG: &str = include_str!("../../../../examples/websocket/config.yaml");

#[test]
fn the_example_passes_websockets_to_the_chat_and_nowhere_else() {
    let (one, two, site) = (echo(), echo(), Origin::start(replies::text("site")));
    let authority = Authority::new();
    authority.issue("chat", &["chat.example"]);
    let config = CONFIG
        .replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("0.0.0.0:8443", "127.0.0.1:0")
        .replace("127.0.0.1:9001", &one.addr().to_string())
        .replace("127.0.0.1:9002", &two.addr().to_string())
        .replace("127.0.0.1:9003", &site.addr().to_string())
        .replace("certs/chat.pem", &authority.path("chat.pem"))
        .replace("certs/chat.key", &authority.path("chat.key"));
    let gateway = Gateway::start(&config);
    let addr = gateway.addr_of("plain");
    let open = || {
        tungstenite::client("ws://chat.example/chat", connect(addr))
            .expect("a handshake")
            .0
    };
    let mut sockets = [open(), open()];
    for socket in &mut sockets {
        says(socket, Message::text("hello"));
    }
    assert_eq!(
        (one.accepted(), two.accepted()),
        (1, 1),
        "the one with fewer"
    );
    let reply = RawClient::ask(addr, handshake("/"));
    assert_eq!((reply.status, &*reply.text()), (200, "site"));
    assert_eq!(site.last_request().field("upgrade"), None);
}
