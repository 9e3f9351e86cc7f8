use prost::Message;
use prost_reflect::prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet, MessageOptions,
    field_descriptor_proto::{Label, Type},
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
