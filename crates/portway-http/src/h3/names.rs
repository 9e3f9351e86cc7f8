//! The names in a field section, and how large it unpacks to, read without decoding it (RFC 9204, section
//! 4.5).
//!
//! The `h3` crate takes pseudo-header fields twice, late, and in trailers, and the last one wins; RFC 9114,
//! section 4.3, calls such a message malformed, and so does this. It panics for tens of thousands of fields,
//! and answers a section that is too large by itself. Must hold: integers are read as the decoder behind
//! reads them, and what cannot be read here does not reach it; what passes is not over its limits. Only names
//! are looked at, and literal ones only as far as the colon tells that they need to be. Pure.

/// The most that a section may have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Octets as they are encoded.
    pub(super) encoded: u64,
    /// Octets unpacked, counted as RFC 9114, section 4.2.2, has it: 32 more for each field.
    pub(super) unpacked: u64,
    pub(super) fields: usize,
}

/// Why a section does not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is none: what the connection ends for.
    Unreadable,
    TooLarge,
    Names(&'static str),
}

/// What kind of section it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Head,
    Trailers,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// Pseudo-header fields of requests, by their bit.
    Pseudo(u8),
    /// One that no request has, like `:status`.
    Foreign,
    Field,
}

const AUTHORITY: u8 = 1;
const PATH: u8 = 2;
const METHOD: u8 = 4;
const SCHEME: u8 = 8;

/// Names as they are spelled out (RFC 9204, section 4.5.6): plain, and in the one form that Huffman's code has for
/// each (RFC 7541, section 5.2).
const SPELLED: [(&[u8], &[u8], u8); 4] = [
    (
        b":authority",
        b"\xb8\x3b\x53\x39\xec\x32\x7d\x7f",
        AUTHORITY,
    ),
    (b":path", b"\xb9\x58\xd3\x3f", PATH),
    (b":method", b"\xb9\x49\x53\x39\xe4", METHOD),
    (b":scheme", b"\xb8\x82\x4e\x5a\x4b", SCHEME),
];

/// What a field counts beside its octets (RFC 9114, section 4.2.2).
const FIELD_BYTES: u64 = 32;

/// Octets of the names and of the values in the static table (RFC 9204, appendix A).
#[rustfmt::skip]
const STATIC_TABLE: [(u8, u8); 99] = [
    (10, 0), (5, 1), (3, 1), (19, 0), (14, 1), (6, 0), (4, 0), (4, 0), (17, 0), (13, 0), (13, 0),
    (4, 0), (8, 0), (7, 0), (10, 0), (7, 7), (7, 6), (7, 3), (7, 4), (7, 7), (7, 4), (7, 3),
    (7, 4), (7, 5), (7, 3), (7, 3), (7, 3), (7, 3), (7, 3), (6, 3), (6, 23), (15, 17), (13, 5),
    (28, 13), (28, 12), (27, 1), (13, 9), (13, 15), (13, 14), (13, 8), (13, 8), (13, 24), (16, 2), (16, 4),
    (12, 23), (12, 22), (12, 16), (12, 33), (12, 9), (12, 10), (12, 9), (12, 8), (12, 24), (12, 10), (12, 24),
    (5, 8), (25, 16), (25, 35), (25, 44), (4, 15), (4, 6), (22, 7), (16, 13), (7, 3), (7, 3), (7, 3),
    (7, 3), (7, 3), (7, 3), (7, 3), (7, 3), (7, 3), (15, 0), (32, 5), (32, 4), (28, 1), (28, 3),
    (28, 18), (28, 7), (29, 14), (30, 12), (29, 3), (29, 4), (7, 5), (13, 0), (23, 53), (10, 1), (9, 0),
    (9, 0), (8, 0), (6, 0), (7, 8), (6, 0), (19, 1), (25, 1), (10, 0), (15, 0), (15, 4), (15, 10),
];

/// Looks at the names of a section and at its size.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check(section: &[u8], kind: Section, limits: Limits) -> Result<(), Unfit> {
    let mut rest = section;
    // Required Insert Count and Delta Base. Without a dynamic table nothing can be required of it.
    if integer(&mut rest, 8) != Some(0) || integer(&mut rest, 7).is_none() {
        return Err(Unfit::Unreadable);
    }
    let mut seen = 0;
    let mut fields_begun = false;
    let (mut fields, mut unpacked) = (0, 0u64);
    while !rest.is_empty() {
        let (name, octets) = next(&mut rest).ok_or(Unfit::Unreadable)?;
        fields += 1;
        unpacked = unpacked.saturating_add(octets + FIELD_BYTES);
        if fields > limits.fields || unpacked > limits.unpacked {
            return Err(Unfit::TooLarge);
        }
        let wrong = match name {
            Name::Field => {
                fields_begun = true;
                continue;
            }
            _ if kind == Section::Trailers => "a pseudo-header field in trailers",
            Name::Foreign => "a pseudo-header field that no request has",
            Name::Pseudo(_) if fields_begun => "a pseudo-header field after others",
            Name::Pseudo(bit) if seen & bit != 0 => "a pseudo-header field twice",
            Name::Pseudo(bit) => {
                seen |= bit;
                continue;
            }
        };
        return Err(Unfit::Names(wrong));
    }
    Ok(())
}

