//! Text from a path or a query into a field of a message.
//!
//! Must hold: text means what the same text means as a JSON string or number in proto3's JSON mapping;
//! what a field cannot hold is refused in words that name it. A value that is set replaces what a body
//! said, even where it is the default one. No more than [`NAMES_MAX`] messages are entered: what walks a message
//! (encoding, printing, dropping) calls itself for each one inside another.

use base64::Engine;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};

/// A field of a message or of one inside it: from the outermost on, never empty.
pub type Path = Vec<FieldDescriptor>;

/// So many names a field is found by, one inside the other: a message may hold its own type, and each level
/// costs stack and one more pass of encoding. Decoders of targets stop at 100.
pub const NAMES_MAX: usize = 32;

/// Whether a field may be looked for by so many names; looks at no more of them than the limit.
///
/// # Errors
/// In words, if there are too many.
pub fn check_depth<'n>(mut names: impl Iterator<Item = &'n str>) -> Result<(), String> {
    match names.nth(NAMES_MAX) {
        Some(_) => Err(format!(
            "a field is at most {NAMES_MAX} names deep, and it has more"
        )),
        None => Ok(()),
    }
}

/// Finds a field by its names, each as in the proto file or as in JSON.
///
/// # Errors
/// Why there is no such field.
pub fn find<'n>(
    message: &MessageDescriptor,
    names: impl Iterator<Item = &'n str> + Clone,
) -> Result<Path, String> {
    check_depth(names.clone())?;
    let mut inside = Some(message.clone());
    let mut path: Path = Vec::new();
    for name in names {
        let Some(message) = inside.take() else {
            let parent = path.last().map_or("", FieldDescriptor::name);
            return Err(format!("`{parent}` has no fields"));
        };
        let field = message
            .get_field_by_name(name)
            .or_else(|| message.get_field_by_json_name(name))
            .ok_or_else(|| format!("{} has no field `{name}`", message.full_name()))?;
        if !field.is_list() && !field.is_map() {
            inside = field.kind().as_message().cloned();
        }
        path.push(field);
    }
    Ok(path)
}

/// Whether text can be a value of the field.
///
/// # Errors
/// Why not.
pub fn takes_text(field: &FieldDescriptor) -> Result<(), String> {
    let name = field.name();
    match field.kind() {
        _ if field.is_map() => Err(format!("`{name}` is a map")),
        Kind::Message(message) if !is_text(&message) => {
            Err(format!("`{name}` is a message; name one of its fields"))
        }
        _ => Ok(()),
    }
}

/// Messages that are one text in JSON, or one value that can be written as one.
fn is_text(message: &MessageDescriptor) -> bool {
    is_string(message) || is_wrapper(message)
}

fn is_string(message: &MessageDescriptor) -> bool {
    matches!(
        message.full_name(),
        "google.protobuf.Timestamp" | "google.protobuf.Duration" | "google.protobuf.FieldMask"
    )
}

fn is_wrapper(message: &MessageDescriptor) -> bool {
    matches!(
        message.full_name(),
        "google.protobuf.DoubleValue"
            | "google.protobuf.FloatValue"
            | "google.protobuf.Int64Value"
            | "google.protobuf.UInt64Value"
            | "google.protobuf.Int32Value"
            | "google.protobuf.UInt32Value"
            | "google.protobuf.BoolValue"
            | "google.protobuf.StringValue"
            | "google.protobuf.BytesValue"
    )
}

/// The value that the text is for a field of this kind.
///
/// # Errors
/// Why it is none.
pub fn parse(kind: &Kind, text: &str) -> Result<Value, String> {
    let is_no = |what: &str| format!("`{}` is no {what}", shortened(text));
    Ok(match kind {
        Kind::String => Value::String(text.to_owned()),
        Kind::Bool => match text {
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            _ => return Err(is_no("bool: true or false")),
        },
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            Value::I32(text.parse().map_err(|_| is_no("32-bit integer"))?)
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            Value::I64(text.parse().map_err(|_| is_no("64-bit integer"))?)
        }
        Kind::Uint32 | Kind::Fixed32 => {
            Value::U32(text.parse().map_err(|_| is_no("unsigned 32-bit integer"))?)
        }
        Kind::Uint64 | Kind::Fixed64 => {
            Value::U64(text.parse().map_err(|_| is_no("unsigned 64-bit integer"))?)
        }
        Kind::Float => {
            let wide = float(text).ok_or_else(|| is_no("number"))?;
            let value = wide as f32;
            if value.is_infinite() && wide.is_finite() {
                return Err(is_no("number that a float holds"));
            }
            Value::F32(value)
        }
        Kind::Double => Value::F64(float(text).ok_or_else(|| is_no("number"))?),
        Kind::Bytes => Value::Bytes(base64(text).ok_or_else(|| is_no("base64"))?.into()),
        Kind::Enum(list) => match list.get_value_by_name(text) {
            Some(value) => Value::EnumNumber(value.number()),
            None => Value::EnumNumber(
                text.parse()
                    .map_err(|_| is_no(&format!("value of {}", list.full_name())))?,
            ),
        },
        Kind::Message(message) => Value::Message(well_known(message, text)?),
    })
}

/// Numbers as JSON has them, and the three that it has as strings.
fn float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        _ => {
            let is_number = |b: u8| b.is_ascii_digit() || b"+-.eE".contains(&b);
            let value: f64 = text.bytes().all(is_number).then(|| text.parse().ok())??;
            value.is_finite().then_some(value)
        }
    }
}

/// Base64 in either alphabet, padded or not.
pub fn base64(text: &str) -> Option<Vec<u8>> {
    const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    let url = text.bytes().any(|b| b == b'-' || b == b'_');
    let alphabet = if url { &URL_SAFE } else { &STANDARD };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).ok()
}

fn well_known(message: &MessageDescriptor, text: &str) -> Result<DynamicMessage, String> {
    let not = |why: String| {
        let name = message.name();
        format!("`{}` is no {name}: {why}", shortened(text))
    };
    if is_string(message) {
        let json = serde_json::Value::from(text);
        return DynamicMessage::deserialize(message.clone(), json).map_err(|e| not(e.to_string()));
    }
    let field = message.get_field(1).filter(|_| is_wrapper(message));
    // A service that tells its own descriptors may call anything a wrapper, also what holds itself.
    let field = field.filter(|f| !f.is_list() && f.kind().as_message().is_none());
    let field = field.ok_or_else(|| not("a message cannot be written as text".to_owned()))?;
    let mut wrapper = DynamicMessage::new(message.clone());
    wrapper.set_field(&field, parse(&field.kind(), text)?);
    Ok(wrapper)
}

/// Puts a value into a field; one more where the field is repeated.
pub fn put(message: &mut DynamicMessage, path: &[FieldDescriptor], value: Value) {
    let Some((field, behind)) = path.split_first() else {
        return;
    };
    if behind.is_empty() {
        match message.get_field_mut(field) {
            Value::List(list) => list.push(value),
            single => *single = value,
        }
    } else if let Value::Message(inner) = message.get_field_mut(field) {
        put(inner, behind, value);
    }
}

/// What a client sent, short enough for a message about it.
pub fn shortened(text: &str) -> &str {
    const CHARS_MAX: usize = 60;
    text.char_indices()
        .nth(CHARS_MAX)
        .map_or(text, |(at, _)| &text[..at])
}
