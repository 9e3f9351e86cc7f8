use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use portway_core::ProxyError;
use portway_http::grpc::messages::Messages;
use portway_http::{Body, Frame};
use prost_reflect::{DescriptorPool, DynamicMessage};

use super::ask::Reading;
use super::overlay::{Overlay, QueryRules, Unknown};
use super::rules::{Problem, Rule, Rules, Selection, compile, read};
use super::testing::{pool_of, set_of};
use super::tree::Found;

mod deep;

/// The examples of google/api/http.proto, and what they leave out.
const EXAMPLES: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/struct.proto";

service Messaging {
  rpc GetByName(ByName) returns (Message) {
    option (google.api.http) = { get: "/v1/{name=messages/*}" };
  }
  rpc GetWithQuery(WithQuery) returns (Message) {
    option (google.api.http) = { get: "/v1/messages/{message_id}/part" };
  }
  rpc UpdateField(Update) returns (Message) {
    option (google.api.http) = { patch: "/v1/messages/{message_id}" body: "message" };
  }
  rpc UpdateAll(Message) returns (Message) {
    option (google.api.http) = { put: "/v1/messages/{message_id}" body: "*" };
  }
  rpc GetEither(Either) returns (Message) {
    option (google.api.http) = {
      get: "/v2/messages/{message_id}"
      additional_bindings { get: "/v2/users/{user_id}/messages/{message_id}" }
    };
  }
  rpc Deep(Everything) returns (Everything) {
    option (google.api.http) = { get: "/deep/{inner.name=a/**}:look" };
  }
  rpc Every(Everything) returns (Everything) {
    option (google.api.http) = { custom { kind: "REPORT" path: "/every" } };
  }
  rpc Any(Everything) returns (Everything) {
    option (google.api.http) = { custom { kind: "*" path: "/any/{i32}" } body: "*" };
  }
  rpc Upload(Uploading) returns (Message) {
    option (google.api.http) = { post: "/files/{name}" body: "file" };
  }
  rpc Pour(stream Message) returns (Message) {
    option (google.api.http) = { post: "/pour/{message_id}" body: "*" };
  }
  rpc Bare(Message) returns (Message);
}

message ByName { string name = 1; }
message WithQuery {
  message Sub { string subfield = 1; }
  string message_id = 1;
  int64 revision = 2;
  Sub sub = 3;
}
message Message { string message_id = 1; string text = 2; }
message Update { string message_id = 1; Message message = 2; string other = 3; }
message Either { string message_id = 1; string user_id = 2; }
message Uploading { string name = 1; google.api.HttpBody file = 2; }
enum Color { COLOR_NONE = 0; RED = 3; }
message Everything {
  message Inner { string name = 1; repeated int32 numbers = 2; Inner inner = 3; }
  Inner inner = 1;
  int32 i32 = 2; int64 i64 = 3; uint32 u32 = 4; uint64 u64 = 5;
  float f32 = 6; double f64 = 7; bool is_good = 8; string text = 9; bytes data = 10;
  Color color = 11; repeated Color colors = 12;
  google.protobuf.Timestamp at = 13; google.protobuf.Duration took = 14;
  google.protobuf.FieldMask mask = 15; google.protobuf.Int64Value wrapped = 16;
  google.protobuf.BoolValue flag = 17; google.protobuf.Struct struct = 18;
  map<string, string> map = 19; repeated Inner inners = 20;
  string renamed = 21 [json_name = "otherName"];
}
"#;

fn rules_of(pool: &DescriptorPool, unbound: bool) -> (Rules, Vec<Problem>) {
    let mut problems = Vec::new();
    let selection = Selection {
        services: Vec::new(),
        unbound,
    };
    let rules = compile(pool, &selection, &mut problems);
    (rules, problems)
}

struct Examples {
    rules: Rules,
    query: QueryRules,
    message_bytes_max: usize,
}

impl Examples {
    fn new() -> Examples {
        let (rules, problems) = rules_of(&pool_of(EXAMPLES), true);
        assert_eq!(problems, []);
        Examples {
            rules,
            query: QueryRules::default(),
            message_bytes_max: 64,
        }
    }

    fn ignoring() -> Examples {
        let mut examples = Examples::new();
        examples.query.unknown = Unknown::Ignore;
        examples
    }

