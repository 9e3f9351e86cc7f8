use super::*;
use proptest::prelude::*;

const V10: Version = Version::HTTP_10;
const V11: Version = Version::HTTP_11;

/// Feeds a head's framing fields, `L` for Content-Length and `T` for Transfer-Encoding.
fn scan(mut scan: FramingScan, fields: &[(char, &str)]) -> Result<FramingScan, ProxyError> {
    for (field, value) in fields {
        match field {
            'L' => scan.content_length(value.as_bytes())?,
            _ => scan.transfer_encoding(value.as_bytes())?,
        }
    }
    Ok(scan)
}

fn request(version: Version, fields: &[(char, &str)]) -> Result<Framing, Code> {
    scan(FramingScan::default(), fields)
        .and_then(|s| s.request(version))
        .map_err(|e| e.kind)
}

fn reply(version: Version, status: u16, fields: &[(char, &str)]) -> Result<Framing, Code> {
    let scan = scan(FramingScan::for_reply(), fields);
    scan.and_then(|s| s.response(version, false, status))
        .map(|(f, _)| f)
        .map_err(|e| e.kind)
}

#[test]
fn a_request_without_framing_fields_has_no_body() {
    assert_eq!(request(V11, &[]), Ok(Framing::None));
    assert_eq!(request(V10, &[]), Ok(Framing::None));
}

#[test]
fn takes_one_plain_length() {
    assert_eq!(request(V11, &[('L', "0")]), Ok(Framing::Length(0)));
    assert_eq!(request(V10, &[('L', "42")]), Ok(Framing::Length(42)));
    assert_eq!(request(V11, &[('L', "007")]), Ok(Framing::Length(7)));
    assert_eq!(
        request(V11, &[('L', "9999999999999999999")]),
        Ok(Framing::Length(9_999_999_999_999_999_999))
    );
}

#[test]
fn refuses_any_second_content_length() {
    for (a, b) in [("5", "5"), ("5", "6"), ("0", "0")] {
        assert_eq!(
            request(V11, &[('L', a), ('L', b)]),
            Err(Code::AmbiguousFraming)
        );
    }
}

#[test]
fn refuses_lengths_that_are_not_digits_alone() {
    for value in [
        "", "+5", "-5", " 5", "5 ", "5,5", "5, 5", "0x5", "5a", "5.0", "1e3", "５", "\u{b}5",
        "5\0", "1_0",
    ] {
        assert_eq!(
            request(V11, &[('L', value)]),
            Err(Code::AmbiguousFraming),
            "{value:?}"
        );
    }
}

#[test]
fn refuses_lengths_that_overflow() {
    for value in [
        "10000000000000000000",
        "18446744073709551616",
        "00000000000000000005",
    ] {
        assert_eq!(
            request(V11, &[('L', value)]),
            Err(Code::AmbiguousFraming),
            "{value}"
        );
    }
}

#[test]
fn takes_chunked_in_any_letter_case() {
    assert_eq!(request(V11, &[('T', "chunked")]), Ok(Framing::Chunked));
    assert_eq!(request(V11, &[('T', "ChUnKeD")]), Ok(Framing::Chunked));
}

#[test]
fn refuses_both_length_and_coding() {
    for fields in [
        [('L', "5"), ('T', "chunked")],
        [('T', "chunked"), ('L', "5")],
        [('T', "gzip"), ('L', "0")],
    ] {
        assert_eq!(
            request(V11, &fields),
            Err(Code::AmbiguousFraming),
            "{fields:?}"
        );
    }
}

#[test]
fn refuses_codings_that_hide_chunked() {
    for value in [
        "",
        "gzip, chunked",
        "chunked, gzip",
        "chunked,chunked",
        "chunked;a=b",
        " chunked",
        "chunked ",
        "\u{b}chunked",
        "\"chunked\"",
        "chunked,",
    ] {
        assert_eq!(
            request(V11, &[('T', value)]),
            Err(Code::AmbiguousFraming),
            "{value:?}"
        );
    }
    let twice = [('T', "chunked"), ('T', "chunked")];
    assert_eq!(request(V11, &twice), Err(Code::AmbiguousFraming));
    assert_eq!(
        request(V11, &[('T', "gzip"), ('T', "chunked")]),
        Err(Code::AmbiguousFraming)
    );
}

