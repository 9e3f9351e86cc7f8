//! Two answers to where a request ends (CVE-2026-2835, CVE-2021-40346, CVE-2025-22871): refused and
//! closed, and not one byte passed on.

use portway_testkit::raw::get;
use portway_testkit::{Origin, RawClient, replies};

use crate::support::{
    MARK, before, expect_alive, expect_no_mark, expect_refused, marked, with_body,
};

const CHUNKED: &str = "Transfer-Encoding: chunked";

/// Field lines after which no length is certain, with the status that refuses them.
const DOUBTFUL: [(&[&str], u16); 38] = [
    (&["Content-Length: 5", CHUNKED], 400),
    (&[CHUNKED, "Content-Length: 5"], 400),
    (&["Content-Length: 0", CHUNKED], 400),
    (&["Content-Length: 5", "Content-Length: 6"], 400),
    (&["Content-Length: 5", "Content-Length: 5"], 400),
    (&["Content-Length: 5, 5"], 400),
    (&["Content-Length: 5, 6"], 400),
    (&["Content-Length: 5,"], 400),
    (&["Content-Length: +5"], 400),
    (&["Content-Length: -5"], 400),
    (&["Content-Length: 5 5"], 400),
    (&["Content-Length: 0x5"], 400),
    (&["Content-Length: 5.0"], 400),
    (&["Content-Length: 5e0"], 400),
    (&["Content-Length: \"5\""], 400),
    (&["Content-Length: "], 400),
    (&["Content-Length: 18446744073709551621"], 400),
    (&["Content-Length: 99999999999999999999999"], 400),
    (&["Content-Length: five"], 400),
    (&["Content-Length : 5"], 400),
    (&["Content-Length\t: 5"], 400),
    (&[" Content-Length: 5"], 400),
    (&["X: y", " Content-Length: 5"], 400),
    (&["Transfer-Encoding : chunked"], 400),
    (&[CHUNKED, CHUNKED], 400),
    (&["Transfer-Encoding: chunked, chunked"], 400),
    (&["Transfer-Encoding: chunked, identity"], 400),
    (&["Transfer-Encoding: gzip, chunked"], 400),
    (&["Transfer-Encoding: identity", CHUNKED], 400),
    (&["Transfer-Encoding: chunked;q=1"], 400),
    (&["Transfer-Encoding: \"chunked\""], 400),
    (&["Transfer-Encoding: \x0bchunked"], 400),
    (&["Transfer-Encoding: "], 400),
    (&["Transfer-Encoding:\r\n chunked"], 400),
    (&["X: y\nTransfer-Encoding: chunked"], 400),
    (&["X: y\rTransfer-Encoding: chunked"], 400),
    (&["Transfer-Encoding: xchunked"], 501),
    (&["Transfer-Encoding: identity"], 501),
];

#[test]
fn cl_te_smuggling_every_doubtful_length_is_refused_and_closed() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for (fields, status) in DOUBTFUL {
        let rest = "5\r\nhello\r\n0\r\n\r\n".to_owned() + &marked();
        expect_refused(
            &gateway,
            &origin,
            with_body("POST", "/", fields, &rest),
            status,
        );
    }
    expect_alive(&gateway);
    expect_no_mark(&origin);
}

#[test]
fn cl_te_smuggling_transfer_encoding_is_not_for_http10() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let request = with_body("POST", "/", &[CHUNKED], "0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0");
    expect_refused(&gateway, &origin, request, 400);
}

#[test]
fn cl_te_smuggling_letter_case_of_names_and_codings_does_not_count() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let both = ["cOnTeNt-LeNgTh: 5", "tRaNsFeR-eNcOdInG: cHuNkEd"];
    expect_refused(
        &gateway,
        &origin,
        with_body("POST", "/", &both, "0\r\n\r\n"),
        400,
    );
    let request = with_body(
        "POST",
        "/",
        &["TRANSFER-ENCODING: CHUNKED"],
        "1\r\na\r\n0\r\n\r\n",
    );
    RawClient::ask(gateway.addr(), request).expect_status(200);
    let seen = origin.last_request();
    assert_eq!(
        (&seen.body[..], seen.field("transfer-encoding")),
        (&b"a"[..], Some("chunked"))
    );
}