    fn rule(&self, method: &str, path: &str) -> (Arc<Rule>, Vec<String>) {
        let mut segments = Vec::new();
        match self.rules.find(method, path, &mut segments) {
            Found::Value(rule) => {
                let segments = segments.into_iter().map(str::to_owned).collect();
                (Arc::clone(rule), segments)
            }
            other => panic!("{method} {path}: {other:?}"),
        }
    }

    /// The method and the messages that a request becomes, as JSON.
    fn ask(&self, request: &str, pieces: Vec<&'static str>) -> Result<String, String> {
        let (method, target) = request.split_once(' ').unwrap();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let (rule, segments) = self.rule(method, path);
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let overlay = Overlay::read(&rule, &segments, query, &self.query)?;
        let reading = Reading {
            rule: Arc::clone(&rule),
            unknown: self.query.unknown,
            message_bytes_max: self.message_bytes_max,
            content_type: "text/x".into(),
        };
        let body = if pieces.is_empty() {
            Body::Empty
        } else {
            Body::Stream(Box::pin(Given(pieces)))
        };
        let mut body = reading.body(body, overlay).map_err(detail)?;
        let mut messages = Messages::new(1000);
        let mut shown = rule.method.name.rsplit('.').next().unwrap().to_owned();
        while let Some(frame) = now(body.frame()) {
            let Frame::Data(data) = frame.map_err(detail)? else {
                panic!("trailers");
            };
            messages.push(&data);
            while let Some(message) = messages.take().unwrap() {
                let message = DynamicMessage::decode(rule.method.input.clone(), message.data);
                let json = serde_json::to_string(&message.unwrap()).unwrap();
                shown.push_str(&format!(" {json}"));
            }
        }
        assert!(messages.is_empty());
        assert!(body.is_empty());
        Ok(shown)
    }

    #[track_caller]
    fn gives(&self, request: &str, body: &'static str, expected: &str) {
        let body = if body.is_empty() { vec![] } else { vec![body] };
        assert_eq!(self.ask(request, body).unwrap(), expected, "{request}");
    }

    #[track_caller]
    fn refuses(&self, request: &str, body: &'static str, why: &str) {
        let body = if body.is_empty() { vec![] } else { vec![body] };
        let error = self.ask(request, body).expect_err(request);
        assert!(error.contains(why), "{request}: {error}");
    }
}

fn detail(error: ProxyError) -> String {
    error.detail.into()
}