#[test]
fn says_not_implemented_to_another_coding() {
    for value in ["gzip", "identity", "xchunked", "chunked-x"] {
        assert_eq!(
            request(V11, &[('T', value)]),
            Err(Code::NotImplemented),
            "{value}"
        );
    }
}

#[test]
fn refuses_a_coding_in_http_1_0() {
    assert_eq!(
        request(V10, &[('T', "chunked")]),
        Err(Code::AmbiguousFraming)
    );
    assert_eq!(
        reply(V10, 200, &[('T', "chunked")]),
        Err(Code::UpstreamBadReply)
    );
}

#[test]
fn a_reply_without_framing_fields_ends_with_its_connection() {
    assert_eq!(reply(V11, 200, &[]), Ok(Framing::Close));
    assert_eq!(reply(V10, 404, &[]), Ok(Framing::Close));
}

#[test]
fn frames_replies_as_they_say() {
    assert_eq!(reply(V11, 200, &[('L', "3")]), Ok(Framing::Length(3)));
    assert_eq!(reply(V11, 500, &[('T', "chunked")]), Ok(Framing::Chunked));
}

#[test]
fn blames_the_target_for_a_bad_reply() {
    for fields in [
        &[('L', "5"), ('L', "5")][..],
        &[('L', "+5")],
        &[('L', "5"), ('T', "chunked")],
        &[('T', "gzip")],
        &[('T', "a, b")],
    ] {
        assert_eq!(
            reply(V11, 200, fields),
            Err(Code::UpstreamBadReply),
            "{fields:?}"
        );
    }
}

#[test]
fn replies_to_head_and_304_have_no_body_but_may_declare_its_length() {
    for (head, status) in [(true, 200), (false, 304), (true, 304)] {
        let with_length = scan(FramingScan::for_reply(), &[('L', "9")]).unwrap();
        assert_eq!(
            with_length.response(V11, head, status).unwrap(),
            (Framing::None, Some(9))
        );
        let chunked = scan(FramingScan::for_reply(), &[('T', "chunked")]).unwrap();
        assert_eq!(
            chunked.response(V11, head, status).unwrap(),
            (Framing::None, None)
        );
        assert_eq!(
            FramingScan::for_reply()
                .response(V11, head, status)
                .unwrap(),
            (Framing::None, None)
        );
    }
}

#[test]
fn informational_replies_and_204_have_no_body() {
    for status in [100, 101, 103, 199, 204] {
        assert_eq!(reply(V11, status, &[]), Ok(Framing::None), "{status}");
        assert_eq!(
            reply(V11, status, &[('L', "0")]),
            Ok(Framing::None),
            "{status}"
        );
    }
}

#[test]
fn refuses_a_204_that_announces_a_body() {
    for status in [100, 204] {
        assert_eq!(
            reply(V11, status, &[('L', "1")]),
            Err(Code::UpstreamBadReply),
            "{status}"
        );
        assert_eq!(
            reply(V11, status, &[('T', "chunked")]),
            Err(Code::UpstreamBadReply),
            "{status}"
        );
    }
}

proptest! {
    #[test]
    fn a_length_is_what_its_digits_say(length in 0_u64..10_000_000_000_000_000_000) {
        prop_assert_eq!(request(V11, &[('L', &length.to_string())]), Ok(Framing::Length(length)));
    }

    #[test]
    fn no_octets_make_it_panic(
        fields in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..24)), 0..4),
        head in any::<bool>(),
        status in 0_u16..1000,
    ) {
        let mut scan = FramingScan::default();
        for (length, value) in &fields {
            let _ = if *length { scan.content_length(value) } else { scan.transfer_encoding(value) };
        }
        let _ = scan.request(V11);
        let _ = scan.response(V11, head, status);
    }
}
