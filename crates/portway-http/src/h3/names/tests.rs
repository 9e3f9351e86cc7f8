use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// GET https:// a /
const HEAD: &[u8] = &[0, 0, 0xd1, 0xd7, 0x50, 1, b'a', 0xc1];
/// `x: y`, in full
const FIELD: &[u8] = &[0x21, b'x', 1, b'y'];

const LIMITS: Limits = Limits {
    encoded: 1000,
    unpacked: 1000,
    fields: 20,
};

fn head(parts: &[&[u8]]) -> Result<(), Unfit> {
    check(&parts.concat(), Section::Head, LIMITS)
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
    let refused = Err(Unfit::Names("a pseudo-header field twice"));
    for twice in [
        &[0xd4][..],
        &[0xd6],
        &[0xc1],
        &[0x50, 1, b'b'],
        &[0x51, 1, b'/'],
    ] {
        assert_eq!(head(&[HEAD, twice]), refused);
    }
    let late = head(&[&HEAD[..7], FIELD, &[0xc1]]);
    assert_eq!(
        late,
        Err(Unfit::Names("a pseudo-header field after others"))
    );
}

/// RFC 9204, section 4.5.6: an encoder need not use the static table.
#[test]
fn pseudo_header_fields_may_be_spelled_out() {
    let rest = [(0xd1, "method"), (0xd7, "scheme"), (0xc1, "path")];
    let others = |name: &str| -> Vec<u8> {
        let others = rest.iter().filter(|(_, other)| *other != name);
        others.map(|(octet, _)| *octet).collect()
    };
    let twice = Err(Unfit::Names("a pseudo-header field twice"));
    for (name, packed) in [
        ("path", &b"\x2c\xb9\x58\xd3\x3f"[..]),
        ("method", b"\x2d\xb9\x49\x53\x39\xe4"),
        ("scheme", b"\x2d\xb8\x82\x4e\x5a\x4b"),
        ("authority", b"\x2f\x01\xb8\x3b\x53\x39\xec\x32\x7d\x7f"),
    ] {
        let length = name.len() as u8 + 1;
        let prefix = match length.checked_sub(7) {
            Some(more) => vec![0x27, more],
            None => vec![0x20 | length],
        };
        let plain = [&prefix[..], b":", name.as_bytes()].concat();
        for spelled in [&plain[..], packed] {
            let line = [spelled, &[1, b'x']].concat();
            assert_eq!(
                head(&[&[0, 0], &others(name), &line, FIELD]),
                Ok(()),
                "{name}"
            );
            assert_eq!(head(&[&[0, 0], &line, &line]), twice, "{name}");
            let late = head(&[&[0, 0], FIELD, &line]);
            assert!(matches!(late, Err(Unfit::Names(_))), "{name}");
        }
    }
    let upper = [&[0x25][..], b":Path", &[1, b'/']].concat();
    assert!(head(&[&HEAD[..7], &upper]).is_err());
}

#[test]
fn there_are_no_others_and_none_in_trailers() {
    let foreign = Err(Unfit::Names("a pseudo-header field that no request has"));
    assert_eq!(head(&[HEAD, &[0xd9]]), foreign); // :status 200
    let spelled = [&[0x27, 2][..], b":protocol", &[9], b"websocket"].concat();
    assert_eq!(head(&[&HEAD[..7], &spelled]), foreign);
    // `:a` in Huffman's code: 1011100 00011
    let huffman = &[0x2a, 0b1011_1000, 0b0011_1111, 0];
    assert_eq!(head(&[&HEAD[..7], huffman]), foreign);
    let trailers = |parts: &[&[u8]]| check(&parts.concat(), Section::Trailers, LIMITS);
    assert_eq!(trailers(&[&[0, 0], FIELD]), Ok(()));
    let refused = trailers(&[&[0, 0], FIELD, &[0xc1]]);
    let wrong = "a pseudo-header field in trailers";
    assert_eq!(refused, Err(Unfit::Names(wrong)));
}

