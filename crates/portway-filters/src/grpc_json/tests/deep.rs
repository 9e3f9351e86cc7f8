//! What nests: in requests, in replies, in what a service tells of itself. Each of these has a limit, since what
//! walks it calls itself for every level, and a stack that is used up ends the process.

use super::*;
use crate::grpc_json::field::NAMES_MAX;

/// A message that holds its own type, and every other; the e2e tests and the fuzzer use its set.
const NODE: &str = r#"
syntax = "proto3";
package t;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/field_mask.proto";
import "google/protobuf/wrappers.proto";
enum Color { NONE = 0; RED = 3; }
message Node {
  string s = 1; Node a = 2; repeated string many = 3; repeated int32 numbers = 4; double d = 5; bool b = 6;
  bytes octets = 7; Color color = 8; map<string, Node> map = 9; uint64 u = 10; repeated Node nodes = 11;
  google.protobuf.Timestamp at = 12; google.protobuf.FieldMask mask = 13; google.protobuf.Int64Value wrapped = 14;
  oneof one { string x = 15; Node y = 16; }
}
service Nodes {
  rpc Get(Node) returns (Node) { option (google.api.http) = { get: "/n" }; }
  rpc Bound(Node) returns (Node) { option (google.api.http) = { post: "/b/{a.s=x/*}/{u}" body: "y" }; }
}
"#;

fn nodes(unknown: Unknown) -> Examples {
    let (rules, problems) = rules_of(&pool_of(NODE), false);
    assert_eq!(problems, []);
    let query = QueryRules {
        unknown,
        ..QueryRules::default()
    };
    Examples {
        rules,
        query,
        message_bytes_max: 1000,
    }
}

fn asks(names: usize) -> String {
    format!("GET /n?{}s=x", "a.".repeat(names - 1))
}

#[test]
fn a_query_parameter_names_fields_to_a_depth_and_no_deeper() {
    let all = nodes(Unknown::Reject);
    let whole = format!(
        "Get {}{}{}",
        r#"{"a":"#.repeat(NAMES_MAX - 1),
        r#"{"s":"x"}"#,
        "}".repeat(NAMES_MAX - 1)
    );
    all.gives(&asks(NAMES_MAX), "", &whole);
    let limit = "a field is at most 32 names deep, and it has more";
    for names in [NAMES_MAX + 1, 8 * 1024, 500_000] {
        all.refuses(&asks(names), "", limit);
        // It could name a field, so it is not left out as one that names none.
        nodes(Unknown::Ignore).refuses(&asks(names), "", limit);
    }
    // Short, so that a refusal is no larger than what it refuses.
    let error = all.ask(&asks(8 * 1024), vec![]).unwrap_err();
    assert!(error.contains("`a.a.a.a."), "{error}");
    assert!(error.len() < 200, "{error}");
}

#[test]
fn how_deep_a_parameter_is_counts_before_what_it_names() {
    let deep = format!("GET /n?{}=1", ["zz"; NAMES_MAX + 1].join("."));
    nodes(Unknown::Reject).refuses(&deep, "", "at most 32 names deep");
    let less = format!("GET /n?{}=1", ["zz"; NAMES_MAX].join("."));
    nodes(Unknown::Reject).refuses(&less, "", "t.Node has no field `zz`");
}

#[test]
fn a_variable_of_a_template_is_no_deeper_than_a_parameter() {
    let variable = |names: usize| format!("{}s", "a.".repeat(names - 1));
    let text = |names: usize| NODE.replace("\"/n\"", &format!("\"/n/{{{}}}\"", variable(names)));
    assert_eq!(problems_of(text(NAMES_MAX).leak(), false), [""; 0]);
    let problems = problems_of(text(NAMES_MAX + 1).leak(), false);
    assert!(
        problems[0].contains("at most 32 names deep"),
        "{problems:?}"
    );
}

