//! Heads of HTTP/1: reading one, hygiene included, and writing it anew for the other side.
//!
//! The request is a browser's, the reply an application's. `request_odd` has what hygiene must work
//! for: an absolute form with an upper-case host, dot segments, an escaped path, `Connection` options
//! and forwarded fields of a proxy that is not trusted.

use std::hint::black_box;

use bytes::Bytes;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName};
use portway_http::h1::parse::{self, HeadLimits};
use portway_http::h1::serialize::{self, DateCache, Persistence};
use portway_http::hygiene::framing::Framing;
use portway_http::{Body, Exchange, HostField, OwnFields, Reply, Request};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const REQUEST: &str = "GET /api/v1/orders/42/items?page=2&sort=-created HTTP/1.1\r\n\
    Host: shop.example.com\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    Accept: application/json, text/plain, */*\r\n\
    Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Referer: https://shop.example.com/orders\r\n\
    Connection: keep-alive\r\n\
    Cookie: session=0123456789abcdef0123456789abcdef; theme=dark\r\n\
    If-None-Match: \"5f2b-61c3\"\r\n\r\n";

const REQUEST_ODD: &str = "POST http://Shop.Example.COM:8080/a/./b/%7Euser/../c%20d?q=1 HTTP/1.1\r\n\
    Host: shop.example.com:8080\r\n\
    Connection: close, X-Hop, Keep-Alive\r\n\
    Keep-Alive: timeout=5\r\n\
    X-Hop: 1\r\n\
    TE: trailers\r\n\
    X-Forwarded-For: 198.51.100.7, 203.0.113.9\r\n\
    X-Forwarded-Proto: https\r\n\
    Forwarded: for=198.51.100.7;proto=https\r\n\
    Content-Type: application/json\r\n\
    Content-Length: 128\r\n\r\n";

const REPLY: &str = "HTTP/1.1 200 OK\r\n\
    Date: Tue, 04 Aug 2026 10:00:00 GMT\r\n\
    Server: app\r\n\
    Content-Type: application/json; charset=utf-8\r\n\
    Content-Length: 128\r\n\
    Cache-Control: private, max-age=0\r\n\
    ETag: \"5f2b-61c4\"\r\n\
    Vary: Accept-Encoding\r\n\
    Set-Cookie: theme=dark; Path=/; Secure; HttpOnly; SameSite=Lax\r\n\
    Connection: keep-alive\r\n\r\n";

/// Reads a request's head into `request`, whose buffers have grown before.
fn read_request(head: &Bytes, limits: &HeadLimits, request: &mut Request) -> Framing {
    request.clear();
    let end = parse::head_end(head, &mut 0).expect("lines end in CRLF");
    assert_eq!(end, Some(head.len()));
    let read = parse::request_head(head, limits, false, request);
    read.expect("a good head").framing
}

fn requests(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    let limits = HeadLimits::default();
    for (name, text) in [("request", REQUEST), ("request_odd", REQUEST_ODD)] {
        let head = Bytes::from_static(text.as_bytes());
        let mut exchange = Exchange::blank();
        let framing = read_request(&head, &limits, &mut exchange.request);
        group.bench_function(format!("{name}_read"), |bencher| {
            bencher.iter(|| read_request(black_box(&head), &limits, &mut exchange.request));
        });
        let host = HostField {
            name: "shop.example.com",
            port: None,
        };
        let mut out = Vec::with_capacity(4096);
        group.bench_function(format!("{name}_write"), |bencher| {
            bencher.iter(|| {
                out.clear();
                serialize::request_head(&mut out, black_box(&exchange), host, framing);
                out.len()
            });
        });
    }
    group.finish();
}

/// What request_id and a rate limit add.
fn own_fields() -> OwnFields {
    let mut own = OwnFields::default();
    let id: &[u8] = b"019a8f3e-5c1d-7f00-8a11-3f5e6d7c8b9a";
    own.set(&HeaderName::from_static("x-request-id"), &[id]);
    own.append(
        &HeaderName::from_static("ratelimit"),
        &[b"\"route\";r=1999;t=1"],
    );
    own
}

fn replies(c: &mut Criterion) {
    let mut group = c.benchmark_group("head");
    let head = Bytes::from_static(REPLY.as_bytes());
    let mut spare = HeaderMap::new();
    group.bench_function("reply_read", |bencher| {
        bencher.iter(|| {
            spare.clear();
            let end = parse::head_end(black_box(&head), &mut 0);
            assert_eq!(end, Ok(Some(head.len())));
            let read = parse::reply_head(&head, false, std::mem::take(&mut spare));
            spare = read.expect("a good head").headers;
        });
    });
    let read = parse::reply_head(&head, false, HeaderMap::new()).expect("a good head");
    let mut reply = Reply::new(read.status, Body::Empty);
    reply.headers = read.headers;
    let own = own_fields();
    let date = DateCache::new(1_785_837_600);
    let mut out = Vec::with_capacity(4096);
    group.bench_function("reply_write", |bencher| {
        bencher.iter(|| {
            out.clear();
            let keep = Persistence::KeepAlive;
            serialize::reply_head(&mut out, black_box(&reply), &own, read.framing, keep, &date);
            out.len()
        });
    });
    group.finish();
}

criterion_group!(benches, requests, replies);
criterion_main!(benches);
