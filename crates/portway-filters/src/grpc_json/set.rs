//! Descriptor sets from outside, made fit for the crate that reads them.
//!
//! Must hold: whatever a set says of its imports, its options and its maps, reading it and reading messages by it
//! ends, with a stack that no set can make deep and in bounded memory. `protoc` makes no such sets; a service that
//! tells its own descriptors may.
//! Never: changes what a whole set means.

mod sound;
mod wire;

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use prost::Message;
use prost::encoding::{DecodeContext, decode_key, encode_key, encode_varint, skip_field};
use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::FileDescriptorProto;

use sound::Sound;
use wire::{Elements, Wrong};

/// What following imports from file to file may cost, in octets of names: all of googleapis, some 6000 files, takes
/// half a million steps.
const LOOKED_MAX: usize = 512 << 20;
/// What it may add, in octets of names: the reader keeps each several times.
const ADDED_MAX: usize = 64 << 20;
/// Of one name, besides the name.
const STEP_COST: usize = 48;
/// What is wrong with a set is said in so many octets: it quotes the set.
const WHY_BYTES_MAX: usize = 1000;

/// Numbers of fields of `google.protobuf.FileDescriptorProto`.
const DEPENDENCY: u32 = 3;
const PUBLIC_DEPENDENCY: u32 = 10;
/// Where in which file everything is said, and its comments.
const SOURCE: u32 = 9;

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
    let broken = || "failed to decode file descriptor set".to_owned();
    let set = Set::decode(set).map_err(|_| broken())?;
    let set = flat(set).map_err(|_| broken())?;
    let set = set.ok_or("its files import one another too often")?;
    let (mut elements, mut sound) = (Elements::default(), Sound::new());
    for file in &set.files {
        elements.file(file).map_err(|wrong| match wrong {
            Wrong::Broken => broken(),
            Wrong::TooMuch => sound::too_much(),
            Wrong::Uninterpreted => "it has options that no compiler has looked at".to_owned(),
        })?;
        let file = FileDescriptorProto::decode(&**file).map_err(|_| broken())?;
        sound.file(&file)?;
    }
    let pool = DescriptorPool::decode(&*set.encode_to_vec());
    pool.map_err(|error| start(&error.to_string(), WHY_BYTES_MAX).to_owned())
}

/// The start of a text, of so many octets at most.
pub fn start(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

/// The set with what each file gets by public imports among its own imports: prost-reflect follows public imports
/// by calling itself, in a circle without an end, and each of them anew wherever it is met. `None` if it is too
/// much.
fn flat(set: Set) -> Result<Option<Set>, prost::DecodeError> {
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
    let names = |file: &File| {
        let names = file.imports.iter();
        names.map(|name| STEP_COST + name.len()).sum()
    };
    let behind: Vec<usize> = views.iter().map(names).collect();
    let (mut looked, mut added) = (0, 0);
    let mut out = Vec::new();
    for (file, direct) in set.files.iter().zip(&imports) {
        let mut seen: HashSet<usize> = direct.iter().copied().collect();
        let (mut open, mut more) = (direct.clone(), Vec::<usize>::new());
        while let Some(at) = open.pop() {
            // The reader looks once at each import of an import, too.
            let passed_on = public.get(at).map_or(0, Vec::len);
            looked += STEP_COST * (1 + passed_on) + behind.get(at).copied().unwrap_or(0);
            if looked > LOOKED_MAX {
                return Ok(None);
            }
            let passed_on = public.get(at).into_iter().flatten();
            let new: Vec<usize> = passed_on.copied().filter(|at| seen.insert(*at)).collect();
            let names = new.iter().filter_map(|at| views.get(*at));
            added += names.map(|file| STEP_COST + file.name.len()).sum::<usize>();
            if added > ADDED_MAX {
                return Ok(None);
            }
            more.extend(&new);
            open.extend(new);
        }
        out.push(with_imports(
            file,
            more.iter().filter_map(|at| views.get(*at)),
        )?);
    }
    Ok(Some(Set { files: out }))
}

/// A file with more imports, none of them public, and without its source, which is looked through for every error.
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
        if field != PUBLIC_DEPENDENCY && field != SOURCE {
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

#[cfg(test)]
mod tests;
