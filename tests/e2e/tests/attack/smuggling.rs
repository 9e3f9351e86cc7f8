//! Bytes that end up in the wrong message: unread bodies, early tunnels, unasked replies, trailers.

use std::time::Duration;

use portway_testkit::raw::{get, post};
use portway_testkit::{Origin, RawClient, replies};

use crate::support::{MARK, Setup, before, expect_no_mark, get_with, marked, with_body};

fn refusing(origin: &Origin) -> portway_testkit::Gateway {
    Setup::to(origin)
        .filter("ip_filter: { deny: [127.0.0.0/8] }")
        .start()
}

#[test]
fn unread_body_reused_a_refused_requests_body_is_never_the_next_request() {
    let origin = Origin::start(replies::text("x"));
    let gateway = refusing(&origin);
    let hidden = marked();
    let bodies = [
        with_body(
            "POST",
            "/",
            &[&format!("Content-Length: {}", hidden.len())],
            &hidden,
        ),
        with_body(
            "POST",
            "/",
            &["Transfer-Encoding: chunked"],
            &format!("{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len()),
        ),
        with_body(
            "POST",
            "/",
            &[
                "Expect: 100-continue",
                &format!("Content-Length: {}", hidden.len()),
            ],
            &hidden,
        ),
        with_body(
            "POST",
            "/",
            &["Content-Length: 300000"],
            &hidden.repeat(300_000 / hidden.len() + 1),
        ),
    ];
    for request in bodies {
        let mut client = RawClient::connect(gateway.addr());
        client.try_send(&request).ok();
        client.try_send(get("/honest")).ok();
        client.half_close();
        let mut replies = Vec::new();
        while let Ok(reply) = client.try_reply("GET") {
            replies.push(reply);
        }
        assert!(
            (1..=2).contains(&replies.len()),
            "{} replies",
            replies.len()
        );
        for reply in &replies {
            let text = reply.text();
            assert!(reply.status == 403 && !text.contains(MARK), "{text}");
        }
    }
    assert_eq!(origin.connection_count(), 0);
}

#[test]
fn unread_body_reused_a_small_rest_is_drained_and_the_connection_goes_on() {
    let origin = Origin::start(replies::text("x"));
    let gateway = refusing(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send(post("/", &marked()) + &get("/honest"));
    for _ in 0..2 {
        client.reply().expect_status(403);
    }
    client.expect_silence(Duration::from_millis(30));
}

#[test]
fn unread_body_reused_a_targets_early_reply_ends_its_connection() {
    let origin = Origin::start_early(|_, conn| {
        conn.reply(200, &[], "early");
        conn.hang();
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send(format!(
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        1_000_000
    ));
    assert_eq!(client.reply().text(), "early");
    client.try_send(marked().repeat(100)).ok();
    // Whoever comes next gets a connection on which nothing of that body can follow.
    origin.set_handler(replies::text("x"));
    for _ in 0..3 {
        RawClient::get(gateway.addr(), "/next").expect_status(200);
    }
    drop(client);
    expect_no_mark(&origin);
    assert!(
        origin
            .requests()
            .iter()
            .all(|r| r.target() == "/1" || r.connection != 1)
    );
}

#[test]
fn upgrade_smuggling_only_a_websocket_is_asked_for_and_early_bytes_stay_behind() {
    let origin = Origin::start(replies::text("no"));
    let gateway = before(&origin);
    let upgrades: [&[&str]; 5] = [
        &[
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
        ],
        &[
            "Connection: upgrade, HTTP2-Settings",
            "Upgrade: h2c",
            "HTTP2-Settings: AAMAAABkAAQAAP__",
        ],
        &["Connection: Upgrade", "Upgrade: x"],
        &["Upgrade: websocket"],
        &["Connection: Upgrade"],
    ];
    for fields in upgrades {
        let mut client = RawClient::connect(gateway.addr());
        client.send(get_with("/up", fields) + &get("/after"));
        assert_ne!(client.reply().status, 101);
        client.reply().expect_status(200);
    }
    for seen in origin.requests() {
        if seen.field("sec-websocket-version").is_some() {
            assert_eq!(seen.field("upgrade"), Some("websocket"));
            assert_eq!(seen.field("connection"), Some("upgrade"));
            continue;
        }
        for name in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(
                seen.field(name),
                None,
                "{}",
                String::from_utf8_lossy(&seen.head.raw)
            );
        }
    }
    assert_eq!(
        origin.request_count(),
        10,
        "what came early is a request of its own"
    );
}

#[test]
fn upgrade_smuggling_a_101_nobody_asked_for_opens_no_tunnel() {
    let origin = Origin::start(|request, conn| match request.target() {
        "/" => conn
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"),
        _ => conn.reply(200, &[], "x"),
    });
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    let asking = get_with("/", &["Connection: Upgrade", "Upgrade: x"]);
    client.send(asking + &marked());
    client.reply().expect_status(502);
    assert_eq!(client.reply().text(), "x");
    let seen = origin.seen();
    assert!(!String::from_utf8_lossy(&seen.bytes(1)).contains(MARK));
    assert_eq!(origin.last_request().connection, 2);
}

#[test]
fn upgrade_smuggling_connect_opens_no_tunnel() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send(format!(
        "CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\n",
        origin.addr()
    ));
    client.try_send(marked()).ok();
    let reply = client.reply();
    assert!(reply.status >= 400, "{}", reply.status);
    assert_eq!(reply.field("connection"), Some("close"));
    assert_eq!(origin.connection_count(), 0);
}

#[test]
fn http10_close_delimited_a_request_without_a_length_has_no_body() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for version in ["1.0", "1.1"] {
        let mut client = RawClient::connect(gateway.addr());
        client.send(format!(
            "POST /p HTTP/{version}\r\nHost: a\r\n\r\nnot a body"
        ));
        client.reply().expect_status(200);
        let seen = origin.last_request();
        assert_eq!(
            (&seen.body[..], seen.field("content-length")),
            (&b""[..], Some("0"))
        );
    }
    let bytes = origin.seen().all_bytes();
    assert!(!String::from_utf8_lossy(&bytes).contains("not a body"));
}

#[test]
fn http10_close_delimited_nothing_after_an_http10_request_is_served() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send("GET /first HTTP/1.0\r\nHost: a\r\n\r\n".to_owned() + &marked());
    client.reply().expect_status(200);
    client.expect_closed();
    expect_no_mark(&origin);
}

