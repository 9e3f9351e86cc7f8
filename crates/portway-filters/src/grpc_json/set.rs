//! Descriptor sets from outside, made fit for the crate that reads them.
//!
//! Must hold: whatever a set says of its imports and its maps, reading it and reading messages by it ends, with a
//! stack that no set can make deep. `protoc` makes no such sets; a service that tells its own descriptors may.
//! Never: changes what a whole set means.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message;
use prost::encoding::{DecodeContext, decode_key, encode_key, encode_varint, skip_field};
use prost_reflect::{DescriptorPool, FieldDescriptor, Kind, MessageDescriptor};

/// So many steps from file to file: all of googleapis, some 6000 files, takes half a million.
const STEPS_MAX: usize = 10_000_000;

/// Numbers of fields of `google.protobuf.FileDescriptorProto`.
const DEPENDENCY: u32 = 3;
const PUBLIC_DEPENDENCY: u32 = 10;

#[derive(Clone, PartialEq, Message)]
struct Set {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

/// What of a `FileDescriptorProto` says what it imports.
#[derive(Clone, PartialEq, Message)]
struct File {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "3")]
    imports: Vec<String>,
    /// Which of them are passed on to whoever imports this file.
    #[prost(int32, repeated, packed = "false", tag = "10")]
    public: Vec<i32>,
}

/// Reads a descriptor set.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read(set: &[u8]) -> Result<DescriptorPool, String> {
    let pool = match Set::decode(set).and_then(flat) {
        Ok(Some(flat)) => DescriptorPool::decode(flat),
        Ok(None) => return Err("its files import one another too often".to_owned()),
        // Whoever reads it finds the same, and has better words for it.
        Err(_) => DescriptorPool::decode(Bytes::copy_from_slice(set)),
    };
    let pool = pool.map_err(|error| error.to_string())?;
    let odd = pool.all_messages().find(|message| !is_sound(message));
    match odd {
        Some(odd) => Err(format!("{} is no entry of a map", odd.full_name())),
        None => Ok(pool),
    }
}

/// The set with what each file gets by public imports among its own imports: prost-reflect follows public imports
/// by calling itself, in a circle without an end, and each of them anew wherever it is met. `None` if it is too
/// much.
fn flat(set: Set) -> Result<Option<Bytes>, prost::DecodeError> {
    let views = set.files.iter().map(|file| File::decode(&**file));
    let views = views.collect::<Result<Vec<File>, _>>()?;
    let named = views.iter().enumerate();
    let by_name: HashMap<&str, usize> = named.map(|(at, file)| (&*file.name, at)).collect();
    let imports: Vec<Vec<usize>> = views
        .iter()
        .map(|file| {
            let known = file
                .imports
                .iter()
                .map(|name| by_name.get(&**name).copied());
            // A file that is not there has no number, and its place must stay.
            known.map(|at| at.unwrap_or(usize::MAX)).collect()
        })
        .collect();
    let public: Vec<Vec<usize>> = views
        .iter()
        .zip(&imports)
        .map(|(file, imports)| {
            let places = file
                .public
                .iter()
                .filter_map(|at| usize::try_from(*at).ok());
            places.filter_map(|at| imports.get(at).copied()).collect()
        })
        .collect();
    let mut steps = 0;
    let mut out = Vec::new();
    for (file, direct) in set.files.iter().zip(&imports) {
        let mut seen: HashSet<usize> = direct.iter().copied().collect();
        let (mut open, mut more) = (direct.clone(), Vec::<usize>::new());
        while let Some(at) = open.pop() {
            // The reader looks once at each import of an import, too.
            let behind = imports.get(at).map_or(0, Vec::len);
            steps += 1 + behind;
            if steps > STEPS_MAX {
                return Ok(None);
            }
            let passed_on = public.get(at).into_iter().flatten();
            let new: Vec<usize> = passed_on.copied().filter(|at| seen.insert(*at)).collect();
            more.extend(&new);
            open.extend(new);
        }
        out.push(with_imports(
            file,
            more.iter().filter_map(|at| views.get(*at)),
        )?);
    }
    let set = Set { files: out };
    Ok(Some(set.encode_to_vec().into()))
}

/// A file with more imports, none of them public.
fn with_imports<'f>(
    file: &[u8],
    more: impl Iterator<Item = &'f File>,
) -> Result<Bytes, prost::DecodeError> {
    let mut out = Vec::with_capacity(file.len());
    let mut rest = file;
    while !rest.is_empty() {
        let begins = rest;
        let (field, kind) = decode_key(&mut rest)?;
        skip_field(kind, field, &mut rest, DecodeContext::default())?;
        if field != PUBLIC_DEPENDENCY {
            out.extend_from_slice(&begins[..begins.len() - rest.len()]);
        }
    }
    for file in more {
        encode_key(
            DEPENDENCY,
            prost::encoding::WireType::LengthDelimited,
            &mut out,
        );
        encode_varint(file.name.len() as u64, &mut out);
        out.extend_from_slice(file.name.as_bytes());
    }
    Ok(out.into())
}

/// Whether a message, if it says that it is a map's entry, is one. A map in a map is read without any decoder's
/// limit.
fn is_sound(message: &MessageDescriptor) -> bool {
    if !message.is_map_entry() {
        return true;
    }
    let single = |number| {
        message
            .get_field(number)
            .filter(|f| !f.is_list() && !f.is_map())
    };
    let is_key = |field: FieldDescriptor| {
        !matches!(
            field.kind(),
            Kind::Float | Kind::Double | Kind::Bytes | Kind::Enum(_) | Kind::Message(_)
        )
    };
    single(1).is_some_and(is_key) && single(2).is_some()
}

#[cfg(test)]
mod tests;
