use prost::Message;
use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, EnumValueDescriptorProto, FieldDescriptorProto,
    FileDescriptorProto, FileDescriptorSet, MessageOptions, ServiceDescriptorProto, ServiceOptions,
    UninterpretedOption,
    descriptor_proto::{ExtensionRange, ReservedRange},
    field_descriptor_proto::{Label, Type},
    uninterpreted_option::NamePart,
};
use prost_reflect::{DynamicMessage, Value};

use super::*;

/// A file that imports others, those behind the bar publicly.
fn file(name: &str, imports: &str) -> FileDescriptorProto {
    let (private, public) = imports.split_once('|').unwrap_or((imports, ""));
    let private: Vec<&str> = private.split_whitespace().collect();
    let public: Vec<&str> = public.split_whitespace().collect();
    FileDescriptorProto {
        name: Some(name.to_owned()),
        package: Some(name.to_owned()),
        syntax: Some("proto3".to_owned()),
        public_dependency: (0..public.len())
            .map(|at| (private.len() + at) as i32)
            .collect(),
        dependency: [private, public]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        message_type: vec![message("M", vec![])],
        ..FileDescriptorProto::default()
    }
}

fn message(name: &str, field: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field,
        ..DescriptorProto::default()
    }
}

fn field(name: &str, number: i32, label: Label, kind: Type, of: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(kind.into()),
        type_name: (!of.is_empty()).then(|| of.to_owned()),
        ..FieldDescriptorProto::default()
    }
}

fn pool(file: Vec<FileDescriptorProto>) -> Result<DescriptorPool, String> {
    read(&FileDescriptorSet { file }.encode_to_vec())
}

/// A file whose only message has a field of a type of another file.
fn user(name: &str, imports: &str, of: &str) -> FileDescriptorProto {
    let mut user = file(name, imports);
    let field = field("f", 1, Label::Optional, Type::Message, of);
    user.message_type = vec![message("M", vec![field])];
    user
}

#[test]
fn what_is_imported_publicly_is_passed_on_however_far() {
    let files = |imports: &str| {
        vec![
            file("d", ""),
            file("c", "|d"),
            file("b", &format!("{imports}c")),
            user("a", "b", ".d.M"),
        ]
    };
    let all = pool(files("|")).unwrap();
    assert!(all.get_message_by_name("a.M").is_some());
    let refused = pool(files("")).unwrap_err();
    assert!(refused.contains("d.M"), "{refused}");
}

#[test]
fn imports_in_a_circle_come_to_an_end() {
    for files in [
        vec![file("a", "|a")],
        vec![file("a", "|b"), file("b", "|a")],
        vec![file("a", "|b c"), file("b", "|c a"), file("c", "|a b")],
    ] {
        let names: Vec<String> = files.iter().map(|f| format!("{}.M", f.name())).collect();
        let all = pool(files).unwrap();
        assert!(
            names
                .iter()
                .all(|name| all.get_message_by_name(name).is_some())
        );
    }
}

/// Each file passes on all that came before it: followed one by one these are 2^60 ways.
#[test]
fn imports_are_not_followed_again_for_every_way_that_leads_to_them() {
    let names: Vec<String> = (0..60).map(|at| format!("f{at}")).collect();
    let all = names
        .iter()
        .enumerate()
        .map(|(at, name)| file(name, &format!("|{}", names[..at].join(" "))));
    assert!(pool(all.collect()).is_ok());
}

#[test]
fn imports_that_are_too_many_are_refused() {
    let names: Vec<String> = (0..300).map(|at| format!("f{at}")).collect();
    let every = names.join(" ");
    let all = names.iter().map(|name| file(name, &every)).collect();
    assert_eq!(
        pool(all).unwrap_err(),
        "its files import one another too often"
    );
}