#[test]
fn cl_te_smuggling_heads_with_bare_lines_and_control_bytes_are_refused() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for request in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n",
        "GET / HTTP/1.1\rHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\x01c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: b\x7fc\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX Y: space\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX(: delimiter\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nX: folded\r\n over\r\n\r\n",
        "GET / HTTP/1.1\r\n X: first is folded\r\nHost: a\r\n\r\n",
        "GET /a\0b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        expect_refused(&gateway, &origin, request, 400);
    }
}

#[test]
fn cl_te_smuggling_bad_chunks_never_make_a_whole_request() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for body in [
        "5\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r\n0\n\n",
        "5\r\nhello\r\n0\r\n\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "5_0\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5;\0\r\nhello\r\n0\r\n\r\n",
        "5;\x7f\r\nhello\r\n0\r\n\r\n",
        "5 x\r\nhello\r\n0\r\n\r\n",
        "5\r\nhelloworld\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "\r\n5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "10000000000000005\r\nhello\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nX Y: z\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: y\n\r\n",
        "5\r\nhello\r\n0\r\n folded\r\n\r\n",
        "5\r\nhello\r\n0\r\nX: \0\r\n\r\n",
    ] {
        let request = with_body("POST", "/chunks", &[CHUNKED], body) + &marked();
        let mut client = RawClient::connect(gateway.addr());
        client.send(request);
        let reply = client.reply();
        assert_eq!(reply.status, 400, "{body:?}");
        assert_eq!(reply.field("connection"), Some("close"), "{body:?}");
        client.half_close().expect_closed();
        origin.wait("the half request ends", |seen| seen.open == 0);
        assert_eq!(origin.request_count(), 0, "{body:?}");
        let bytes = String::from_utf8_lossy(&origin.seen().all_bytes()).into_owned();
        assert!(
            !bytes.contains(MARK) && !bytes.ends_with("0\r\n\r\n"),
            "{body:?}: {bytes}"
        );
    }
    expect_alive(&gateway);
}

#[test]
fn cl_te_smuggling_long_extensions_are_refused_and_short_ones_dropped() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let body = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(5_000));
    let reply = RawClient::ask(gateway.addr(), with_body("POST", "/", &[CHUNKED], &body));
    reply.expect_status(400);
    origin.wait("the half request ends", |seen| seen.open == 0);
    let body = "5;name=\"v\"\r\nhello\r\n0;last\r\n\r\n";
    RawClient::ask(gateway.addr(), with_body("POST", "/", &[CHUNKED], body)).expect_status(200);
    assert_eq!(origin.last_request().raw_body, b"5\r\nhello\r\n0\r\n\r\n");
}

#[test]
fn cl_te_smuggling_a_body_that_looks_like_a_request_is_a_body() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let hidden = marked();
    let by_length = format!("Content-Length: {}", hidden.len());
    let mut client = RawClient::connect(gateway.addr());
    client.send(with_body("POST", "/1", &[&by_length], &hidden) + &get("/2"));
    let chunk = format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len());
    client.send(with_body("GET", "/3", &[CHUNKED], &chunk) + &get("/4"));
    for _ in 0..4 {
        client.reply().expect_status(200);
    }
    let targets: Vec<String> = origin
        .requests()
        .iter()
        .map(|r| r.target().to_owned())
        .collect();
    assert_eq!(targets, ["/1", "/2", "/3", "/4"]);
    assert_eq!(origin.requests()[0].body, hidden.as_bytes());
    assert_eq!(origin.requests()[2].body, hidden.as_bytes());
}

#[test]
fn cl_te_smuggling_heads_are_written_anew() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let request = "GET /a HTTP/1.1\r\nhOsT:   test.example  \r\nX-SPACE:\t  y \t\r\n\r\n";
    RawClient::ask(gateway.addr(), request).expect_status(200);
    let raw = String::from_utf8(origin.last_request().head.raw).unwrap();
    assert!(
        raw.starts_with("GET /a HTTP/1.1\r\nhost: test.example\r\n"),
        "{raw}"
    );
    assert!(raw.contains("\r\nx-space: y\r\n"), "{raw}");
}
