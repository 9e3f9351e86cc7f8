//! A message in the wire's form, in time that grows with its size alone.
//!
//! Must hold: the same octets mean the same message as those of prost-reflect, which counts the octets of a message
//! again for every message around it: a body of a megabyte, a hundred deep, would keep a worker for seconds. Each
//! octet is written once, and copied once more when the lengths that stand before messages are known.

use prost::Message;
use prost::encoding::WireType::{self, EndGroup, LengthDelimited, StartGroup};
use prost::encoding::{encode_key, encode_varint, encoded_len_varint};
use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, FieldDescriptor, Kind, ReflectMessage, Value,
};

/// Adds a message's octets. It calls itself for each level; readers of messages have their limits of depth.
pub fn encode(message: DynamicMessage, out: &mut Vec<u8>) {
    let mut writer = Writer::default();
    writer.message(message);
    writer.finish(out);
}

/// A message that is being written.
#[derive(Default)]
struct Writer {
    /// All of it but the lengths.
    octets: Vec<u8>,
    /// The lengths, as they stand in it.
    lengths: Vec<Length>,
    /// The octets that the lengths take that are known by now.
    length_octets: usize,
}

struct Length {
    /// Before which octet it stands.
    at: usize,
    length: usize,
}

/// How a message stands in another one.
#[derive(Clone, Copy)]
struct Whole {
    number: u32,
    group: bool,
}

impl Writer {
    fn message(&mut self, mut message: DynamicMessage) {
        let of = message.descriptor();
        let fields: Vec<(FieldDescriptor, Value)> = message.take_fields().collect();
        for (field, value) in fields {
            let whole = Whole {
                number: field.number(),
                group: field.is_group(),
            };
            if let Some(value) = self.messages(whole, &field.kind(), value) {
                let mut alone = DynamicMessage::new(of.clone());
                alone.set_field(&field, value);
                alone.encode_raw(&mut self.octets);
            }
        }
        let extensions: Vec<(ExtensionDescriptor, Value)> = message.take_extensions().collect();
        for (field, value) in extensions {
            let whole = Whole {
                number: field.number(),
                group: field.is_group(),
            };
            if let Some(value) = self.messages(whole, &field.kind(), value) {
                let mut alone = DynamicMessage::new(of.clone());
                alone.set_extension(&field, value);
                alone.encode_raw(&mut self.octets);
            }
        }
    }

    /// Adds a value that is made of messages; gives back any other.
    fn messages(&mut self, whole: Whole, kind: &Kind, value: Value) -> Option<Value> {
        let Kind::Message(entry) = kind else {
            return Some(value);
        };
        match value {
            Value::Message(inner) => self.put(whole, inner),
            Value::List(list) => {
                for value in list {
                    if let Value::Message(inner) = value {
                        self.put(whole, inner);
                    }
                }
            }
            Value::Map(map) => {
                for (key, value) in map {
                    let mut pair = DynamicMessage::new(entry.clone());
                    pair.set_field_by_number(1, Value::from(key));
                    pair.set_field_by_number(2, value);
                    self.put(whole, pair);
                }
            }
            other => return Some(other),
        }
        None
    }

    fn put(&mut self, whole: Whole, inner: DynamicMessage) {
        if whole.group {
            self.key(whole, StartGroup);
            self.message(inner);
            self.key(whole, EndGroup);
            return;
        }
        self.key(whole, LengthDelimited);
        let (place, at) = (self.lengths.len(), self.octets.len());
        let before = self.length_octets;
        self.lengths.push(Length { at, length: 0 });
        self.message(inner);
        let length = self.octets.len() - at + self.length_octets - before;
        self.lengths[place].length = length;
        self.length_octets += encoded_len_varint(length as u64);
    }

    fn key(&mut self, whole: Whole, kind: WireType) {
        encode_key(whole.number, kind, &mut self.octets);
    }

    /// Adds the octets with the lengths between them.
    fn finish(self, out: &mut Vec<u8>) {
        out.reserve(self.octets.len() + self.length_octets);
        let mut from = 0;
        for Length { at, length } in self.lengths {
            out.extend_from_slice(&self.octets[from..at]);
            encode_varint(length as u64, out);
            from = at;
        }
        out.extend_from_slice(&self.octets[from..]);
    }
}
