//! Heads: one host, one path, the limits of HTTP/1, pseudo-header fields once and first.

use portway_testkit::{Origin, replies};

use super::before;
use super::client::{Client, HEAD, POST, Quic, exchange, frame, get, settle, status};
use crate::tls::Authority;

#[test]
fn heads_are_read_as_http1s_are() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let mut client = Client::connect(gateway.addr(), &ca);
    let mut refused = |request, status, code: &str| {
        let reply = client.send(request, b"");
        assert_eq!((reply.status, &*reply.code()), (status, code));
    };
    refused(get("/a%2fb"), 400, "ambiguous_path");
    refused(get("/a/..%2f../secret"), 400, "ambiguous_path");
    refused(get("/..;/admin"), 400, "ambiguous_path");
    refused(
        get("/").header("expect", "magic"),
        417,
        "expectation_failed",
    );
    refused(get("/").header("connection", "close"), 400, "bad_request");
    refused(
        get("/").header("transfer-encoding", "chunked"),
        400,
        "bad_request",
    );
    refused(get("/").header("upgrade", "websocket"), 400, "bad_request");
    refused(
        get("/").header("content-length", "-1"),
        400,
        "ambiguous_framing",
    );
    refused(get("/").header("content-length", "5"), 400, "bad_request");
    let long = get(&format!("/{}", "p".repeat(20_000)));
    refused(long, 414, "uri_too_long");
    let large = |octets| get("/").header("x-long", "v".repeat(octets));
    refused(large(70_000), 431, "headers_too_large");
    refused(large(120_000), 431, "headers_too_large");
    let many = (0..101).fold(get("/"), |r, n| r.header(format!("x-{n}"), "1"));
    refused(many, 431, "headers_too_large");
    assert_eq!(origin.request_count(), 0);
    assert_eq!(client.send(get("/a/./b/../c//d"), b"").status, 200);
    assert_eq!(origin.last_request().target(), "/a/c/d");
}

/// RFC 9204, section 4.5.6.
#[test]
fn pseudo_header_fields_may_be_spelled_out() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    for path in [&b"\x25:path"[..], b"\x2c\xb9\x58\xd3\x3f"] {
        let known = b"\x00\x00\xd1\xd7\x50\x09a.example";
        let head = [&known[..], path, b"\x02/p"].concat();
        let reply = quic.run(exchange(&quic.connection, &frame(1, &head)));
        assert_eq!(status(&reply.unwrap()), Some(200));
        assert_eq!(origin.last_request().target(), "/p");
    }
}

#[test]
fn what_a_client_may_not_say_about_others_is_dropped() {
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let request = get("/")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-real-ip", "6.6.6.6")
        .header("x_forwarded_for", "6.6.6.6")
        .header("x-internal-user", "root")
        .header("te", "trailers")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    assert_eq!(Client::ask(gateway.addr(), &ca, request).status, 200);
    let seen = origin.last_request();
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.field("x-internal-user"), None);
    assert_eq!(seen.field("te"), None);
    assert_eq!(seen.field("cookie"), Some("a=1; b=2"));
    assert!(!String::from_utf8_lossy(&seen.raw()).contains("6.6.6.6"));
}

/// `name: value` as a literal field line.
fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    let long = |first: u8, max: u8, length: usize| match u8::try_from(length).unwrap() {
        length if length < max => vec![first | length],
        length => vec![first | max, length - max],
    };
    [
        &long(0x20, 7, name.len())[..],
        name,
        &long(0, 127, value.len()),
        value,
    ]
    .concat()
}

const AUTHORITY: &[u8] = b"\x50\x09a.example";

/// What becomes of a head of these field lines: a status, or the code its stream is reset with.
fn sent(quic: &Quic, lines: &[&[u8]]) -> Result<u16, u64> {
    let section = [&[0, 0][..], &lines.concat()].concat();
    let octets = frame(1, &section);
    let reply = quic.run(exchange(&quic.connection, &octets))?;
    Ok(status(&reply).unwrap_or_else(|| panic!("{reply:?}")))
}

#[test]
fn malformed_heads_never_reach_the_origin() {
    const MESSAGE_ERROR: u64 = 0x10e;
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let (method, scheme, path) = (&[0xd1][..], &[0xd7][..], &[0xc1][..]);
    let whole = [method, scheme, path, AUTHORITY].concat();
    assert_eq!(sent(&quic, &[&whole]), Ok(200));
    let count = origin.request_count();
    for twice in [
        method,
        &[0xd4],
        scheme,
        path,
        AUTHORITY,
        b"\x50\x09b.example",
    ] {
        assert_eq!(sent(&quic, &[&whole, twice]), Ok(400), "{twice:?} twice");
    }
    let late = sent(
        &quic,
        &[method, scheme, AUTHORITY, &field(b"x-first", b"1"), path],
    );
    assert_eq!(late, Ok(400));
    assert_eq!(sent(&quic, &[&whole, &field(b":unknown", b"1")]), Ok(400));
    let websocket = [
        &[0xcf][..],
        &field(b":protocol", b"websocket"),
        scheme,
        path,
        AUTHORITY,
    ];
    assert_eq!(sent(&quic, &websocket), Ok(400), "no tunnel is offered");
    assert_eq!(
        sent(&quic, &[&whole, &[0xd9]]),
        Ok(400),
        "a status in a request"
    );
    for (name, value) in [
        (&b"X-Upper"[..], &b"1"[..]),
        (b"x\r\ninjected: 1", b"1"),
        (b"x-line", b"1\r\ninjected: 1"),
        (b"x-nul", b"\0"),
        (b"", b"empty"),
        (b"host", b"b.example"),
    ] {
        let reset = sent(&quic, &[&whole, &field(name, value)]);
        assert_eq!(
            reset,
            Err(MESSAGE_ERROR),
            "{}",
            String::from_utf8_lossy(name)
        );
    }
    for missing in [
        &[scheme, path, AUTHORITY][..],
        &[method, path, AUTHORITY],
        &[method, scheme, AUTHORITY],
        &[method, scheme, path],
    ] {
        assert_eq!(sent(&quic, missing), Err(MESSAGE_ERROR), "{missing:?}");
    }
    assert_eq!(origin.request_count(), count);
    assert_eq!(sent(&quic, &[&whole]), Ok(200), "the connection goes on");
    let host = [method, scheme, path, &field(b"host", b"a.example")];
    assert_eq!(
        sent(&quic, &host),
        Ok(200),
        "Host does instead of :authority"
    );
    assert_eq!(origin.last_request().field("host"), Some("a.example"));
    let both = [&whole[..], &field(b"host", b"a.example")];
    assert_eq!(sent(&quic, &both), Ok(200), "and beside it, if both agree");
}

