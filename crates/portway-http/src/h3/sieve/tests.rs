use portway_core::{Clock, Flood, limits};
use portway_net::Wheel;

use super::*;

const HEAD: &[u8] = &[1, 8, 0, 0, 0xd1, 0xd7, 0x50, 1, b'a', 0xc1];

const LIMITS: Limits = Limits {
    encoded: 64,
    unpacked: 1000,
    fields: 10,
};

fn watch() -> Watch {
    Watch::new(&Wheel::new(Clock::system()))
}

/// What passes of these octets in pieces of so many: frames, and between them what of a body came in a row.
fn passed_in(octets: &[u8], piece: usize) -> Result<Vec<Piece>, Fault> {
    let mut sieve = Sieve::request(LIMITS);
    let watch = watch();
    let mut passed = Vec::new();
    for piece in octets.chunks(piece) {
        let taken = sieve.take(&Bytes::copy_from_slice(piece), &watch);
        while let Some(piece) = sieve.pop() {
            match (passed.last_mut(), piece) {
                (Some(Piece::Data(before)), Piece::Data(octets)) => {
                    assert!(!octets.is_empty());
                    *before = [&before[..], &octets].concat().into();
                }
                (_, piece) => passed.push(piece),
            }
        }
        taken?;
    }
    sieve.end().map(|()| passed)
}

#[track_caller]
fn passed(octets: &[u8]) -> Result<Vec<Piece>, Fault> {
    let whole = passed_in(octets, octets.len().max(1));
    for piece in 1..octets.len() {
        assert_eq!(passed_in(octets, piece), whole, "in pieces of {piece}");
    }
    whole
}

fn a_frame(octets: &[u8]) -> Piece {
    Piece::Frame(Bytes::copy_from_slice(octets))
}

fn data(octets: &[u8]) -> Piece {
    Piece::Data(Bytes::copy_from_slice(octets))
}

#[test]
fn a_message_passes_in_whatever_pieces_its_body_without_frames() {
    let trailers = [1, 6, 0, 0, 0x21, b'x', 1, b'y'];
    let message = [HEAD, &[0, 3], b"abc", &[0, 0x40, 2], b"de", &trailers].concat();
    let wanted = [a_frame(HEAD), data(b"abcde"), a_frame(&trailers)];
    assert_eq!(passed(&message), Ok(wanted.to_vec()));
}

#[test]
fn data_out_of_place_passes_as_a_frame_without_octets() {
    let trailers = [1, 6, 0, 0, 0x21, b'x', 1, b'y'];
    let early = [&[0, 1, b'a'], HEAD].concat();
    let wanted = [a_frame(OUT_OF_PLACE), a_frame(HEAD)];
    assert_eq!(passed(&early), Ok(wanted.to_vec()));
    let late = [HEAD, &trailers, &[0, 1, b'a']].concat();
    let wanted = [a_frame(HEAD), a_frame(&trailers), a_frame(OUT_OF_PLACE)];
    assert_eq!(passed(&late), Ok(wanted.to_vec()));
}

#[test]
fn a_read_makes_a_few_pieces_whatever_its_frames_are() {
    let pieces = |body: &[u8]| {
        let (mut sieve, watch) = (Sieve::request(LIMITS), watch());
        sieve.take(&Bytes::from_static(HEAD), &watch).unwrap();
        sieve.pop().unwrap();
        sieve.take(&Bytes::copy_from_slice(body), &watch).unwrap();
        std::iter::from_fn(|| sieve.pop()).count()
    };
    assert_eq!(pieces(&[0, 1, b'x'].repeat(5000)), 1);
    let large = [&[0, 0x50, 0][..], &[b'y'; 4096], &[0, 1, b'x']].concat();
    assert_eq!(pieces(&large.repeat(15)), 30);
}

/// Whoever keeps it counts its octets.
#[test]
fn a_small_piece_does_not_hold_all_that_was_read() {
    let (mut sieve, watch) = (Sieve::request(LIMITS), watch());
    let mut came = BytesMut::with_capacity(READ_BYTES);
    came.extend_from_slice(&[HEAD, &[0, 0x45, 0x14], &[b'x'; 1300]].concat());
    let came = came.freeze();
    sieve.take(&came, &watch).unwrap();
    let all: Vec<Piece> = std::iter::from_fn(|| sieve.pop()).collect();
    assert_eq!(all[1..], [data(&[b'x'; 1300])]);
    assert!(came.is_unique(), "nothing else holds it");
}

#[test]
fn frames_that_say_nothing_are_dropped() {
    let grease = [0x40, 0x5f, 3, 9, 9, 9];
    let message = [
        HEAD,
        &grease,
        &[0, 0],
        &[0, 1],
        b"a",
        &[0, 0],
        &grease,
        &[0, 1],
        b"b",
    ]
    .concat();
    let wanted = [a_frame(HEAD), data(b"ab")];
    assert_eq!(passed(&message), Ok(wanted.to_vec()));
}