#[test]
fn the_committed_set_of_nodes_is_what_its_proto_says() {
    let file = "/../../tests/e2e/tests/grpc_json/nodes.binpb";
    is_committed(
        &set_of(NODE),
        &format!("{}{file}", env!("CARGO_MANIFEST_DIR")),
    );
}

/// Runs on a stack as workers have it, whatever thread the test has.
fn on_a_workers_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(run).unwrap().join().unwrap();
}

/// A field that holds octets.
fn holding(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(inner.len() + 8);
    prost::encoding::encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    prost::encoding::encode_varint(inner.len() as u64, &mut out);
    out.extend_from_slice(inner);
    out
}

/// The same field around it so many times.
fn nested(number: u32, times: usize, inner: Vec<u8>) -> Vec<u8> {
    (0..times).fold(inner, |inner, _| holding(number, &inner))
}

/// Messages that hold themselves, directly and by `Any`, which is written as octets of octets.
const REPLIES: &str = r#"
syntax = "proto2";
package t;
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
message Deep {
  optional Deep a = 1; optional google.protobuf.Any any = 2; optional google.protobuf.Value value = 3;
  map<string, Deep> map = 4; repeated group Group = 5 { optional Deep a = 1; }
  optional string text = 6; optional bytes octets = 7; repeated Deep many_records = 8;
  extensions 100 to 200;
}
extend Deep { optional int32 number = 100; optional Deep more = 101; repeated Deep many = 102; }
message Open { extensions 100 to 200; }
extend Open { optional google.protobuf.Any any = 100; }
service S { rpc A(Deep) returns (Deep); rpc B(Open) returns (Open); }
"#;

/// What a reply of a method is printed as, or why it cannot be read or printed.
fn printed(pool: &DescriptorPool, method: &str, octets: &[u8]) -> Result<usize, String> {
    let (rules, _) = rules_of(pool, true);
    let path = format!("/t.S/{method}");
    let Found::Value(rule) = rules.find("POST", &path, &mut Vec::new()) else {
        panic!("{path}");
    };
    let message = DynamicMessage::decode(rule.method.output.clone(), octets);
    let message = message.map_err(|error| error.to_string())?;
    let print = crate::grpc_json::print::Print::default();
    print.reply(rule, &message).map(|json| json.len())
}

#[test]
fn a_reply_that_nests_too_deep_is_no_message() {
    on_a_workers_stack(|| {
        let pool = pool_of(REPLIES);
        assert!(printed(&pool, "A", &nested(1, 99, vec![])).is_ok());
        let map = |inner: Vec<u8>| holding(4, &holding(2, &inner));
        let maps = (0..5_000).fold(vec![], |inner, _| map(inner));
        let list = |inner: Vec<u8>| holding(6, &holding(1, &inner));
        let values = holding(3, &(0..5_000).fold(vec![], |inner, _| list(inner)));
        let groups = [[0x2b_u8].repeat(100_000), [0x2c].repeat(100_000)].concat();
        let unknown = [[0x4b_u8].repeat(100_000), [0x4c].repeat(100_000)].concat();
        for octets in [nested(1, 10_000, vec![]), maps, values, groups, unknown] {
            let why = printed(&pool, "A", &octets).unwrap_err();
            assert!(why.contains("recursion limit"), "{why}");
        }
    });
}

/// An `Any` of a type, in the field of a message that it has.
fn any(name: &str, value: &[u8]) -> Vec<u8> {
    let url = format!("x/{name}");
    [holding(1, url.as_bytes()), holding(2, value)].concat()
}