/// A body that comes piece by piece.
struct Given(Vec<&'static str>);

impl portway_http::BodyStream for Given {
    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> portway_http::body::PollFrame {
        if self.0.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.0.remove(0);
        Poll::Ready(Some(Ok(Frame::Data(piece.into()))))
    }

    fn length(&self) -> portway_http::BodyLength {
        portway_http::BodyLength::Unknown
    }
}

fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

#[test]
fn requests_become_messages_as_http_proto_says() {
    let examples = Examples::new();
    let e = &examples;
    e.gives(
        "GET /v1/messages/123456",
        "",
        r#"GetByName {"name":"messages/123456"}"#,
    );
    e.gives(
        "GET /v1/messages/123456/part?revision=2&sub.subfield=foo",
        "",
        r#"GetWithQuery {"messageId":"123456","revision":"2","sub":{"subfield":"foo"}}"#,
    );
    e.gives(
        "PATCH /v1/messages/123456",
        r#"{ "text": "Hi!" }"#,
        r#"UpdateField {"messageId":"123456","message":{"text":"Hi!"}}"#,
    );
    e.gives(
        "PUT /v1/messages/123456",
        r#"{ "text": "Hi!" }"#,
        r#"UpdateAll {"messageId":"123456","text":"Hi!"}"#,
    );
    e.gives("GET /v2/messages/1", "", r#"GetEither {"messageId":"1"}"#);
    e.gives(
        "GET /v2/users/me/messages/1",
        "",
        r#"GetEither {"messageId":"1","userId":"me"}"#,
    );
    e.gives(
        "POST /t.Messaging/Bare",
        r#"{"text":"x"}"#,
        r#"Bare {"text":"x"}"#,
    );
    e.gives(
        "GET /deep/a/b%20c/d%2Fe:look?text=1",
        "",
        r#"Deep {"inner":{"name":"a/b c/d%2Fe"},"text":"1"}"#,
    );
}

#[test]
fn query_parameters_become_fields_of_every_type() {
    let examples = Examples::new();
    for (query, json) in [
        (
            "i32=-1&i64=-2&u32=3&u64=4",
            r#"{"i32":-1,"i64":"-2","u32":3,"u64":"4"}"#,
        ),
        ("f32=1.5&f64=-Infinity", r#"{"f32":1.5,"f64":"-Infinity"}"#),
        ("is_good=true", r#"{"isGood":true}"#),
        ("isGood=true", r#"{"isGood":true}"#),
        ("text=a+b%2Bc%26", r#"{"text":"a b+c&"}"#),
        ("data=_-8", r#"{"data":"/+8="}"#),
        ("data=/%2B8%3D", r#"{"data":"/+8="}"#),
        ("color=RED", r#"{"color":"RED"}"#),
        ("color=3", r#"{"color":"RED"}"#),
        (
            "colors=RED&colors=0&colors=7",
            r#"{"colors":["RED","COLOR_NONE",7]}"#,
        ),
        (
            "at=2026-01-02T03:04:05Z",
            r#"{"at":"2026-01-02T03:04:05Z"}"#,
        ),
        ("took=1.5s", r#"{"took":"1.500s"}"#),
        ("mask=a.b,cD", r#"{"mask":"a.b,cD"}"#),
        ("wrapped=5&flag=false", r#"{"wrapped":"5","flag":false}"#),
        (
            "inner.inner.name=x&inner.numbers=1&inner.numbers=2",
            r#"{"inner":{"numbers":[1,2],"inner":{"name":"x"}}}"#,
        ),
        ("otherName=1", r#"{"otherName":"1"}"#),
        ("renamed=1&", r#"{"otherName":"1"}"#),
        ("", "{}"),
    ] {
        let expected = format!("Every {json}");
        examples.gives(&format!("REPORT /every?{query}"), "", &expected);
    }
}

#[test]
fn query_parameters_that_no_field_can_hold_are_refused_by_name() {
    let examples = Examples::new();
    for (query, why) in [
        ("i32=x", "`i32`: `x` is no 32-bit integer"),
        ("u32=-1", "`-1` is no unsigned 32-bit integer"),
        ("i64=9223372036854775808", "no 64-bit integer"),
        ("f64=inf", "`inf` is no number"),
        ("f32=1e60", "a float holds"),
        ("is_good=1", "no bool: true or false"),
        ("data=*", "no base64"),
        ("color=BLUE", "no value of t.Color"),
        ("at=yesterday", "no Timestamp"),
        ("nothing=1", "t.Everything has no field `nothing`"),
        ("inner=1", "`inner` is a message; name one of its fields"),
        ("struct=1", "`struct` is a message"),
        ("map=1", "`map` is a map"),
        ("inners.name=1", "`inners` has no fields"),
        ("text.x=1", "`text` has no fields"),
        ("text=1&text=2", "it stands there twice"),
        ("text=%FF", "no UTF-8"),
    ] {
        examples.refuses(&format!("REPORT /every?{query}"), "", why);
    }
}

#[test]
fn a_query_cannot_say_what_path_or_body_say() {
    let examples = Examples::new();
    let e = &examples;
    e.refuses("GET /v1/messages/1?name=x", "", "the path has this field");
    e.refuses(
        "GET /deep/a:look?inner.name=x",
        "",
        "the path has this field",
    );
    e.refuses(
        "PATCH /v1/messages/1?message.text=x",
        "{}",
        "the body has this field",
    );
    e.refuses("PUT /v1/messages/1?text=x", "{}", "the body has all fields");
    e.gives(
        "PATCH /v1/messages/1?other=x",
        "{}",
        r#"UpdateField {"messageId":"1","message":{},"other":"x"}"#,
    );
    let ignoring = Examples::ignoring();
    ignoring.gives(
        "GET /v1/messages/1?name=x&y=2",
        "",
        r#"GetByName {"name":"messages/1"}"#,
    );
    ignoring.refuses("REPORT /every?i32=x", "", "no 32-bit integer");
    let mut some = Examples::new();
    some.query.ignored = vec!["key".into()];
    some.gives(
        "GET /v1/messages/1?key=x",
        "",
        r#"GetByName {"name":"messages/1"}"#,
    );
    some.refuses("GET /v1/messages/1?kez=x", "", "has no field `kez`");
}

#[test]
fn what_the_path_says_is_final() {
    let examples = Examples::new();
    examples.gives(
        "LOCK /any/0",
        r#"{"i32":5,"text":"x"}"#,
        r#"Any {"text":"x"}"#,
    );
    examples.gives(
        "PUT /v1/messages/1",
        r#"{"messageId":"2"}"#,
        r#"UpdateAll {"messageId":"1"}"#,
    );
    examples.refuses(
        "GET /any/x",
        "",
        "`i32` in the path: `x` is no 32-bit integer",
    );
    examples.refuses("GET /v1/messages/%FF", "", "`name` in the path is no UTF-8");
}

#[test]
fn bodies_that_are_no_message_are_refused() {
    let examples = Examples::new();
    let e = &examples;
    e.refuses("PUT /v1/messages/1", "{", "the body: EOF");
    e.refuses("PUT /v1/messages/1", "{} {}", "trailing characters");
    e.refuses("PUT /v1/messages/1", "[]", "the body: invalid type");
    e.refuses(
        "PUT /v1/messages/1",
        r#"{"x":1}"#,
        "the body: unrecognized field name 'x'",
    );
    e.refuses(
        "PUT /v1/messages/1",
        r#"{"text":1}"#,
        "the body: invalid type",
    );
    e.refuses(
        "PATCH /v1/messages/1",
        r#"{},"other":"x""#,
        "trailing characters",
    );
    let long = r#"{"text":"0123456789012345678901234567890123456789012345678901234567890"}"#;
    e.refuses("PUT /v1/messages/1", long, "at most 64 octets");
    let ignoring = Examples::ignoring();
    ignoring.gives(
        "PUT /v1/messages/1",
        r#"{"x":1}"#,
        r#"UpdateAll {"messageId":"1"}"#,
    );
    ignoring.gives("PUT /v1/messages/1", "", r#"UpdateAll {"messageId":"1"}"#);
}

#[test]
fn a_body_that_nests_too_deep_is_refused() {
    let mut examples = Examples::new();
    examples.query = QueryRules::default();
    let (rule, _) = examples.rule("LOCK", "/any/1");
    let reading = Reading {
        rule,
        unknown: Unknown::Reject,
        message_bytes_max: 1 << 20,
        content_type: "".into(),
    };
    let text = format!("{}{}", r#"{"inner":"#.repeat(50_000), "}".repeat(50_000));
    let body = Body::from(text.into_bytes());
    let mut body = reading.body(body, Overlay::default()).unwrap();
    let error = now(body.frame()).unwrap().unwrap_err();
    assert!(error.detail.contains("recursion limit"), "{error}");
}

#[test]
fn a_raw_body_passes_as_it_is() {
    let examples = Examples::new();
    examples.gives(
        "POST /files/x",
        "<raw>",
        r#"Upload {"name":"x","file":{"contentType":"text/x","data":"PHJhdz4="}}"#,
    );
}

#[test]
fn many_values_become_many_messages_and_the_first_has_what_the_path_says() {
    let examples = Examples::new();
    let expected = r#"Pour {"messageId":"1","text":"a"} {"text":"b"}"#;
    for pieces in [
        vec![r#"[{"text":"a"},{"te"#, r#"xt":"b"}]"#],
        vec!["{\"text\":\"a\"}\n", "{\"text\":\"b\"}\n"],
    ] {
        assert_eq!(examples.ask("POST /pour/1", pieces).unwrap(), expected);
    }
    examples.gives("POST /pour/1", "[]", "Pour");
    examples.refuses("POST /pour/1", "[{}", "ends in the middle");
    examples.refuses("POST /pour/1", "[{\"text\":1}]", "the body: invalid type");
}

fn problems_of(text: &'static str, unbound: bool) -> Vec<String> {
    let (_, problems) = rules_of(&pool_of(text), unbound);
    let shown = problems.iter().map(|p| {
        let level = if p.is_warning { "warning" } else { "error" };
        format!("{level}: {} ({})", p.what, p.hint)
    });
    shown.collect()
}

#[test]
fn says_what_is_wrong_with_bindings() {
    let text = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
message M { string name = 1; repeated string names = 2; M m = 3; }
service S {
  rpc Bad(M) returns (M) { option (google.api.http) = { get: "/v1/{name" }; }
  rpc None(M) returns (M) { option (google.api.http) = { get: "/v1/{nam}" }; }
  rpc Many(M) returns (M) { option (google.api.http) = { get: "/v1/{names}" }; }
  rpc Whole(M) returns (M) { option (google.api.http) = { get: "/v1/{m}" }; }
  rpc Body(M) returns (M) { option (google.api.http) = { post: "/v1" body: "nam" }; }
  rpc Reply(M) returns (M) { option (google.api.http) = { get: "/v2" response_body: "zzzzzz" }; }
  rpc Pathless(M) returns (M) { option (google.api.http) = { body: "*" }; }
  rpc One(M) returns (M) { option (google.api.http) = { get: "/v3/{name}" }; }
  rpc Two(M) returns (M) { option (google.api.http) = { get: "/v3/{m.name}" }; }
}
"#;
    let expected = [
        "error: `GET /v1/{name` of t.S.Bad: bad path template: a variable ends with `}` (at octet 10) (a template is like /v1/shelves/{shelf}/books/{book=**}:verb)",
        "error: `GET /v1/{nam}` of t.S.None: the variable `nam`: t.M has no field `nam` (name a single field of the request that is no message)",
        "error: `GET /v1/{names}` of t.S.Many: the variable `names`: `names` is repeated (name a single field of the request that is no message)",
        "error: `GET /v1/{m}` of t.S.Whole: the variable `m`: `m` is a message; name one of its fields (name a single field of the request that is no message)",
        "error: `POST /v1` of t.S.Body: `body: nam`: t.M has no such field (did you mean `name`?)",
        "error: `GET /v2` of t.S.Reply: `response_body: zzzzzz`: t.M has no such field (it has name, names, m)",
        "error: `google.api.http` of t.S.Pathless names no method and path (set one of get, put, post, delete, patch, custom)",
        "warning: `GET /v3/{m.name}` of t.S.Two is never used: `GET /v3/{name=*}` of t.S.One matches the same requests, and comes first (change one of the two paths, or leave one service out)",
    ];
    assert_eq!(problems_of(text, false), expected);
    let broken = "/../portway-plan/tests/broken/72-grpc-json.binpb";
    is_committed(
        &set_of(text),
        &format!("{}{broken}", env!("CARGO_MANIFEST_DIR")),
    );
}

/// With `UPDATE_GOLDEN=1` the committed set is made anew.
fn is_committed(set: &[u8], file: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, set).unwrap();
    }
    assert!(std::fs::read(file).unwrap() == set, "{file}");
}

#[test]
fn a_set_without_bindings_is_no_use_unless_unbound_methods_are_taken() {
    let text = "syntax = \"proto3\"; package t; message M {} service S { rpc A(M) returns (M); }";
    let problems = problems_of(text, false);
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("error: binds no method"),
        "{problems:?}"
    );
    assert_eq!(problems_of(text, true), Vec::<String>::new());
}

#[test]
fn an_incomplete_set_says_how_to_make_a_whole_one() {
    let whole = pool_of(EXAMPLES);
    let file = whole.get_file_by_name("test.proto").unwrap();
    let mut alone = vec![0x0a];
    let bytes = file.encode_to_vec();
    prost::encoding::encode_varint(bytes.len() as u64, &mut alone);
    alone.extend(bytes);
    let problem = read(&alone).unwrap_err();
    assert!(problem.hint.contains("--include_imports"), "{problem:?}");
    assert!(read(b"\xff\xff not a set").is_err());
    assert!(read(&set_of(EXAMPLES)).is_ok());
}

#[test]
fn services_are_found_by_name() {
    let pool = pool_of(EXAMPLES);
    let mut problems = Vec::new();
    let selection = Selection {
        services: vec!["t.Messagin".into()],
        unbound: false,
    };
    compile(&pool, &selection, &mut problems);
    assert_eq!(problems[0].service, Some(0));
    assert_eq!(problems[0].hint, "did you mean `t.Messaging`?");
}

#[test]
fn the_bookstores_set_is_what_its_proto_says() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/bookstore");
    let proto = std::fs::read_to_string(format!("{folder}/bookstore.proto")).unwrap();
    let set = set_of(proto.leak());
    is_committed(&set, &format!("{folder}/bookstore.binpb"));
    let (_, problems) = rules_of(&DescriptorPool::decode(&*set).unwrap(), false);
    assert_eq!(problems, []);
}
