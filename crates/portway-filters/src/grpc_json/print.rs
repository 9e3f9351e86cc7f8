//! Messages of a target as JSON for a client.
//!
//! Must hold: proto3's JSON mapping, with the options that the config sets; what would nest without an
//! end (`google.protobuf.Any` in itself, which no decoder's limit counts) is refused before it is printed.

use prost_reflect::{
    DescriptorPool, DynamicMessage, FieldDescriptor, ReflectMessage, SerializeOptions, Value,
    prost_types,
};
use serde_json::value::RawValue;
use std::collections::HashMap;

use super::rules::Rule;

/// So many `Any` one inside the other are printed: each is read twice for every one around it.
const ANY_DEPTH_MAX: usize = 16;
/// So many messages one inside the other, those in an `Any` included, of which a decoder's limit (100) counts each by
/// itself: printing takes a kilobyte of stack for each.
const DEPTH_MAX: usize = 200;

/// How messages are printed.
#[derive(Clone, Debug, Default)]
pub struct Print {
    /// Also fields that have their default value.
    pub defaults: bool,
    /// Enums as numbers.
    pub enum_numbers: bool,
    /// Names of fields as in the proto file.
    pub proto_names: bool,
}

impl Print {
    fn options(&self) -> SerializeOptions {
        SerializeOptions::new()
            .skip_default_fields(!self.defaults)
            .use_enum_numbers(self.enum_numbers)
            .use_proto_field_name(self.proto_names)
    }

    /// The body that a rule makes of a reply's message.
    ///
    /// # Errors
    /// Why it cannot be printed.
    pub fn reply(&self, rule: &Rule, message: &DynamicMessage) -> Result<Vec<u8>, String> {
        if rule.method.gives_any {
            check_any(message)?;
        }
        match &rule.response_body {
            None => self.message(message),
            Some(field) => self.field(message, field),
        }
    }

    /// A message as JSON.
    ///
    /// # Errors
    /// Why it cannot be printed: a time out of range, an `Any` of a type nobody knows.
    pub fn message(&self, message: &DynamicMessage) -> Result<Vec<u8>, String> {
        let mut out = Vec::with_capacity(128);
        let mut json = serde_json::Serializer::new(&mut out);
        message
            .serialize_with_options(&mut json, &self.options())
            .map_err(|error| error.to_string())?;
        Ok(out)
    }

    /// One field's value as JSON; its default value if it is not set.
    fn field(&self, message: &DynamicMessage, field: &FieldDescriptor) -> Result<Vec<u8>, String> {
        let value = message.get_field(field);
        if let Value::Message(inner) = &*value {
            return self.message(inner);
        }
        // Whatever it is, it is printed as a member, and the member's value taken.
        let mut alone = DynamicMessage::new(message.descriptor());
        alone.set_field(field, value.into_owned());
        let whole = Print {
            defaults: self.defaults || !message.has_field(field),
            ..self.clone()
        };
        let text = whole.message(&alone)?;
        let name = match self.proto_names {
            true => field.name(),
            false => field.json_name(),
        };
        let members: HashMap<String, &RawValue> =
            serde_json::from_slice(&text).map_err(|error| error.to_string())?;
        let value = members.get(name).map_or("null", |value| value.get());
        Ok(value.as_bytes().to_vec())
    }
}

/// How deep a message is.
#[derive(Clone, Copy, Default)]
struct Depth {
    any: usize,
    messages: usize,
}

/// Refuses messages that hold one another too deep by way of `Any`.
///
/// # Errors
/// In words.
pub fn check_any(message: &DynamicMessage) -> Result<(), String> {
    check_message(message, Depth::default())
}

fn check_message(message: &DynamicMessage, mut depth: Depth) -> Result<(), String> {
    depth.messages += 1;
    if depth.messages > DEPTH_MAX || depth.any > ANY_DEPTH_MAX {
        return Err("too many messages of any type, one inside the other".to_owned());
    }
    if message.descriptor().full_name() != "google.protobuf.Any" {
        let mut fields = message.fields();
        fields.try_for_each(|(_, value)| check_value(value, depth))?;
        let mut extensions = message.extensions();
        return extensions.try_for_each(|(_, value)| check_value(value, depth));
    }
    depth.any += 1;
    let inner = opened(message, message.descriptor().parent_pool());
    inner.map_or(Ok(()), |inner| check_message(&inner, depth))
}

fn check_value(value: &Value, depth: Depth) -> Result<(), String> {
    match value {
        Value::Message(message) => check_message(message, depth),
        Value::List(list) => list.iter().try_for_each(|v| check_value(v, depth)),
        Value::Map(map) => map.values().try_for_each(|v| check_value(v, depth)),
        _ => Ok(()),
    }
}

/// What an `Any` holds, if a pool knows its type. Read as whoever prints it does, whatever its fields are called.
fn opened(any: &DynamicMessage, pool: &DescriptorPool) -> Option<DynamicMessage> {
    let any: prost_types::Any = any.transcode_to().ok()?;
    let name = any.type_url.rsplit('/').next()?;
    let message = pool.get_message_by_name(name)?;
    DynamicMessage::decode(message, &*any.value).ok()
}
