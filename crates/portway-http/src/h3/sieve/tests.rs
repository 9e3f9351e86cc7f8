use portway_core::{Clock, Flood, limits};
use portway_net::Wheel;

use super::*;

const HEAD: &[u8] = &[1, 8, 0, 0, 0xd1, 0xd7, 0x50, 1, b'a', 0xc1];

fn watch() -> Watch {
    Watch::new(&Wheel::new(Clock::system()))
}

/// What passes of these octets, in pieces of so many.
fn passed_in(octets: &[u8], piece: usize) -> Result<Vec<u8>, Fault> {
    let mut sieve = Sieve::request(64);
    let watch = watch();
    let mut passed = Vec::new();
    for piece in octets.chunks(piece) {
        sieve.take(&Bytes::copy_from_slice(piece), &watch)?;
        while let Some(piece) = sieve.pop() {
            assert!(!piece.is_empty());
            passed.extend_from_slice(&piece);
        }
    }
    sieve.end().map(|()| passed)
}

#[track_caller]
fn passed(octets: &[u8]) -> Result<Vec<u8>, Fault> {
    let whole = passed_in(octets, octets.len().max(1));
    for piece in 1..octets.len() {
        assert_eq!(passed_in(octets, piece), whole, "in pieces of {piece}");
    }
    whole
}

#[test]
fn a_message_passes_as_it_came_in_whatever_pieces() {
    let trailers = [1, 6, 0, 0, 0x21, b'x', 1, b'y'];
    let message = [HEAD, &[0, 3], b"abc", &[0, 0x40, 2], b"de", &trailers].concat();
    assert_eq!(passed(&message), Ok(message.clone()));
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
    let wanted = [HEAD, &[0, 1], b"a", &[0, 1], b"b"].concat();
    assert_eq!(passed(&message), Ok(wanted));
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
    let mut sieve = Sieve::request(64);
    let watch = watch();
    let large = [&[1, 0x80, 1, 0, 0][..], &[0; 5000]].concat();
    sieve.take(&Bytes::from(large), &watch).unwrap();
    assert_eq!(sieve.fault(), Some(Fault::TooLarge));
    assert_eq!(sieve.pop().as_deref(), Some(STAND_IN));
    assert_eq!(sieve.pop(), None);
    assert_eq!(sieve.end(), Ok(()), "what stands in is whole");
}

#[test]
fn a_head_that_is_malformed_is_replaced_too_and_trailers_break_the_stream() {
    let twice = [1, 9, 0, 0, 0xd1, 0xd7, 0x50, 1, b'a', 0xc1, 0xc1];
    assert_eq!(passed(&twice), Ok(STAND_IN.to_vec()));
    let trailers = [HEAD, &[1, 3, 0, 0, 0xc1]].concat();
    let fault = Fault::Names("a pseudo-header field in trailers");
    assert_eq!(passed(&trailers), Err(fault));
    let large = [HEAD, &[1, 0x40, 100], &[0; 100]].concat();
    assert_eq!(passed(&large), Err(Fault::TooLarge));
}

#[test]
fn control_streams_have_small_frames_and_others_pass() {
    let take = |octets: &[u8]| {
        let (mut sieve, watch) = (Sieve::one_way(), watch());
        sieve.take(&Bytes::copy_from_slice(octets), &watch)?;
        let passed: Vec<u8> = std::iter::from_fn(|| sieve.pop()).flatten().collect();
        Ok::<_, Fault>(passed)
    };
    let control = [0, 4, 2, 1, 0, 7, 1, 0];
    assert_eq!(take(&control), Ok(control.to_vec()));
    assert_eq!(take(&[0, 4, 0x80, 1, 0, 0]), Err(Fault::TooLarge));
    let encoder = [&[2][..], &[0; 300]].concat();
    assert_eq!(take(&encoder), Ok(encoder.clone()));
}

#[test]
fn frames_without_work_use_a_budget_up() {
    let flooded = |frame: &[u8], frames: u32| {
        let (mut sieve, watch) = (Sieve::request(64), watch());
        sieve.take(&Bytes::from_static(HEAD), &watch).unwrap();
        for _ in 0..frames {
            sieve.take(&Bytes::copy_from_slice(frame), &watch).unwrap();
        }
        watch.flood()
    };
    let (empty, unknown) = (&[0, 0][..], &[0x21, 0][..]);
    assert_eq!(flooded(empty, limits::H2_EMPTY_FRAMES_MAX), None);
    assert_eq!(
        flooded(empty, limits::H2_EMPTY_FRAMES_MAX + 1),
        Some(Flood::EmptyFrames)
    );
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
