//! JSON over HTTP for a gRPC service: the bookstore of `examples/`, with its config, its descriptors and a
//! server made for the test.

pub mod store;

use portway_core::Clock;
use portway_testkit::{Folder, Gateway, RawClient, RawReply, eventually};
use serde_json::{Value, json};

use crate::http2::client::{Client, get, post};
use crate::support::h2_origin::H2Origin;
use crate::support::with_body;
use crate::tls::Authority;
use store::{EXAMPLE, bookstore};

/// The example's config, before this server, with more settings of its filter.
fn yaml(origin: &H2Origin, more: &str) -> String {
    let text = std::fs::read_to_string(format!("{EXAMPLE}/config.yaml")).expect("the example");
    for part in ["0.0.0.0:8080", "127.0.0.1:50051", "bookstore.binpb "] {
        assert!(text.contains(part), "{part}");
    }
    let set = format!("{EXAMPLE}/bookstore.binpb\n          {more} ");
    text.replace("0.0.0.0:8080", "127.0.0.1:0")
        .replace("127.0.0.1:50051", &origin.addr.to_string())
        .replace("bookstore.binpb ", &set)
}

fn start(more: &str) -> (Gateway, H2Origin) {
    let origin = bookstore();
    (Gateway::start(&yaml(&origin, more)), origin)
}

fn ask(gateway: &Gateway, method: &str, target: &str, body: &str) -> RawReply {
    let length = format!("Content-Length: {}", body.len());
    let fields = ["Content-Type: application/json", &length];
    RawClient::ask(gateway.addr(), with_body(method, target, &fields, body))
}

#[track_caller]
fn json_of(reply: &RawReply, status: u16) -> Value {
    assert_eq!(
        reply.status,
        status,
        "{}",
        String::from_utf8_lossy(&reply.raw)
    );
    assert_eq!(reply.field("content-type"), Some("application/json"));
    serde_json::from_slice(&reply.body).unwrap_or_else(|e| panic!("{e}: {}", reply.text()))
}

#[track_caller]
fn gives(gateway: &Gateway, request: &str, body: &str, expected: Value) {
    let (method, target) = request.split_once(' ').expect("a method");
    let reply = ask(gateway, method, target, body);
    assert_eq!(json_of(&reply, 200), expected, "{request}");
}

#[test]
fn the_examples_commands_work() {
    let (gateway, origin) = start("");
    let g = &gateway;
    gives(
        g,
        "GET /v1/shelves",
        "",
        json!({ "shelves": [{ "name": "shelves/1", "theme": "travel" }] }),
    );
    gives(
        g,
        "POST /v1/shelves?key=secret",
        r#"{"theme": "travel"}"#,
        json!({ "name": "shelves/new", "theme": "travel" }),
    );
    gives(
        g,
        "GET /v1/shelves/1/books?filter.author=Ursula&filter.genre=NOVEL&page_size=10",
        "",
        json!([{ "name": "shelves/1/books/1", "title": "10 Ursula", "genre": "NOVEL", "copies": "9007199254740993" }]),
    );
    gives(
        g,
        "PATCH /v1/shelves/1/books/2?update_mask=title",
        r#"{"title": "Tehanu"}"#,
        json!({ "name": "shelves/1/books/2", "title": "Tehanu", "authors": ["title"] }),
    );
    gives(
        g,
        "POST /v1/shelves/1/books/2:move",
        r#"{"toShelf": "shelves/3"}"#,
        json!({ "name": "shelves/3/books/2" }),
    );
    gives(g, "DELETE /v1/shelves/1/books/2", "", json!({}));
    gives(
        g,
        "POST /v1/books:import",
        r#"[{"title": "A"}, {"title": "B"}]"#,
        json!({ "imported": 2 }),
    );
    gives(
        g,
        "POST /v1/books:import",
        "{\"title\": \"A\"}\n",
        json!({ "imported": 1 }),
    );
    let seen = origin.seen();
    let head = &seen.requests[1];
    assert_eq!(head.method, "POST");
    assert_eq!(head.uri.path(), "/bookstore.v1.Bookstore/CreateShelf");
    assert_eq!(head.uri.query(), None);
    assert_eq!(head.headers["content-type"], "application/grpc");
    assert_eq!(head.headers["te"], "trailers");
    assert!(!head.headers.contains_key("content-length") || head.headers["content-length"] != "19");
}