#[test]
fn a_stream_that_ends_inside_a_frame_is_broken() {
    let message = [HEAD, &[0, 3], b"abc", &[0x40, 0x5f, 1, 9]].concat();
    let ends = [HEAD.len(), HEAD.len() + 5, message.len()];
    for end in 1..=message.len() {
        let wanted = match ends.contains(&end) {
            true => None,
            false => Some(Fault::Truncated),
        };
        assert_eq!(passed(&message[..end]).err(), wanted, "{end}");
    }
}

#[test]
fn a_head_that_is_too_large_is_not_collected_and_another_stands_in() {
    let mut sieve = Sieve::request(LIMITS);
    let watch = watch();
    let large = [&[1, 0x80, 1, 0, 0][..], &[0; 5000]].concat();
    sieve.take(&Bytes::from(large), &watch).unwrap();
    assert_eq!(sieve.fault(), Some(Fault::TooLarge));
    assert_eq!(sieve.pop(), Some(a_frame(STAND_IN)));
    assert_eq!(sieve.pop(), None);
    assert_eq!(sieve.end(), Ok(()), "what stands in is whole");
}

#[test]
fn a_head_that_is_malformed_is_replaced_too_and_trailers_break_the_stream() {
    let twice = [1, 9, 0, 0, 0xd1, 0xd7, 0x50, 1, b'a', 0xc1, 0xc1];
    assert_eq!(passed(&twice), Ok(vec![a_frame(STAND_IN)]));
    let trailers = [HEAD, &[1, 3, 0, 0, 0xc1]].concat();
    let fault = Fault::Names("a pseudo-header field in trailers");
    assert_eq!(passed(&trailers), Err(fault));
    let unreadable = [&[1, 3, 0, 0, 0x80], &[0, 1, b'a'][..]].concat();
    let wanted = vec![a_frame(UNREADABLE), data(b"a")];
    assert_eq!(passed(&unreadable), Ok(wanted));
    let many = [&[1, 13, 0, 0], &[0xdd; 11][..]].concat();
    assert_eq!(passed(&many), Ok(vec![a_frame(STAND_IN)]));
    let large = [HEAD, &[1, 0x40, 100], &[0; 100]].concat();
    assert_eq!(passed(&large), Err(Fault::TooLarge));
}

#[test]
fn control_streams_have_small_frames_and_others_pass() {
    let watch = watch();
    let take = |octets: &[u8]| {
        let mut sieve = Sieve::one_way();
        sieve.take(&Bytes::copy_from_slice(octets), &watch)?;
        let passed = std::iter::from_fn(|| sieve.pop()).map(|piece| match piece {
            Piece::Frame(octets) | Piece::Data(octets) => octets,
        });
        Ok::<_, Fault>(passed.flatten().collect::<Vec<u8>>())
    };
    let control = [0, 4, 2, 1, 0, 0xd, 1, 0];
    assert_eq!(take(&control), Ok(control.to_vec()));
    assert!(!watch.has_said_goaway());
    // The library would answer it by one that disowns a request that is served.
    let goaway = [0, 4, 2, 1, 0, 7, 1, 0];
    assert_eq!(take(&goaway), Ok(control.to_vec()));
    assert!(watch.has_said_goaway());
    assert_eq!(take(&[0, 4, 0x80, 1, 0, 0]), Err(Fault::TooLarge));
    let encoder = [&[2][..], &[0; 300]].concat();
    assert_eq!(take(&encoder), Ok(encoder.clone()));
}

#[test]
fn frames_without_work_use_a_budget_up() {
    let flooded = |frame: &[u8], frames: u32| {
        let (mut sieve, watch) = (Sieve::request(LIMITS), watch());
        sieve.take(&Bytes::from_static(HEAD), &watch).unwrap();
        for _ in 0..frames {
            sieve.take(&Bytes::copy_from_slice(frame), &watch).unwrap();
        }
        watch.flood()
    };
    let (empty, unknown) = (&[0, 0][..], &[0x21, 0][..]);
    // The last one may be what ends the body.
    assert_eq!(flooded(empty, limits::H2_EMPTY_FRAMES_MAX + 1), None);
    assert_eq!(
        flooded(empty, limits::H2_EMPTY_FRAMES_MAX + 2),
        Some(Flood::EmptyFrames)
    );
    let small = &[0, 3, 1, 2, 3];
    assert_eq!(flooded(small, limits::H3_SMALL_FRAMES_MAX + 1), None);
    assert_eq!(
        flooded(small, limits::H3_SMALL_FRAMES_MAX + 2),
        Some(Flood::EmptyFrames)
    );
    let enough = &[0, 4, 1, 2, 3, 4];
    assert_eq!(flooded(enough, limits::H3_SMALL_FRAMES_MAX + 2), None);
    assert_eq!(flooded(unknown, limits::H2_OTHER_FRAMES_MAX), None);
    assert_eq!(
        flooded(unknown, limits::H2_OTHER_FRAMES_MAX + 1),
        Some(Flood::OtherFrames)
    );
}

proptest::proptest! {
    #[test]
    fn never_panics_and_passes_the_same_in_whatever_pieces(octets: Vec<u8>, piece in 1usize..9) {
        let whole = passed_in(&octets, octets.len().max(1));
        proptest::prop_assert_eq!(passed_in(&octets, piece), whole);
    }
}
