//! Bodies from HTTP/3 clients on their way to a target of HTTP/2: the target hears of their end when it has come.

use std::time::Duration;

use portway_testkit::{Gateway, Origin, eventually, replies};

use super::client::{HEAD, POST, Quic, all, exchange, frame, settle, status};
use super::setup;
use crate::support::h2_origin::{H2Call, H2Origin};
use crate::tls::Authority;

/// content-length: 0
const LENGTH_0: &[u8] = &[0xc4];
/// content-length: 3
const LENGTH_3: &[u8] = &[0x54, 1, b'3'];

/// Says what came, and whether nothing could come behind the head.
async fn tell(mut call: H2Call) {
    let ended_with_head = call.body.is_end_stream();
    let Ok((body, trailers)) = call.read().await else {
        return;
    };
    let body = String::from_utf8_lossy(&body).into_owned();
    let trailer = trailers.is_some_and(|fields| fields.contains_key("x"));
    call.reply(
        200,
        format!("{body:?}, trailer {trailer}, no body {ended_with_head}"),
    );
}

struct Stage {
    origin: H2Origin,
    quic: Quic,
    _control: quinn::SendStream,
    _gateway: Gateway,
}

fn stage() -> Stage {
    let (ca, unused) = (Authority::new(), Origin::start(replies::text("x")));
    let origin = H2Origin::start(tell);
    let yaml = setup(&unused, &ca).upstream("protocol: h2c").yaml();
    let yaml = yaml.replace(&unused.url(), &format!("http://{}", origin.addr));
    let gateway = Gateway::start(&yaml);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    Stage {
        origin,
        quic,
        _control,
        _gateway: gateway,
    }
}

/// The head of a POST with one more field.
fn post_with(field: &[u8]) -> Vec<u8> {
    frame(1, &[&POST[2..], field].concat())
}

impl Stage {
    /// What comes when the second part is sent after the target has had time to answer the first.
    fn apart(&self, first: &[u8], second: &[u8]) -> Vec<u8> {
        let (mut send, mut receive) = self.quic.run(async {
            let (mut send, receive) = self.quic.connection.open_bi().await.unwrap();
            send.write_all(first).await.unwrap();
            (send, receive)
        });
        eventually("the target has the head", || {
            self.origin.seen().requests.len() == 1
        });
        self.quic.run(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let _ = send.write_all(second).await;
            let _ = send.finish();
            all(&mut receive).await.unwrap()
        })
    }
}

#[track_caller]
fn expect(reply: &[u8], wanted: &str) {
    let text = String::from_utf8_lossy(reply);
    assert!(text.ends_with(wanted), "{text}");
}

#[test]
fn a_body_longer_than_declared_is_no_whole_request_to_a_target_of_http2() {
    let first = [post_with(LENGTH_3), frame(0, b"abc")].concat();
    for first in [first, post_with(LENGTH_0)] {
        let stage = stage();
        let reply = stage.apart(&first, &frame(0, b"and more."));
        assert_eq!(status(&reply), Some(400), "{reply:?}");
        eventually("the target is told", || stage.origin.seen().active == 0);
    }
}

#[test]
fn trailers_behind_all_of_a_declared_body_reach_a_target_of_http2() {
    let first = [post_with(LENGTH_3), frame(0, b"abc")].concat();
    let trailers = frame(1, &[0, 0, 0x21, b'x', 1, b'y']);
    let wanted = "\"abc\", trailer true, no body false";
    expect(&stage().apart(&first, &trailers), wanted);
    let stage = stage();
    let octets = [first, trailers].concat();
    let reply = stage.quic.run(exchange(&stage.quic.connection, &octets));
    expect(&reply.unwrap(), wanted);
}

#[test]
fn honest_bodies_end_at_a_target_of_http2_as_they_do_here() {
    let stage = stage();
    let ask = |octets: &[u8]| {
        let reply = stage.quic.run(exchange(&stage.quic.connection, octets));
        reply.unwrap()
    };
    expect(&ask(HEAD), "\"\", trailer false, no body true");
    let whole = [post_with(LENGTH_3), frame(0, b"abc")].concat();
    expect(&ask(&whole), "\"abc\", trailer false, no body false");
    let reply = ask(&post_with(LENGTH_0));
    assert_eq!(status(&reply), Some(200), "{reply:?}");
}

#[test]
fn an_end_that_comes_late_is_passed_on_when_it_comes() {
    let whole = [post_with(LENGTH_3), frame(0, b"abc")].concat();
    expect(
        &stage().apart(&whole, b""),
        "\"abc\", trailer false, no body false",
    );
    expect(
        &stage().apart(&post_with(LENGTH_0), b""),
        "\"\", trailer false, no body false",
    );
}