#[test]
fn a_map_is_one_of_single_values() {
    let entry = |fields: Vec<FieldDescriptorProto>| {
        let mut entry = message("E", fields);
        entry.options = Some(MessageOptions {
            map_entry: Some(true),
            ..MessageOptions::default()
        });
        let mut all = file("a", "");
        let map = field("map", 1, Label::Repeated, Type::Message, ".a.E");
        all.message_type = vec![message("M", vec![map]), entry];
        pool(vec![all])
    };
    let key = || field("key", 1, Label::Optional, Type::String, "");
    let value = |label| field("value", 2, label, Type::Message, ".a.E");
    let good = entry(vec![
        key(),
        field("value", 2, Label::Optional, Type::Message, ".a.M"),
    ]);
    let good = good.unwrap().get_message_by_name("a.M").unwrap();
    let read = DynamicMessage::decode(good, &b"\x0a\x05\x0a\x01k\x12\x00"[..]).unwrap();
    let map = read.get_field_by_name("map").unwrap().into_owned();
    assert!(matches!(map, Value::Map(map) if map.len() == 1));
    for fields in [
        // A map in a map, read without a decoder's limit.
        vec![key(), value(Label::Repeated)],
        vec![key()],
        vec![field("value", 2, Label::Optional, Type::String, "")],
        vec![
            field("key", 1, Label::Optional, Type::Double, ""),
            value(Label::Optional),
        ],
        vec![
            field("key", 1, Label::Repeated, Type::String, ""),
            value(Label::Optional),
        ],
    ] {
        assert_eq!(entry(fields).unwrap_err(), "a.E is no entry of a map");
    }
}

/// A set whose options of messages are what it says, and a message that has some.
fn with_options(own: DescriptorProto, more: Vec<DescriptorProto>, octets: &[u8]) -> Vec<u8> {
    let mut google = file("google.protobuf", "");
    google.message_type = [vec![own], more].concat();
    let mut user = file("a", "google.protobuf");
    // The message of the file, with options that prost has no names for.
    let options = holding(7, octets);
    let message = [holding(1, b"M"), options].concat();
    user.message_type.clear();
    let user = [user.encode_to_vec(), holding(4, &message)].concat();
    [holding(1, &google.encode_to_vec()), holding(1, &user)].concat()
}

fn holding(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(inner.len() + 8);
    encode_key(number, prost::encoding::WireType::LengthDelimited, &mut out);
    encode_varint(inner.len() as u64, &mut out);
    out.extend_from_slice(inner);
    out
}

/// Runs on a stack as workers have it, whatever thread the test has.
fn on_a_workers_stack(run: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    thread.spawn(run).unwrap().join().unwrap();
}

#[test]
fn options_that_no_compiler_has_looked_at_are_refused() {
    let part = NamePart {
        name_part: "a".to_owned(),
        is_extension: false,
    };
    for names in [1, 101, 50_000] {
        let option = UninterpretedOption {
            name: vec![part.clone(); names],
            identifier_value: Some("true".to_owned()),
            ..UninterpretedOption::default()
        };
        let options = MessageOptions {
            uninterpreted_option: vec![option.clone()],
            ..MessageOptions::default()
        };
        let own = field(
            "a",
            1000,
            Label::Optional,
            Type::Message,
            ".google.protobuf.MessageOptions",
        );
        let own = message("MessageOptions", vec![own]);
        let mut set = with_options(own, vec![], &options.encode_to_vec());
        on_a_workers_stack(move || {
            let why = read(&set).unwrap_err();
            assert_eq!(why, "it has options that no compiler has looked at");
            set.clear();
        });
        let mut service = file("a", "");
        service.service = vec![ServiceDescriptorProto {
            name: Some("S".to_owned()),
            options: Some(ServiceOptions {
                uninterpreted_option: vec![option],
                ..ServiceOptions::default()
            }),
            ..ServiceDescriptorProto::default()
        }];
        assert!(pool(vec![service]).is_err());
    }
}

#[test]
fn a_map_in_an_option_is_checked_before_it_is_read() {
    let entry = |fields| {
        let mut entry = message("E", fields);
        entry.options = Some(MessageOptions {
            map_entry: Some(true),
            ..MessageOptions::default()
        });
        entry
    };
    let of = ".google.protobuf.E";
    let key = field("key", 1, Label::Optional, Type::String, "");
    let deep = field("value", 2, Label::Repeated, Type::Message, of);
    let octets = (0..5_000).fold(vec![], |inner: Vec<u8>, _| holding(2, &inner));
    for fields in [vec![key.clone(), deep], vec![key], vec![]] {
        let own = field("map", 1000, Label::Repeated, Type::Message, of);
        let own = message("MessageOptions", vec![own]);
        let set = with_options(own, vec![entry(fields)], &holding(1000, &octets));
        on_a_workers_stack(move || {
            let why = read(&set).unwrap_err();
            assert_eq!(why, "google.protobuf.E is no entry of a map");
        });
    }
}

