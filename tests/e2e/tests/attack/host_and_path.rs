//! One host and one path per exchange: two spellings of one are one, and what two readers could
//! understand differently is refused (CVE-2021-39242, CVE-2026-48020, CVE-2021-29492 and others).

use portway_testkit::raw::get;
use portway_testkit::{Gateway, Origin, RawClient, RawReply, replies};

use crate::support::{before, code, expect_refused};

#[test]
fn host_exactly_one_and_valid() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for fields in [
        "",
        "Host: \r\n",
        "Host: a\r\nHost: a\r\n",
        "Host: a\r\nhost: b\r\n",
        "Host: a, b\r\n",
        "Host: a b\r\n",
        "Host: a/b\r\n",
        "Host: a\\b\r\n",
        "Host: a?b\r\n",
        "Host: a#b\r\n",
        "Host: user@a\r\n",
        "Host: user:pw@a\r\n",
        "Host: a:\r\n",
        "Host: a:0\r\n",
        "Host: a:65536\r\n",
        "Host: a:80:80\r\n",
        "Host: a:+80\r\n",
        "Host: a:http\r\n",
        "Host: :80\r\n",
        "Host: .\r\n",
        "Host: .a\r\n",
        "Host: a..b\r\n",
        "Host: a%2eb\r\n",
        "Host: \u{e4}\r\n",
        "Host: a\tb\r\n",
        "Host: [::1\r\n",
        "Host: ::1\r\n",
        "Host: [::g]\r\n",
        "Host: [::1]x\r\n",
        "Host: [::1%25eth0]\r\n",
        "Host: 127.1\r\n",
        "Host: 0x7f.0.0.1\r\n",
        "Host: 2130706433\r\n",
        "Host: 256.0.0.1\r\n",
        "Host : a\r\n",
        " Host: a\r\n",
    ] {
        expect_refused(
            &gateway,
            &origin,
            format!("GET / HTTP/1.1\r\n{fields}\r\n"),
            400,
        );
    }
    let long = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", "a.".repeat(200));
    expect_refused(&gateway, &origin, long, 400);
}

#[test]
fn host_absolute_form_must_agree() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for (target, host) in [
        ("http://a/", "b"),
        ("http://a:81/", "a"),
        ("http://a/", "a:81"),
        ("http://user@a/", "a"),
        ("http://a@b/", "b"),
        ("http:///", "a"),
        ("http://", "a"),
        ("http://a\\b/", "a"),
        ("http://a#b/", "a"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        expect_refused(&gateway, &origin, request, 400);
    }
}

/// A port that goes without saying is the same said (RFC 9110, section 4.2.3).
#[test]
fn host_absolute_form_may_name_the_usual_port() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let request = "GET https://a:80/ HTTP/1.1\r\nHost: a\r\n\r\n";
    expect_refused(&gateway, &origin, request, 400);
    for (target, host) in [
        ("http://a:80/", "a"),
        ("http://a/", "a:80"),
        ("https://a:443/", "a"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        RawClient::ask(gateway.addr(), request).expect_status(200);
    }
}

#[test]
fn host_is_lower_cased_once_for_matching_and_forwarding() {
    let origin = Origin::start(replies::text("x"));
    let gateway = Gateway::start(&format!(
        "server: {{ host: 127.0.0.1, port: 0 }}\n\
         routes:\n  - {{ name: one, hosts: [one.example], prefix: /, targets: [{{ addr: '{}' }}] }}\n",
        origin.url()
    ));
    for host in [
        "one.example",
        "ONE.Example",
        "one.example.",
        "one.example:8080",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        RawClient::ask(gateway.addr(), request).expect_status(200);
        let seen = origin.last_request();
        let forwarded = seen.field("host").unwrap().trim_end_matches(":8080");
        assert_eq!(forwarded, "one.example");
        assert!(
            seen.field("x-forwarded-host")
                .unwrap()
                .starts_with("one.example")
        );
    }
    let other = "GET / HTTP/1.1\r\nHost: one.example.evil\r\n\r\n";
    RawClient::ask(gateway.addr(), other).expect_status(404);
}

/// A gateway whose `/admin` needs a key, in front of an origin that serves all.
fn guarded(origin: &Origin) -> Gateway {
    Gateway::start(&format!(
        "server: {{ host: 127.0.0.1, port: 0 }}\n\
         upstreams: [{{ name: o, targets: [{{ addr: '{}' }}] }}]\n\
         routes:\n\
         \x20 - {{ name: all, prefix: /, upstream: o }}\n\
         \x20 - name: admin\n\
         \x20   prefix: /admin\n\
         \x20   upstream: o\n\
         \x20   filters: [{{ auth: {{ type: apikey, keys: [{{ key: secret-key, consumer: me }}] }} }}]\n",
        origin.url()
    ))
}

