//! Routes that answer without an upstream: redirects, fixed replies, files.

use portway_testkit::raw::get;
use portway_testkit::{Folder, Gateway, RawClient, RawReply};

use crate::support::get_with;

fn one(route: &str) -> Gateway {
    let server = "server: { host: 127.0.0.1, port: 0, workers: 1 }";
    Gateway::start(&format!("{server}\nroutes: [{{ name: one, {route} }}]\n"))
}

#[test]
fn a_redirect_keeps_what_follows_the_prefix_and_the_query() {
    let gateway = one("prefix: /old, redirect: { to: /new, status: 301 }");
    for (path, place) in [
        ("/old", "/new"),
        ("/old/a/b", "/new/a/b"),
        ("/old/a?x=y", "/new/a?x=y"),
        ("/old//a/../b", "/new/b"),
    ] {
        let reply = RawClient::get(gateway.addr(), path);
        assert_eq!(
            (reply.status, reply.field("location")),
            (301, Some(place)),
            "{path}"
        );
    }
}

#[test]
fn a_redirect_to_another_host_is_permanent_by_default() {
    let gateway = one("prefix: /, redirect: { to: 'https://new.example/base' }");
    let reply = RawClient::ask(
        gateway.addr(),
        get("/a?b").replace("test.example", "evil.example"),
    );
    assert_eq!(reply.status, 308);
    assert_eq!(
        reply.field("location"),
        Some("https://new.example/base/a?b")
    );
}

#[test]
fn a_fixed_reply_has_the_status_fields_and_body_of_the_config() {
    let gateway =
        one("path: /, respond: { status: 418, headers: { X-A: b }, body: 'short, stout' }");
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..2 {
        let reply = client.send(get("/")).reply();
        assert_eq!((reply.status, reply.text().as_str()), (418, "short, stout"));
        assert_eq!(reply.field("x-a"), Some("b"));
    }
    let head = client.send(get("/").replace("GET", "HEAD")).reply_to_head();
    assert_eq!(
        (head.status, head.field("content-length")),
        (418, Some("12"))
    );
    assert_eq!(client.send(get("/")).reply().status, 418);
}

fn files(folder: &Folder) -> Gateway {
    let root = folder.path().display();
    one(&format!("prefix: /static, static: {{ root: '{root}' }}"))
}

#[test]
fn files_are_served_with_type_length_and_validators() {
    let folder = Folder::new();
    folder.write("a.txt", "0123456789");
    folder.write("sub/index.html", "<p>index</p>");
    folder.write("empty", "");
    let gateway = files(&folder);
    let reply = RawClient::get(gateway.addr(), "/static/a.txt");
    assert_eq!((reply.status, reply.text().as_str()), (200, "0123456789"));
    assert!(
        reply
            .field("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    assert_eq!(reply.field("accept-ranges"), Some("bytes"));
    assert!(reply.field("last-modified").is_some());
    assert!(reply.field("etag").is_some());
    let index = RawClient::get(gateway.addr(), "/static/sub/");
    assert_eq!(index.text(), "<p>index</p>");
    let folder_without_slash = RawClient::get(gateway.addr(), "/static/sub");
    assert_eq!(folder_without_slash.field("location"), Some("/static/sub/"));
    assert_eq!(RawClient::get(gateway.addr(), "/static/empty").body, b"");
    RawClient::get(gateway.addr(), "/static/none").expect_status(404);
    let head = RawClient::ask(gateway.addr(), get("/static/a.txt").replace("GET", "HEAD"));
    assert_eq!(head.field("content-length"), Some("10"));
    let post = RawClient::ask(gateway.addr(), get("/static/a.txt").replace("GET", "POST"));
    assert_eq!((post.status, post.field("allow")), (405, Some("GET, HEAD")));
}

#[test]
fn files_are_served_in_ranges() {
    let folder = Folder::new();
    folder.write("a.txt", "0123456789");
    let gateway = files(&folder);
    let ask = |range: &str| -> RawReply {
        RawClient::ask(gateway.addr(), get_with("/static/a.txt", &[range]))
    };
    for (range, content, place) in [
        ("Range: bytes=2-4", "234", "bytes 2-4/10"),
        ("Range: bytes=7-", "789", "bytes 7-9/10"),
        ("Range: bytes=-2", "89", "bytes 8-9/10"),
        ("Range: bytes=0-999", "0123456789", "bytes 0-9/10"),
    ] {
        let reply = ask(range);
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (206, content),
            "{range}"
        );
        assert_eq!(reply.field("content-range"), Some(place));
    }
    let outside = ask("Range: bytes=10-");
    assert_eq!(
        (outside.status, outside.field("content-range")),
        (416, Some("bytes */10"))
    );
    for ignored in ["Range: lines=1-2", "Range: bytes=4-2", "Range: bytes=x"] {
        assert_eq!(ask(ignored).status, 200, "{ignored}");
    }
}

#[test]
fn files_that_have_not_changed_are_not_sent_again() {
    let folder = Folder::new();
    let path = folder.write("a.txt", "0123456789");
    let hour_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_modified(hour_ago)
        .unwrap();
    let gateway = files(&folder);
    let mut client = RawClient::connect(gateway.addr());
    let first = client.send(get("/static/a.txt")).reply();
    let etag = format!("If-None-Match: {}", first.field("etag").unwrap());
    let date = format!(
        "If-Modified-Since: {}",
        first.field("last-modified").unwrap()
    );
    for condition in [etag.as_str(), &date, "If-None-Match: *"] {
        let reply = client.send(get_with("/static/a.txt", &[condition])).reply();
        assert_eq!((reply.status, reply.body.len()), (304, 0), "{condition}");
        assert_eq!(reply.field("etag"), first.field("etag"));
    }
    let other = client
        .send(get_with("/static/a.txt", &["If-None-Match: \"x\"", &date]))
        .reply();
    assert_eq!(other.status, 200, "the tag decides");
    let stale = client
        .send(get_with("/static/a.txt", &["If-Match: \"x\""]))
        .reply();
    assert_eq!(stale.status, 412);
}

#[test]
fn a_large_file_arrives_whole() {
    let folder = Folder::new();
    let content: Vec<u8> = (0..3_000_000).map(|n| (n % 251) as u8).collect();
    folder.write("large.bin", &content);
    let gateway = files(&folder);
    let mut client = RawClient::connect(gateway.addr());
    for _ in 0..2 {
        let reply = client.send(get("/static/large.bin")).reply();
        assert!(reply.body == content);
    }
}