/// What is written by these is read by those that prost knows.
#[test]
fn options_of_googles_are_googles() {
    let field = |number, label, kind| field("f", number, label, kind, "");
    for (own, octets) in [
        // Written packed, where a single one is read.
        (field(7, Label::Repeated, Type::Bool), &b"\x38\x01"[..]),
        (field(7, Label::Optional, Type::Bytes), b""),
    ] {
        let mut own = message("MessageOptions", vec![own]);
        let set = with_options(own.clone(), vec![], octets);
        assert_eq!(
            read(&set).unwrap_err(),
            "its google.protobuf.MessageOptions is not Google's"
        );
        let mut extension = own.field.remove(0);
        extension.extendee = Some(".google.protobuf.MessageOptions".to_owned());
        own.extension_range = vec![ExtensionRange {
            start: Some(1),
            end: Some(2000),
            options: None,
        }];
        own.extension = vec![extension];
        let set = with_options(own, vec![], octets);
        let why = read(&set).unwrap_err();
        assert_eq!(why, "f takes the place of one of Google's options");
    }
    let mut more = field(1000, Label::Repeated, Type::Bytes);
    more.name = Some("more".to_owned());
    let own = vec![field(7, Label::Optional, Type::Bool), more];
    let own = message("MessageOptions", own);
    assert!(read(&with_options(own, vec![], b"\x38\x00")).is_ok());
}

#[test]
fn a_syntax_that_is_not_known_is_said() {
    let mut all = file("a", "");
    for syntax in ["editions", "", "proto4"] {
        all.syntax = Some(syntax.to_owned());
        let why = pool(vec![all.clone()]).unwrap_err();
        assert!(why.contains("which is not known"), "{why}");
    }
    all.syntax = None;
    assert!(pool(vec![all]).is_ok());
}

/// What a set of some megabytes would make of itself.
#[test]
fn what_a_set_makes_of_itself_is_bounded() {
    let names: Vec<String> = (0..3000)
        .map(|at| format!("{}{at}", "n".repeat(11_000)))
        .collect();
    let all = names.iter().enumerate().map(|(at, name)| {
        let mut all = file(
            name,
            &format!("|{}", at.checked_sub(1).map_or("", |at| &names[at])),
        );
        all.package = None;
        all.message_type.clear();
        all
    });
    assert_eq!(
        pool(all.collect()).unwrap_err(),
        "its files import one another too often"
    );
    // Many names, each with all that is around it.
    let mut deep = file(&"p".repeat(100_000), "");
    deep.message_type = (0..10_000)
        .map(|at| message(&format!("M{at}"), vec![]))
        .collect();
    // Names that are tried with every part of what is around them.
    let mut tried = file(&"p.".repeat(5_000), "");
    let own = |at| field(&format!("f{at}"), at, Label::Optional, Type::Message, "M");
    tried.message_type = vec![message("M", (1..100).map(own).collect())];
    let mut values = file("v", "");
    let value = |at: i32| EnumValueDescriptorProto {
        name: Some(format!("V{at}")),
        number: Some(-at),
        ..EnumValueDescriptorProto::default()
    };
    values.enum_type = vec![EnumDescriptorProto {
        name: Some("E".to_owned()),
        value: (0..100_000).map(value).collect(),
        ..EnumDescriptorProto::default()
    }];
    let mut ranges = file("r", "");
    let own = |at| field(&format!("f{at}"), at, Label::Optional, Type::String, "");
    let mut all = message("M", (1..5000).map(own).collect());
    all.reserved_range = vec![
        ReservedRange {
            start: Some(1),
            end: Some(9000)
        };
        5000
    ];
    ranges.message_type = vec![all];
    for all in [deep, tried, values, ranges] {
        assert_eq!(
            pool(vec![all]).unwrap_err(),
            "it says more than can be read: names too many or too long"
        );
    }
}

/// Two octets are a message.
#[test]
fn what_is_small_until_it_is_decoded_is_counted_before() {
    let refused = |number: u32, files: &[u8]| {
        let file = [holding(1, b"a"), files.repeat(1_000_000)].concat();
        assert_eq!(
            read(&holding(1, &file)).unwrap_err(),
            "it says more than can be read: names too many or too long",
            "{number}"
        );
    };
    for number in 4..8_u8 {
        refused(number.into(), &[number << 3 | 2, 0]);
    }
    // Comments are not read at all.
    let file = [holding(1, b"a"), holding(9, &[0x0a, 0].repeat(2_000_000))].concat();
    assert!(read(&holding(1, &file)).is_ok());
}

#[test]
fn what_is_wrong_with_a_set_is_said_in_some_words() {
    let long = ".".to_owned() + &"x".repeat(100_000);
    let why = pool(vec![user("a", "", &long)]).unwrap_err();
    assert!(why.len() <= 1000, "{}", why.len());
}