#[test]
fn octets_that_disagree_with_the_length_never_make_a_whole_request() {
    for (declared, body) in [(&b"3"[..], &b"12345"[..]), (b"8", b"12345")] {
        let origin = Origin::start(replies::echo());
        let (gateway, ca) = before(&origin);
        let quic = Quic::connect(gateway.addr(), &ca);
        let _control = quic.run(settle(&quic.connection));
        let section = [&POST[2..], &field(b"content-length", declared)].concat();
        let octets = [frame(1, &section), frame(0, body)].concat();
        let reply = quic.run(exchange(&quic.connection, &octets));
        assert_eq!(reply.map(|reply| status(&reply)), Ok(Some(400)));
        let seen = String::from_utf8_lossy(&origin.seen().all_bytes()).into_owned();
        assert!(!seen.contains("12345678"), "{seen}");
        assert_eq!(origin.request_count(), 0, "none was whole: {seen}");
    }
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_no_whole_request() {
    let origin = Origin::start(replies::echo());
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    // Once at once, once with the octets taken before the end is seen.
    let cut = [POST, b"\x00\x0ahalf"].concat();
    let reply = quic.run(exchange(&quic.connection, &cut));
    assert_eq!(reply.map(|reply| status(&reply)), Ok(Some(400)));
    let reply = quic.run(async {
        let (mut send, mut receive) = quic.connection.open_bi().await.unwrap();
        send.write_all(&cut).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        send.finish().unwrap();
        super::client::all(&mut receive).await
    });
    assert_eq!(reply.map(|reply| status(&reply)), Ok(Some(400)));
    assert_eq!(origin.request_count(), 0);
    let reply = quic.run(exchange(&quic.connection, &HEAD[..HEAD.len() - 3]));
    assert!(reply.is_err(), "half a head: {reply:?}");
}

#[test]
fn frames_that_say_nothing_do_not_end_a_body() {
    let origin = Origin::start(|request, conn| conn.reply(200, &[], &request.body));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let unknown = frame(0x21, &[7; 5000]);
    let pieces = [
        POST,
        &frame(0, b""),
        &frame(0, b"one"),
        &unknown,
        &frame(0, b""),
        &frame(0, b"two"),
    ];
    let reply = quic
        .run(exchange(&quic.connection, &pieces.concat()))
        .unwrap();
    assert_eq!(status(&reply), Some(200));
    assert!(reply.ends_with(b"onetwo"), "{reply:?}");
}

#[test]
fn a_host_of_another_certificate_is_misdirected() {
    let origin = Origin::start(replies::text("x"));
    let ca = Authority::new();
    let gateway = super::setup(&origin, &ca).start();
    let mut client = Client::connect(gateway.addr(), &ca);
    let other = http::Request::get("https://b.example/");
    let reply = client.send(other, b"");
    assert_eq!((reply.status, &*reply.code()), (421, "misdirected_request"));
}

/// Integers may be written in more octets than they need: what stands behind them is looked at all the same.
#[test]
fn integers_written_long_hide_no_names() {
    const DECOMPRESSION_FAILED: u64 = 0x200;
    let origin = Origin::start(replies::text("x"));
    let (gateway, ca) = before(&origin);
    let quic = Quic::connect(gateway.addr(), &ca);
    let _control = quic.run(settle(&quic.connection));
    let ask = |octets: &[u8]| quic.run(exchange(&quic.connection, octets));
    // A Delta Base of 127.
    let prefix = [0, 0x7f, 0x80, 0x80, 0x80, 0x80, 0x80, 0];
    let whole = [&prefix[..], &[0xd1, 0xd7, 0xc1], AUTHORITY].concat();
    let fine = ask(&frame(1, &whole)).unwrap();
    assert_eq!(status(&fine), Some(200));
    for more in [&b"\x51\x06/admin"[..], &[0xd9]] {
        let reply = ask(&frame(1, &[&whole[..], more].concat())).unwrap();
        assert_eq!(status(&reply), Some(400), "{more:?}");
    }
    let trailers = [&prefix[..], b"\x51\x02/b"].concat();
    let reply = ask(&[POST, &frame(0, b"abc"), &frame(1, &trailers)].concat()).unwrap();
    assert_eq!(status(&reply), Some(400));
    // Ten octets behind the prefix are more than anybody reads.
    let longer = [&[0, 0x7f][..], &[0x80; 9], &whole[7..]].concat();
    assert!(ask(&frame(1, &longer)).is_err());
    assert_eq!(quic.closed_with(), DECOMPRESSION_FAILED);
}