#[test]
fn a_body_passes_as_it_is_where_the_method_says_so() {
    let (gateway, _origin) = start("");
    let reply = RawClient::get(gateway.addr(), "/v1/shelves/1/books/2/cover");
    assert_eq!(
        reply.expect_status(200).field("content-type"),
        Some("image/png")
    );
    assert_eq!(reply.body, b"\x89PNG");
    let fields = ["Content-Type: image/gif", "Content-Length: 3"];
    let request = with_body("PUT", "/v1/shelves/1/books/2/cover", &fields, "GIF");
    let reply = RawClient::ask(gateway.addr(), request);
    assert_eq!(json_of(&reply, 200), json!({}));
}

#[test]
fn streams_are_an_array_or_lines() {
    let (gateway, _origin) = start("");
    let watch = "/v1/shelves/1/books:watch";
    gives(
        &gateway,
        &format!("GET {watch}"),
        "",
        json!([{ "title": "a" }, { "title": "b" }]),
    );
    gives(&gateway, "GET /v1/shelves/none/books:watch", "", json!([]));
    let lines = |gateway: &Gateway, target: &str, accept: &str| {
        let reply = RawClient::ask(gateway.addr(), with_body("GET", target, &[accept], ""));
        assert_eq!(reply.field("content-type"), Some("application/x-ndjson"));
        reply.expect_status(200).text()
    };
    let two = "{\"title\":\"a\"}\n{\"title\":\"b\"}\n";
    assert_eq!(lines(&gateway, watch, "Accept: application/x-ndjson"), two);
    let (other, _origin) = start("streams: ndjson");
    assert_eq!(lines(&other, watch, "Accept: */*"), two);
    let failing = "/v1/shelves/failing/books:watch";
    gives(
        &gateway,
        &format!("GET {failing}"),
        "",
        json!([{ "title": "a" }, { "error": { "code": 10, "message": "later", "details": [] } }]),
    );
    let last = lines(&gateway, failing, "Accept: application/jsonl");
    assert!(
        last.ends_with("\n{\"error\":{\"code\":10,\"details\":[],\"message\":\"later\"}}\n"),
        "{last}"
    );
}

#[test]
fn each_message_of_a_stream_is_passed_on_when_it_comes() {
    let (gateway, _origin) = start("streams: ndjson");
    let mut client = RawClient::connect(gateway.addr());
    client.send(portway_testkit::raw::get("/v1/shelves/slow/books:watch"));
    // The second message comes only after the test has seen the first.
    let head = client.try_head().expect("a head");
    assert!(head.start.contains("200"), "{}", head.start);
    assert!(store::OPEN.load(std::sync::atomic::Ordering::SeqCst) > 0);
}

#[test]
fn a_stream_that_breaks_is_no_whole_reply() {
    let (gateway, _origin) = start("");
    let mut client = RawClient::connect(gateway.addr());
    client.send(portway_testkit::raw::get("/v1/shelves/broken/books:watch"));
    assert!(client.try_reply("GET").is_err());
}

#[test]
fn a_failed_call_is_a_status_with_the_http_code_of_its_code() {
    let (gateway, _origin) = start("");
    let reply = ask(&gateway, "GET", "/v1/shelves/1/books/none", "");
    assert_eq!(reply.field("grpc-status"), None);
    assert_eq!(
        json_of(&reply, 404),
        json!({
            "code": 5,
            "message": "no such book: é",
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "NONE",
            }],
        })
    );
    // In trailers behind no message.
    let reply = ask(&gateway, "GET", "/v1/shelves/1/books/late", "");
    assert_eq!(json_of(&reply, 403)["code"], 7);
    let reply = ask(&gateway, "GET", "/v1/shelves/late/books:watch", "");
    assert_eq!(json_of(&reply, 403)["code"], 7);
}

#[track_caller]
fn refuses(reply: &RawReply, status: u16, reason: &str, message: &str) {
    let found = json_of(reply, status);
    assert_eq!(found["details"][0]["reason"], reason, "{found}");
    let said = found["message"].as_str().unwrap_or_default();
    assert!(said.contains(message), "{found}");
}