#[test]
fn path_confusion_no_spelling_gets_around_a_guarded_prefix() {
    let origin = Origin::start(replies::text("x"));
    let gateway = guarded(&origin);
    for path in [
        "/admin",
        "/admin/x",
        "//admin/x",
        "///admin/x",
        "/./admin/x",
        "/a/../admin/x",
        "/a/b/../../admin/x",
        "/%61dmin/x",
        "/%61%64%6d%69%6e/x",
        "/%61%64%6D%69%6E/x",
        "/admin/./x",
        "/admin/y/../x",
        "/%2e/admin/x",
        "/a/%2e%2e/admin/x",
        "/a/.%2e/admin/x",
        "/a/%2E./admin/x",
        "/.//admin/x",
        "/a//../admin/x",
        "/admin%2fx",
        "/admin%2Fx",
        "/a/..%2fadmin/x",
        "/a%2f..%2fadmin/x",
        "/a/..;/admin/x",
        "/a/..;x=y/admin/x",
        "/a/%2e%2e;/admin/x",
        "/.;/admin/x",
        "/a\\..\\admin\\x",
        "/a/..%5cadmin/x",
        "/a/..\\admin/x",
        "/%5cadmin/x",
        "/admin%00/x",
        "/%00/admin/x",
        "/a/%c0%ae%c0%ae/admin/x",
        "/a/..%c0%afadmin/x",
        "/../admin/x",
        "/a/../../admin/x",
        "/%2e%2e/admin/x",
        "/admin/x#y",
        "/%zz/admin/x",
        "/%/admin/x",
        "/admin%0d%0ax",
        "/admin\u{e4}/x",
    ] {
        let reply = RawClient::get(gateway.addr(), path);
        assert!(
            matches!(reply.status, 400 | 401),
            "{path}: {}",
            reply.status
        );
        let seen = String::from_utf8_lossy(&origin.seen().all_bytes()).into_owned();
        assert!(seen.is_empty(), "{path} reached the origin: {seen}");
    }
}

#[test]
fn path_confusion_what_is_ambiguous_is_said_to_be() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for path in [
        "/a%2fb",
        "/a\\b",
        "/a%5cb",
        "/a%00b",
        "/a/..;/b",
        "/../b",
        "/a/%c0%aeb",
    ] {
        let reply = RawClient::get(gateway.addr(), path);
        assert_eq!(
            (reply.status, code(&reply).as_str()),
            (400, "ambiguous_path"),
            "{path}"
        );
    }
    assert_eq!(origin.connection_count(), 0);
}

#[test]
fn path_confusion_the_origin_gets_the_path_that_was_matched() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    for (sent, canonical) in [
        ("/", "/"),
        ("/a//b", "/a/b"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/a/b/..", "/a/"),
        ("/%7Ea/%41", "/~a/A"),
        ("/%e4%f6", "/%E4%F6"),
        ("/a%20b", "/a%20b"),
        ("/a{b}", "/a%7Bb%7D"),
        ("/%7Bb%7d", "/%7Bb%7D"),
        ("/a;p=1/b", "/a;p=1/b"),
        ("/a...", "/a..."),
        ("/.../b", "/.../b"),
        ("/a%25b", "/a%25b"),
        ("/a%252fb", "/a%252fb"),
        ("/a?x=/../y", "/a?x=/../y"),
        ("/a?", "/a?"),
        ("/a?x=%2f%00", "/a?x=%2f%00"),
        ("/a+b,c:d@e!$&'()*=", "/a+b,c:d@e!$&'()*="),
    ] {
        RawClient::get(gateway.addr(), sent).expect_status(200);
        assert_eq!(origin.last_request().target(), canonical, "{sent}");
    }
}

#[test]
fn path_confusion_kept_encoded_slashes_are_never_separators() {
    let origin = Origin::start(replies::text("x"));
    let yaml = crate::support::Setup::to(&origin)
        .listener("http: { normalize_path: { encoded_slashes: keep } }")
        .yaml()
        .replace("prefix: /\n", "prefix: /a/b\n");
    let gateway = Gateway::start(&yaml);
    let ask = |path: &str| -> RawReply { RawClient::ask(gateway.addr(), get(path)) };
    ask("/a/b").expect_status(200);
    ask("/a%2fb").expect_status(404);
    ask("/a/b/c%2fd").expect_status(200);
    assert_eq!(origin.last_request().target(), "/a/b/c%2Fd");
    ask("/a/b/..%2f..%2fc").expect_status(400);
}