#[test]
fn any_in_any_is_counted_whatever_is_between() {
    on_a_workers_stack(|| {
        let pool = pool_of(REPLIES);
        let level =
            |between, inner: Vec<u8>| nested(1, between, holding(2, &any("t.Deep", &inner)));
        let deep = |between, times| (0..times).fold(vec![], |inner, _| level(between, inner));
        // Few between them, and many: together no more than printing has stack for.
        for (between, times) in [(0, 16), (1, 16), (90, 1), (90, 2)] {
            let size = printed(&pool, "A", &deep(between, times));
            assert!(size.is_ok(), "{between} {times}: {size:?}");
        }
        for (between, times) in [(0, 17), (16, 16), (90, 3), (90, 16), (0, 3000)] {
            let why = printed(&pool, "A", &deep(between, times)).unwrap_err();
            assert!(why.contains("one inside the other"), "{why}");
        }
        let bare = (0..20).fold(vec![], |inner, _| any("google.protobuf.Any", &inner));
        assert!(printed(&pool, "A", &holding(2, &bare)).is_err());
    });
}

#[test]
fn any_in_an_extension_is_counted_too() {
    on_a_workers_stack(|| {
        let pool = pool_of(REPLIES);
        let deep = (0..2000).fold(vec![], |inner, _| holding(100, &any("t.Open", &inner)));
        let why = printed(&pool, "B", &deep).unwrap_err();
        assert!(why.contains("one inside the other"), "{why}");
    });
}

/// A service that tells its own descriptors may name the fields of well-known types as it likes.
#[test]
fn any_is_known_by_its_numbers() {
    const OWN: &str = r#"
    syntax = "proto3";
    package google.protobuf;
    message Any { bytes url = 1; bytes val = 2; }
    "#;
    on_a_workers_stack(|| {
        let pool = pool_of(OWN);
        let message = pool.get_message_by_name("google.protobuf.Any").unwrap();
        let deep = (0..2000).fold(vec![], |inner, _| any("google.protobuf.Any", &inner));
        let message = DynamicMessage::decode(message, &*deep).unwrap();
        let why = crate::grpc_json::print::check_any(&message).unwrap_err();
        assert!(why.contains("one inside the other"), "{why}");
    });
}

#[test]
fn a_wrapper_of_itself_is_no_text() {
    const OWN: &str = r#"
    syntax = "proto3";
    package google.protobuf;
    message StringValue { StringValue value = 1; }
    message Int32Value { repeated int32 value = 1; }
    "#;
    on_a_workers_stack(|| {
        let pool = pool_of(OWN);
        for name in ["StringValue", "Int32Value"] {
            let message = pool.get_message_by_name(&format!("google.protobuf.{name}"));
            let kind = prost_reflect::Kind::Message(message.unwrap());
            let why = crate::grpc_json::field::parse(&kind, "1").unwrap_err();
            assert!(why.contains("cannot be written as text"), "{why}");
        }
    });
}

/// What a JSON body of a method becomes.
fn asked(pool: &DescriptorPool, body: String) -> Result<usize, String> {
    let (rules, _) = rules_of(pool, true);
    let Found::Value(rule) = rules.find("POST", "/t.S/A", &mut Vec::new()) else {
        panic!("no method");
    };
    let reading = Reading {
        rule: Arc::clone(rule),
        unknown: Unknown::Reject,
        message_bytes_max: 4 << 20,
        content_type: "".into(),
    };
    let mut body = reading
        .body(Body::from(body.into_bytes()), Overlay::default())
        .map_err(detail)?;
    match now(body.frame()).unwrap().map_err(detail)? {
        Frame::Data(data) => Ok(data.len()),
        Frame::Trailers(_) => panic!("trailers"),
    }
}

