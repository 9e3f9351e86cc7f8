//! A message in the wire's form, in time that grows with its size alone.
//!
//! Must hold: the same octets mean the same message as those of prost-reflect, which counts the octets of a message
//! again for every message around it: a body of a megabyte, a hundred deep, would keep a worker for seconds.

use prost::Message;
use prost::encoding::WireType::{self, EndGroup, LengthDelimited, StartGroup};
use prost::encoding::{encode_key, encode_varint};
use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, ReflectMessage, Value,
};

/// Adds a message's octets. It calls itself for each level; readers of messages have their limits of depth.
pub fn encode(mut message: DynamicMessage, out: &mut Vec<u8>) {
    let of = message.descriptor();
    let fields: Vec<(FieldDescriptor, Value)> = message.take_fields().collect();
    for (field, value) in fields {
        let whole = Whole {
            number: field.number(),
            group: field.is_group(),
        };
        if let Some(value) = messages(whole, &field.kind(), value, out) {
            let mut alone = DynamicMessage::new(of.clone());
            alone.set_field(&field, value);
            alone.encode_raw(out);
        }
    }
    let extensions: Vec<(ExtensionDescriptor, Value)> = message.take_extensions().collect();
    for (field, value) in extensions {
        let whole = Whole {
            number: field.number(),
            group: field.is_group(),
        };
        if let Some(value) = messages(whole, &field.kind(), value, out) {
            let mut alone = DynamicMessage::new(of.clone());
            alone.set_extension(&field, value);
            alone.encode_raw(out);
        }
    }
}

/// How a message stands in another one.
#[derive(Clone, Copy)]
struct Whole {
    number: u32,
    group: bool,
}

/// Adds a value that is made of messages; gives back any other.
fn messages(whole: Whole, kind: &Kind, value: Value, out: &mut Vec<u8>) -> Option<Value> {
    let Kind::Message(entry) = kind else {
        return Some(value);
    };
    match value {
        Value::Message(inner) => put(whole, inner, out),
        Value::List(list) => {
            for value in list {
                if let Value::Message(inner) = value {
                    put(whole, inner, out);
                }
            }
        }
        Value::Map(map) => {
            for (key, value) in map {
                let mut pair = DynamicMessage::new(entry.clone());
                pair.set_field_by_number(1, Value::from(key));
                pair.set_field_by_number(2, value);
                put(whole, pair, out);
            }
        }
        other => return Some(other),
    }
    None
}

fn put(whole: Whole, inner: DynamicMessage, out: &mut Vec<u8>) {
    let key = |kind: WireType, out: &mut Vec<u8>| encode_key(whole.number, kind, out);
    if whole.group {
        key(StartGroup, out);
        encode(inner, out);
        key(EndGroup, out);
        return;
    }
    let mut octets = Vec::new();
    encode(inner, &mut octets);
    key(LengthDelimited, out);
    encode_varint(octets.len() as u64, out);
    out.extend_from_slice(&octets);
}