#[test]
fn reply_smuggling_a_reply_nobody_asked_for_is_given_to_nobody() {
    let origin = Origin::start(|request, conn| match request.target() {
        "/poison" => replies::one_too_many()(request, conn),
        _ => conn.reply(200, &[], "honest"),
    });
    let gateway = before(&origin);
    for _ in 0..5 {
        assert_eq!(RawClient::get(gateway.addr(), "/poison").text(), "ok");
        assert_eq!(RawClient::get(gateway.addr(), "/").text(), "honest");
    }
}

#[test]
fn reply_smuggling_a_body_where_none_may_be_is_given_to_nobody() {
    let with_body = [
        "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 4\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 40\r\n\r\nevil",
        "HTTP/1.1 200 OK\r\nContent-Length: +4\r\n\r\nevil",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 4\r\n\r\nevil",
    ];
    let origin = Origin::start(replies::text("honest"));
    let gateway = before(&origin);
    for bytes in with_body {
        origin.set_handler(replies::raw(bytes));
        let mut client = RawClient::connect(gateway.addr());
        client.send(get("/"));
        if let Ok(reply) = client.try_reply("GET") {
            assert!(
                !reply.text().contains("evil"),
                "{bytes:?}: {}",
                reply.text()
            );
        }
        origin.set_handler(replies::text("honest"));
        for _ in 0..2 {
            assert_eq!(
                RawClient::get(gateway.addr(), "/").text(),
                "honest",
                "{bytes:?}"
            );
        }
    }
}

#[test]
fn reply_smuggling_a_head_reply_with_a_body_is_given_to_nobody() {
    let origin = Origin::start(|request, conn| match request.method() {
        "HEAD" => conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
        _ => conn.reply(200, &[], "honest"),
    });
    let gateway = before(&origin);
    for _ in 0..3 {
        let reply = RawClient::ask(gateway.addr(), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        reply.expect_status(200);
        assert_eq!(RawClient::get(gateway.addr(), "/").text(), "honest");
    }
}

#[test]
fn trailers_are_never_merged_into_headers() {
    let origin = Origin::start(replies::chunked(
        &["x"],
        &[
            "X-Good: 1",
            "Content-Length: 99",
            "Set-Cookie: evil=1",
            "Transfer-Encoding: x",
            "Location: /evil",
        ],
    ));
    let gateway = before(&origin);
    let body = "1\r\na\r\n0\r\nX-Good: 1\r\nHost: evil\r\nContent-Length: 99\r\n\
                Authorization: evil\r\nX-Forwarded-For: 6.6.6.6\r\nX-Request-ID: evil\r\n\
                Cookie: evil\r\nTransfer-Encoding: chunked\r\nConnection: x-good\r\n\
                X-Internal: evil\r\nX_Forwarded_For: 6.6.6.6\r\n\r\n";
    let request = with_body("POST", "/", &["Transfer-Encoding: chunked"], body);
    let reply = RawClient::ask(gateway.addr(), request);
    assert_eq!(reply.text(), "x");
    assert_eq!(reply.field("x-good"), None);
    let names: Vec<String> = reply
        .trailers
        .iter()
        .map(|(n, _)| n.to_lowercase())
        .collect();
    assert_eq!(names, ["x-good"]);
    let seen = origin.last_request();
    assert_eq!(seen.field("x-good"), None);
    assert_eq!(seen.field("x-forwarded-for"), Some("127.0.0.1"));
    let names: Vec<String> = seen
        .trailers
        .iter()
        .map(|(n, _)| n.to_lowercase())
        .collect();
    assert_eq!(names, ["x-good"]);
}

#[test]
fn trailers_have_limits_of_their_own() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let chunked = ["Transfer-Encoding: chunked"];
    let large = format!("1\r\na\r\n0\r\nX: {}\r\n\r\n", "a".repeat(20_000));
    let many = format!("1\r\na\r\n0\r\n{}\r\n", "X: y\r\n".repeat(500));
    for body in [large, many] {
        let mut client = RawClient::connect(gateway.addr());
        client
            .try_send(with_body("POST", "/", &chunked, &body))
            .ok();
        client.reply().expect_status(400);
        origin.wait("the half request ends", |seen| seen.open == 0);
        assert_eq!(origin.request_count(), 0);
    }
}