#[test]
fn what_no_method_takes_is_refused_in_words() {
    let (gateway, origin) = start("max_message: 64B");
    let g = &gateway;
    refuses(
        &ask(g, "GET", "/v2/shelves", ""),
        404,
        "NOT_FOUND",
        "no method is bound",
    );
    let reply = ask(g, "PUT", "/v1/shelves", "{}");
    refuses(&reply, 405, "METHOD_NOT_ALLOWED", "bound to GET, POST only");
    assert_eq!(reply.field("allow"), Some("GET, POST"));
    let reply = ask(g, "GET", "/v1/books?page_size=x", "");
    refuses(
        &reply,
        400,
        "BAD_REQUEST",
        "query parameter `page_size`: `x` is no 32-bit integer",
    );
    let reply = ask(g, "GET", "/v1/books?pages=1", "");
    refuses(&reply, 400, "BAD_REQUEST", "has no field `pages`");
    assert_eq!(origin.seen().requests.len(), 0);
    let reply = ask(g, "POST", "/v1/shelves", "{\"theme\": 1}");
    refuses(&reply, 400, "BAD_REQUEST", "the body: invalid type");
    let long = format!("{{\"theme\": \"{}\"}}", "x".repeat(64));
    refuses(
        &ask(g, "POST", "/v1/shelves", &long),
        413,
        "PAYLOAD_TOO_LARGE",
        "at most 64 octets",
    );
    refuses(
        &ask(g, "GET", "/v1/shelves/1/books/long", ""),
        502,
        "UPSTREAM_BAD_REPLY",
        "",
    );
    refuses(
        &ask(g, "GET", "/v1/shelves/1/books/http", ""),
        502,
        "UPSTREAM_BAD_REPLY",
        "",
    );
}

/// The request type holds itself, so that any number of names is a field. What walks a message calls itself for
/// each of them: the longest target that is read must end in a refusal, not in the end of the process.
#[test]
fn a_query_that_nests_too_deep_is_refused_and_nobody_else_notices() {
    let origin = bookstore();
    let nodes = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/grpc_json/nodes.binpb");
    let yaml = yaml(&origin, "")
        .replace(&format!("{EXAMPLE}/bookstore.binpb"), nodes)
        .replace("services: [bookstore.v1.Bookstore]", "services: [t.Nodes]");
    let gateway = Gateway::start(&yaml);
    let nested = |names: usize| {
        let target = format!("/n?{}s=x", "a.".repeat(names - 1));
        ask(&gateway, "GET", &target, "")
    };
    // It goes to the target, which knows no such method.
    assert_eq!(nested(32).status, 501);
    for names in [33, 4000, 8150] {
        refuses(&nested(names), 400, "BAD_REQUEST", "query parameter `a.a.a");
        refuses(&nested(names), 400, "BAD_REQUEST", "at most 32 names deep");
    }
    let many: String = (0..240)
        .map(|_| format!("&{}many=", "a.".repeat(31)))
        .collect();
    let reply = ask(&gateway, "GET", &format!("/n?{}", &many[1..]), "");
    assert_eq!(reply.status, 501);
    assert_eq!(nested(1).status, 501);
    assert_eq!(origin.seen().requests.len(), 3);
}

#[test]
fn unknown_fields_are_left_out_where_the_config_says_so() {
    let (gateway, _origin) = start("unknown_fields: ignore");
    gives(
        &gateway,
        "POST /v1/shelves?nothing=1",
        r#"{"theme": "t", "nothing": {"x": [1]}}"#,
        json!({ "name": "shelves/new", "theme": "t" }),
    );
}

#[test]
fn replies_are_printed_as_the_config_says() {
    let (gateway, _origin) =
        start("print: { defaults: true, enum_numbers: true, proto_names: true }");
    let reply = ask(&gateway, "GET", "/v1/shelves/1/books?filter.genre=1", "");
    let found = json_of(&reply, 200);
    assert_eq!(found[0]["genre"], 1);
    assert_eq!(found[0]["authors"], json!([]));
}