#[test]
fn bodies_nest_to_a_depth_whatever_they_are_made_of() {
    on_a_workers_stack(|| {
        let pool = pool_of(REPLIES);
        let around = |open: &str, inner: &str, close: &str, times: usize| {
            format!("{}{inner}{}", open.repeat(times), close.repeat(times))
        };
        let own = |times| around(r#"{"a":"#, "{}", "}", times);
        let map = |times| around(r#"{"map":{"k":"#, "{}", "}}", times);
        let list = |times| format!(r#"{{"value":{}}}"#, around("[", "1", "]", times));
        // The type comes last, so that what it is the type of is kept until then.
        let any = |times| {
            let last = r#","@type":"x/t.Deep"}"#;
            let inner = around(r#"{"any":"#, r#"{"@type":"x/t.Deep"}"#, last, times);
            format!(r#"{{"any":{inner}}}"#)
        };
        for body in [own(120), map(60), list(40), any(120)] {
            let octets = asked(&pool, body.clone());
            assert!(octets.is_ok(), "{body}: {octets:?}");
        }
        for body in [own(3000), map(3000), list(3000), any(3000), list(100)] {
            let why = asked(&pool, body).unwrap_err();
            assert!(why.contains("recursion limit"), "{why}");
        }
    });
}

/// The shortest of some times that a body took, since others use this machine too.
fn took(pool: &DescriptorPool, body: &str) -> std::time::Duration {
    let clock = portway_core::Clock::system();
    let times = (0..5).map(|_| {
        let began = clock.now();
        let octets = asked(pool, body.to_owned()).unwrap();
        assert!(octets > 10_000, "{octets}");
        clock.now().since(began)
    });
    times.min().unwrap()
}

/// What is inside a message is not gone through again for every message around it; where it is (the crate does so in
/// `Any` and in what JSON is made of), the sum of all depths has a limit.
#[test]
fn a_deep_body_costs_about_what_a_flat_one_costs() {
    let pool = pool_of(REPLIES);
    let wide = format!(r#"{{"group":[{}{{}}]}}"#, "{},".repeat(8_000));
    let a = |depth: usize| format!("{}{wide}{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let any = |depth| {
        let inner = a(depth);
        let inner = inner.strip_prefix('{').unwrap();
        format!(r#"{{"any":{{"@type":"x/t.Deep",{inner}}}"#)
    };
    let value = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"value":{open}[{}1]{close}}}"#, "1,".repeat(20_000))
    };
    let text = |depth: usize| {
        let (open, close) = (r#"{"a":"#.repeat(depth), "}".repeat(depth));
        format!(r#"{open}{{"text":"{}"}}{close}"#, "x".repeat(1 << 20))
    };
    for (what, flat, deep, times) in [
        ("messages", a(0), a(110), 8),
        ("any", any(0), any(110), 30),
        ("values", value(0), value(40), 30),
        ("text", text(0), text(110), 8),
    ] {
        let (flat, deep) = (took(&pool, &flat), took(&pool, &deep));
        println!("{what}: {deep:?}, flat {flat:?}");
        assert!(deep < flat * times, "{what}: {deep:?} instead of {flat:?}");
    }
}

#[test]
fn a_body_of_more_values_than_it_may_have_is_refused() {
    let pool = pool_of(REPLIES);
    let list = |value: &str, times: usize| vec![value; times].join(",");
    let limit = "the body: it has more than 100000 values";
    for body in [
        format!(r#"{{"value":[{}]}}"#, list("1", 2_000_000)),
        format!(r#"{{"value":{{"a":[{}]}}}}"#, list("1", 100_000)),
        format!(r#"{{"group":[{}]}}"#, list("{}", 1_000_000)),
        format!(r#"{{"map":{{{}}}}}"#, list(r#""":{}"#, 200_000)),
    ] {
        assert!(body.len() < 4 << 20);
        assert_eq!(asked(&pool, body).unwrap_err(), limit);
    }
    let deep = format!(
        r#"{{"value":{}{}{}}}"#,
        "[".repeat(40),
        list("1", 50_000),
        "]".repeat(40)
    );
    let why = asked(&pool, deep).unwrap_err();
    assert!(why.contains("depths are more than 1000000"), "{why}");
}

#[test]
fn a_large_body_of_what_people_send_is_taken() {
    let pool = pool_of(REPLIES);
    let record = r#"{"text":"somebody's name","value":{"age":41,"likes":["cake"],"is_good":true}}"#;
    for body in [
        format!(r#"{{"text":"{}"}}"#, "x".repeat((4 << 20) - 100)),
        format!(r#"{{"octets":"{}"}}"#, "YWJj".repeat((1 << 20) - 100)),
        format!(r#"{{"many_records":[{}]}}"#, vec![record; 14_000].join(",")),
    ] {
        let octets = asked(&pool, body).unwrap();
        assert!(octets > 500_000, "{octets}");
    }
}

/// Octets of the filter's own making mean what those of the crate mean.
#[test]
fn messages_are_encoded_as_they_are() {
    let pool = pool_of(REPLIES);
    let json = r#"{"a":{"a":{},"any":{"@type":"x/t.Deep","a":{}}},"value":{"x":[1,null,{"y":"z"}],"n":-0.5},
        "map":{"":{},"k":{"a":{}}},"group":[{"a":{}},{}],"[t.number]":7,"[t.more]":{"a":{}},"[t.many]":[{},{"a":{}}]}"#;
    let deep = pool.get_message_by_name("t.Deep").unwrap();
    let mut json = serde_json::Deserializer::from_str(json);
    let message = DynamicMessage::deserialize(deep.clone(), &mut json).unwrap();
    let mut octets = Vec::new();
    crate::grpc_json::encode::encode(message.clone(), &mut octets);
    assert_eq!(octets.len(), prost::Message::encoded_len(&message));
    assert_eq!(DynamicMessage::decode(deep, &*octets).unwrap(), message);
}

/// A service that tells its own descriptors says how much there is to say of them.
#[test]
fn what_is_wrong_with_bindings_is_said_so_often_and_in_so_many_words() {
    let long = "x".repeat(300);
    let fields = (1..200).map(|at| format!("string {long}{at} = {at};"));
    let rules = (0..150).map(|at| {
        let bad = format!(r#"{{ post: "/{at}" body: "zz" }}"#);
        let twice = r#"{ get: "/twice" }"#;
        format!(
            "rpc A{at}(M) returns (M) {{ option (google.api.http) = {bad}; }}
            rpc B{at}(M) returns (M) {{ option (google.api.http) = {twice}; }}"
        )
    });
    let text = format!(
        r#"syntax = "proto3"; package t; import "google/api/annotations.proto";
        message M {{ {} }} service S {{ {} }}"#,
        fields.collect::<String>(),
        rules.collect::<String>()
    );
    let (_, problems) = rules_of(&pool_of(text.leak()), false);
    let errors = problems.iter().filter(|p| !p.is_warning).count();
    assert_eq!((errors, problems.len() - errors), (100, 98));
    let longest = problems.iter().map(|p| p.what.len().max(p.hint.len()));
    assert_eq!(longest.max(), Some(1000));
}

/// Nor is every message a body as it is that says so by its name.
#[test]
fn a_raw_body_has_the_fields_of_one() {
    const OWN: &str = r#"
    syntax = "proto3";
    package google.api;
    message HttpBody { int32 content_type = 1; string data = 2; }
    service S { rpc A(HttpBody) returns (HttpBody); }
    "#;
    let pool = pool_of(OWN);
    let (rules, _) = rules_of(&pool, true);
    let Found::Value(rule) = rules.find("POST", "/google.api.S/A", &mut Vec::new()) else {
        panic!("no method");
    };
    let reading = Reading {
        rule: Arc::clone(rule),
        unknown: Unknown::Reject,
        message_bytes_max: 100,
        content_type: "text/x".into(),
    };
    let body = Body::from("{\"data\":\"x\"}");
    let mut body = reading.body(body, Overlay::default()).unwrap();
    let Frame::Data(framed) = now(body.frame()).unwrap().unwrap() else {
        panic!("trailers");
    };
    assert_eq!(&framed[5..], b"\x12\x01x");
}