#[test]
fn what_cannot_be_read_does_not_pass() {
    for end in [0, 1, 5, 6] {
        assert_eq!(head(&[&HEAD[..end]]), Err(Unfit::Unreadable), "{end}");
    }
    for unreadable in [
        &[0x27, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
        &[
            0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0,
        ],
        &[0xff, 36], // the static table has 99 entries
        &[0x80],     // the dynamic one none
        &[0x40, 0],
        &[0x10],
        &[0x00, 0],
    ] {
        assert_eq!(
            head(&[HEAD, unreadable]),
            Err(Unfit::Unreadable),
            "{unreadable:?}"
        );
    }
    assert_eq!(head(&[&[1], &HEAD[1..]]), Err(Unfit::Unreadable));
}

#[test]
fn a_section_has_limits_for_its_fields_and_for_what_it_unpacks_to() {
    let large = Err(Unfit::TooLarge);
    assert_eq!(head(&[HEAD, &[0xdd].repeat(16)]), Ok(()));
    assert_eq!(head(&[HEAD, &[0xdd].repeat(17)]), large);
    // x-frame-options: sameorigin and 32 more
    let bound = |octets: u64| {
        let limits = Limits {
            unpacked: octets,
            ..LIMITS
        };
        check(&[0, 0, 0xff, 35], Section::Head, limits)
    };
    assert_eq!((bound(57), bound(56)), (Ok(()), large));
    // Ten octets in Huffman's code are sixteen at most.
    let bound = |octets: u64| {
        let limits = Limits {
            unpacked: octets,
            ..LIMITS
        };
        let section = [&[0, 0, 0x21, b'x', 0x8a][..], &[0; 10]].concat();
        check(&section, Section::Head, limits)
    };
    assert_eq!((bound(49), bound(48)), (Ok(()), large));
}

/// An integer in more octets than it needs.
fn padded(flags: u8, bits: u32, value: u64, octets: usize) -> Vec<u8> {
    let prefix_max = (1u64 << bits) - 1;
    if value < prefix_max {
        return vec![flags | value as u8];
    }
    let mut rest = value - prefix_max;
    let mut written = vec![flags | prefix_max as u8];
    for _ in 1..octets {
        written.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    written.push((rest & 0x7f) as u8);
    written
}

proptest! {
    #[test]
    fn never_panics(octets: Vec<u8>) {
        let _ = check(&octets, Section::Head, LIMITS);
        let _ = check(&octets, Section::Trailers, LIMITS);
    }

    /// The decoder reads such integers, so their fields must have been seen.
    #[test]
    fn a_name_is_seen_however_its_integers_are_written(
        base in 127u64..200,
        name in vec(b'a'..=b'z', 7..30),
        value in vec(b'a'..=b'z', 127..200),
        index in 63u64..99,
        octets in 3usize..10,
        late in 0usize..4,
    ) {
        let field = [
            padded(0x20, 3, name.len() as u64, octets),
            name,
            padded(0, 7, value.len() as u64, octets),
            value,
        ]
        .concat();
        let status = (63..=71).contains(&index);
        let lines = [
            field.clone(),
            padded(0xc0, 6, index, octets),
            [padded(0x50, 4, index, octets), vec![0]].concat(),
            field,
        ];
        let start = [vec![0], padded(0, 7, base, octets)].concat();
        let mut section = start;
        for line in &lines[..late] {
            section.extend_from_slice(line);
        }
        section.push(0xc1);
        let limits = Limits { unpacked: 10_000, ..LIMITS };
        let checked = check(&section, Section::Head, limits);
        let wanted = match late {
            0 => Ok(()),
            2.. if status => Err(Unfit::Names("a pseudo-header field that no request has")),
            _ => Err(Unfit::Names("a pseudo-header field after others")),
        };
        prop_assert_eq!(checked, wanted);
        let checked = check(&section, Section::Trailers, limits);
        prop_assert_eq!(checked, Err(Unfit::Names("a pseudo-header field in trailers")));
    }
}