#[test]
fn methods_can_be_called_by_their_own_names() {
    let (gateway, _origin) = start("unbound_methods: true\n          prefix: /api/");
    let call = "POST /api/bookstore.v1.Bookstore/CreateShelf";
    let body = r#"{"shelf": {"theme": "x"}}"#;
    gives(
        &gateway,
        call,
        body,
        json!({ "name": "shelves/new", "theme": "x" }),
    );
    gives(&gateway, "GET /api/v1/books", "", json!({}));
    assert_eq!(ask(&gateway, "GET", "/v1/books", "").status, 404);
}

#[test]
fn calls_that_are_grpc_already_pass_untouched() {
    let (gateway, _origin) = start("");
    let fields = ["Content-Type: application/grpc", "Content-Length: 5"];
    let path = "/bookstore.v1.Bookstore/ListShelves";
    let reply = RawClient::ask(
        gateway.addr(),
        with_body("POST", path, &fields, "\0\0\0\0\0"),
    );
    assert_eq!(
        reply.expect_status(200).field("content-type"),
        Some("application/grpc+proto")
    );
    assert_eq!(&reply.body[..4], b"\0\0\0\0");
    let refused = with_body("POST", "/no.Such/Call", &fields, "\0\0\0\0\0");
    let reply = RawClient::ask(gateway.addr(), refused);
    assert_eq!(reply.field("grpc-status"), Some("12"));
    // Other requests may pass, too.
    let (gateway, origin) = start("unmatched: pass");
    let reply = RawClient::get(gateway.addr(), "/bookstore/plain");
    assert_eq!(reply.text(), "plain");
    assert_eq!(origin.seen().requests[0].method, "GET");
}

#[test]
fn a_target_that_stalls_in_its_reply_ends_with_a_status_in_time() {
    let origin = bookstore();
    let yaml = yaml(&origin, "").replace(
        "prefix: /\n",
        "prefix: /\n    timeouts: { request: 300ms }\n",
    );
    let gateway = Gateway::start(&yaml);
    let reply = ask(&gateway, "GET", "/v1/shelves/1/books/stalled", "");
    refuses(&reply, 504, "UPSTREAM_TIMEOUT", "");
    // Once a stream has begun, its last value says it.
    let reply = ask(&gateway, "GET", "/v1/shelves/slow/books:watch", "");
    let values = json_of(&reply, 200);
    assert_eq!(values[0], json!({ "title": "a" }));
    assert_eq!(values[1]["error"]["code"], 4, "{values}");
    gives(&gateway, "DELETE /v1/shelves/1/books/2", "", json!({}));
}

#[test]
fn a_client_that_leaves_cancels_its_call() {
    let (gateway, origin) = start("");
    let mut client = RawClient::connect(gateway.addr());
    client.send(portway_testkit::raw::get("/v1/shelves/1/books/stalled"));
    eventually("the call runs", || origin.seen().active == 1);
    client.reset();
    eventually("the call ends", || origin.seen().active == 0);
}

#[test]
fn log_and_metrics_show_what_the_client_asked_and_how_the_call_ended() {
    let origin = bookstore();
    let folder = Folder::new();
    let log = folder.path().join("access.log");
    let yaml = format!(
        "{}global_filters: [ {{ logging: {{ format: json, output: \"{}\" }} }} ]\n",
        yaml(&origin, ""),
        log.display()
    );
    let gateway = Gateway::start(&yaml);
    let _ = ask(&gateway, "GET", "/v1/shelves/1/books/none?key=1", "");
    let line = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("it is logged", || line().lines().count() == 1);
    let line: Value = serde_json::from_str(&line()).expect("JSON");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["path"], "/v1/shelves/1/books/none");
    assert_eq!(line["status_code"], 404);
    assert_eq!(line["grpc_status"], 5);
}

#[test]
fn clients_of_http2_are_served_alike() {
    let (gateway, _origin) = start("");
    let mut client = Client::connect(gateway.addr());
    let reply = client.send(get("/v1/shelves"), b"");
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["content-type"], "application/json");
    assert!(reply.trailers.is_none());
    let reply = client.send(post("/v1/books:import"), b"{\"title\":\"a\"}\n{}\n");
    assert_eq!(reply.text(), r#"{"imported":2}"#);
}

