//! The names in a field section, read without decoding it (RFC 9204, section 4.5).
//!
//! The `h3` crate takes pseudo-header fields twice, late, and in trailers, and the last one wins; RFC 9114,
//! section 4.3, calls such a message malformed, and so does this. Must hold: what is refused here is
//! malformed; what cannot be read is let through, for the decoder behind will not read it either. Only
//! names are looked at, and of literal ones only the first octet. Pure.

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
    /// One that no request has: `:status`, or one spelled out though the static table has all.
    Foreign,
    Field,
}

const AUTHORITY: u8 = 1;
const PATH: u8 = 2;
const METHOD: u8 = 4;
const SCHEME: u8 = 8;

/// Looks at the names of a section.
///
/// # Errors
/// What is wrong with them.
pub(super) fn check(section: &[u8], kind: Section) -> Result<(), &'static str> {
    let mut rest = section;
    // Required Insert Count and Delta Base: the decoder sees to them.
    if integer(&mut rest, 8).is_none() || integer(&mut rest, 7).is_none() {
        return Ok(());
    }
    let mut seen = 0;
    let mut fields_begun = false;
    while let Some(name) = next(&mut rest) {
        match name {
            Name::Field => fields_begun = true,
            _ if kind == Section::Trailers => return Err("a pseudo-header field in trailers"),
            Name::Foreign => return Err("a pseudo-header field that no request has"),
            Name::Pseudo(_) if fields_begun => return Err("a pseudo-header field after others"),
            Name::Pseudo(bit) if seen & bit != 0 => return Err("a pseudo-header field twice"),
            Name::Pseudo(bit) => seen |= bit,
        }
    }
    Ok(())
}

/// Takes the next field line; `None` at the end, or where it cannot be read.
fn next(rest: &mut &[u8]) -> Option<Name> {
    let first = *rest.first()?;
    let is_static = |bit: u8| first & bit != 0;
    if first & 0b1000_0000 != 0 {
        let index = integer(rest, 6)?;
        return Some(by_index(index, is_static(0b0100_0000)));
    }
    if first & 0b0100_0000 != 0 {
        let index = integer(rest, 4)?;
        string(rest, 7)?;
        return Some(by_index(index, is_static(0b0001_0000)));
    }
    if first & 0b0010_0000 != 0 {
        let huffman = first & 0b0000_1000 != 0;
        let name = string(rest, 3)?;
        string(rest, 7)?;
        return Some(literal(name, huffman));
    }
    None // refers to the dynamic table, which is not offered
}

fn by_index(index: u64, is_static: bool) -> Name {
    match index {
        _ if !is_static => Name::Field,
        0 => Name::Pseudo(AUTHORITY),
        1 => Name::Pseudo(PATH),
        15..=21 => Name::Pseudo(METHOD),
        22 | 23 => Name::Pseudo(SCHEME),
        24..=28 | 63..=71 => Name::Foreign,
        _ => Name::Field,
    }
}

/// A colon, plain or as the seven bits that Huffman's code has for it (RFC 7541, appendix B).
fn literal(name: &[u8], huffman: bool) -> Name {
    let is_pseudo = match (name.first(), huffman) {
        (Some(first), false) => *first == b':',
        (Some(first), true) => first >> 1 == 0b101_1100,
        (None, _) => false,
    };
    if is_pseudo {
        Name::Foreign
    } else {
        Name::Field
    }
}

/// A string whose length has a prefix of so many bits.
fn string<'s>(rest: &mut &'s [u8], bits: u32) -> Option<&'s [u8]> {
    let length = usize::try_from(integer(rest, bits)?).ok()?;
    let (string, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(string)
}

/// An integer with a prefix of so many bits (RFC 7541, section 5.1), up to 32 bits long.
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
            if shift > 28 {
                return None;
            }
        }
    }
    *rest = after;
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// GET https:// a /
    const HEAD: &[u8] = &[0, 0, 0xd1, 0xd7, 0x50, 1, b'a', 0xc1];
    /// `x: y`, in full
    const FIELD: &[u8] = &[0x21, b'x', 1, b'y'];

    fn head(parts: &[&[u8]]) -> Result<(), &'static str> {
        check(&parts.concat(), Section::Head)
    }

    #[test]
    fn a_head_as_clients_write_it_is_fine() {
        assert_eq!(head(&[HEAD]), Ok(()));
        assert_eq!(head(&[HEAD, FIELD, FIELD]), Ok(()));
        // A name longer than its prefix has room for, and one from the static table (`accept`).
        let long = [&[0x27, 13][..], &[b'n'; 20], &[1, b'v']].concat();
        assert_eq!(head(&[HEAD, &long, &[0xdd]]), Ok(()));
    }

    #[test]
    fn pseudo_header_fields_come_once_and_first() {
        for twice in [
            &[0xd4][..],
            &[0xd6],
            &[0xc1],
            &[0x50, 1, b'b'],
            &[0x51, 1, b'/'],
        ] {
            assert_eq!(head(&[HEAD, twice]), Err("a pseudo-header field twice"));
        }
        let late = head(&[&HEAD[..7], FIELD, &[0xc1]]);
        assert_eq!(late, Err("a pseudo-header field after others"));
    }

    #[test]
    fn there_are_no_others_and_none_in_trailers() {
        let foreign = Err("a pseudo-header field that no request has");
        assert_eq!(head(&[HEAD, &[0xd9]]), foreign); // :status 200
        let spelled = [&[0x27, 2][..], b":protocol", &[9], b"websocket"].concat();
        assert_eq!(head(&[&HEAD[..7], &spelled]), foreign);
        // `:a` in Huffman's code: 1011100 00011
        assert_eq!(
            head(&[&HEAD[..7], &[0x2a, 0b1011_1000, 0b0011_1111, 0]]),
            foreign
        );
        let trailers = |parts: &[&[u8]]| check(&parts.concat(), Section::Trailers);
        assert_eq!(trailers(&[&[0, 0], FIELD]), Ok(()));
        let refused = trailers(&[&[0, 0], FIELD, &[0xc1]]);
        assert_eq!(refused, Err("a pseudo-header field in trailers"));
    }

    #[test]
    fn what_cannot_be_read_is_left_to_the_decoder() {
        for end in 0..HEAD.len() {
            assert_eq!(head(&[&HEAD[..end]]), Ok(()), "{end}");
        }
        assert_eq!(
            head(&[HEAD, &[0x27, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]),
            Ok(())
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(octets: Vec<u8>) {
            let _ = check(&octets, Section::Head);
            let _ = check(&octets, Section::Trailers);
        }
    }
}