/// Takes the next field line, with how many octets its name and value have at most; `None` where it cannot be
/// read, or refers to the dynamic table, which is not offered.
fn next(rest: &mut &[u8]) -> Option<(Name, u64)> {
    let first = *rest.first()?;
    if first & 0b1000_0000 != 0 {
        let (name, name_octets, value_octets) =
            by_index(integer(rest, 6)?, first & 0b0100_0000 != 0)?;
        return Some((name, name_octets + value_octets));
    }
    if first & 0b0100_0000 != 0 {
        let (name, name_octets, _) = by_index(integer(rest, 4)?, first & 0b0001_0000 != 0)?;
        return Some((name, name_octets + value(rest)?));
    }
    if first & 0b0010_0000 != 0 {
        let huffman = first & 0b0000_1000 != 0;
        let name = string(rest, 3)?;
        let octets = unpacked(name, huffman);
        return Some((literal(name, huffman), octets + value(rest)?));
    }
    None
}

/// Takes a value; gives how many octets it has at most.
fn value(rest: &mut &[u8]) -> Option<u64> {
    let huffman = *rest.first()? & 0b1000_0000 != 0;
    string(rest, 7).map(|value| unpacked(value, huffman))
}

/// The most octets that a string unpacks to: the shortest of Huffman's codes has five bits.
fn unpacked(string: &[u8], huffman: bool) -> u64 {
    let octets = string.len() as u64;
    match huffman {
        true => octets * 8 / 5,
        false => octets,
    }
}

/// A name of the static table, with its octets and those of the value beside it.
fn by_index(index: u64, is_static: bool) -> Option<(Name, u64, u64)> {
    if !is_static {
        return None;
    }
    let (name_octets, value_octets) = *STATIC_TABLE.get(usize::try_from(index).ok()?)?;
    let name = match index {
        0 => Name::Pseudo(AUTHORITY),
        1 => Name::Pseudo(PATH),
        15..=21 => Name::Pseudo(METHOD),
        22 | 23 => Name::Pseudo(SCHEME),
        24..=28 | 63..=71 => Name::Foreign,
        _ => Name::Field,
    };
    Some((name, name_octets.into(), value_octets.into()))
}

/// A name that is spelled out. Those of pseudo-header fields begin with a colon, plain or as the seven bits that
/// Huffman's code has for it (RFC 7541, appendix B).
fn literal(name: &[u8], huffman: bool) -> Name {
    let is_pseudo = match (name.first(), huffman) {
        (Some(first), false) => *first == b':',
        (Some(first), true) => first >> 1 == 0b101_1100,
        (None, _) => false,
    };
    if !is_pseudo {
        return Name::Field;
    }
    let is_it = |(plain, packed, _): &&(&[u8], &[u8], u8)| match huffman {
        true => *packed == name,
        false => *plain == name,
    };
    SPELLED
        .iter()
        .find(is_it)
        .map_or(Name::Foreign, |(_, _, bit)| Name::Pseudo(*bit))
}

/// A string whose length has a prefix of so many bits.
fn string<'s>(rest: &mut &'s [u8], bits: u32) -> Option<&'s [u8]> {
    let length = usize::try_from(integer(rest, bits)?).ok()?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(string)
}

/// An integer with a prefix of so many bits (RFC 7541, section 5.1). As many octets as the decoder takes, which
/// are nine behind the prefix.
fn integer(rest: &mut &[u8], bits: u32) -> Option<u64> {
    let (first, mut after) = rest.split_first()?;
    let prefix_max = (1u64 << bits) - 1;
    let mut value = u64::from(*first) & prefix_max;
    if value == prefix_max {
        let mut shift = 0;
        loop {
            let (octet, behind) = after.split_first()?;
            after = behind;
            value += u64::from(octet & 0x7f) << shift;
            if octet & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift >= 63 {
                return None;
            }
        }
    }
    *rest = after;
    Some(value)
}

#[cfg(test)]
mod tests;