#[test]
fn a_descriptor_set_that_changes_is_read_again() {
    let origin = bookstore();
    let folder = Folder::new();
    let file = folder.path().join("set.binpb");
    std::fs::copy(format!("{EXAMPLE}/bookstore.binpb"), &file).expect("a copy");
    let yaml = yaml(&origin, "").replace(
        &format!("{EXAMPLE}/bookstore.binpb"),
        &file.display().to_string(),
    );
    let gateway = Gateway::start(&yaml);
    gives(&gateway, "GET /v1/books", "", json!({}));
    std::fs::write(&file, store::renamed("/v1/books", "/v9/books")).expect("a change");
    gateway.reload(&yaml).expect("a reload");
    gives(&gateway, "GET /v9/books", "", json!({}));
    std::fs::write(&file, "broken").expect("a change");
    assert!(
        gateway
            .reload(&yaml)
            .expect_err("it is refused")
            .contains("descriptor set")
    );
    gives(&gateway, "GET /v9/books", "", json!({}));
}

#[test]
fn a_service_tells_its_descriptors_by_reflection() {
    for version in ["v1", "v1alpha"] {
        let origin = store::reflecting(version);
        let yaml = yaml(&origin, "").replace(
            &format!("{EXAMPLE}/bookstore.binpb"),
            &format!("grpc://{}", origin.addr),
        );
        let gateway = Gateway::start(&yaml);
        gives(&gateway, "DELETE /v1/shelves/1/books/2", "", json!({}));
    }
    let without = bookstore();
    let yaml = yaml(&without, "").replace(
        &format!("{EXAMPLE}/bookstore.binpb"),
        &format!("grpc://{}", without.addr),
    );
    let refused = Gateway::try_start(&yaml, Clock::system())
        .err()
        .unwrap_or_default();
    assert!(
        refused.contains("it does not offer server reflection"),
        "{refused}"
    );
}

/// A bookstore that tells its descriptors, over TLS, to those alone who have a certificate. The gateway's
/// config reaches it as one of its upstreams' targets.
#[test]
fn a_service_behind_tls_tells_its_descriptors_to_its_upstream() {
    let (ca, origin) = (Authority::new(), store::reflecting("v1"));
    let cert = ca.issue("books", &["localhost"]);
    ca.client("gw", 7);
    let path = |name: &str| ca.path(name);
    let front = Gateway::start(&format!(
        "server: {{ workers: 1 }}\n\
         listeners: [ {{ name: public, bind: \"127.0.0.1:0\", protocol: https, tls: {{ certificates: [ {cert} ], \
         client_auth: {{ ca: {}, mode: required }} }} }} ]\n\
         upstreams: [ {{ name: books, targets: [ {{ addr: \"grpc://{}\" }} ] }} ]\n\
         routes: [ {{ name: all, prefix: /, upstream: books }} ]\n",
        path("ca.pem"),
        origin.addr
    ));
    let url = format!("grpcs://localhost:{}", front.addr().port());
    let yaml = |tls: &str| {
        format!(
            "server: {{ workers: 1 }}\n\
             listeners: [ {{ name: public, bind: \"127.0.0.1:0\" }} ]\n\
             upstreams: [ {{ name: books, targets: [ {{ addr: \"{url}\" }} ], tls: {{ {tls} }} }} ]\n\
             routes: [ {{ name: all, prefix: /, upstream: books, rewrite: {{ host: localhost }}, filters: [ {{ grpc_json: {{ descriptors: \"{url}\" }} }} ] }} ]\n"
        )
    };
    let known = format!(
        "ca: {}, client_cert: {}, client_key: {}",
        path("ca.pem"),
        path("gw.pem"),
        path("gw.key")
    );
    let gateway = Gateway::start(&yaml(&known));
    gives(&gateway, "DELETE /v1/shelves/1/books/2", "", json!({}));
    let refused = |tls: &str| {
        let started = Gateway::try_start(&yaml(tls), Clock::system());
        started.err().unwrap_or_default()
    };
    let stranger = refused(&format!("ca: {}", path("ca.pem")));
    assert!(
        stranger.contains("no descriptors from grpcs://"),
        "{stranger}"
    );
    let other = Authority::new();
    let untrusted = refused(&format!("ca: {}", other.path("ca.pem")));
    assert!(untrusted.contains("TLS: "), "{untrusted}");
}
