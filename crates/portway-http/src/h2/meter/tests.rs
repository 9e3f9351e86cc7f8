use std::time::Duration;

use proptest::prelude::*;

use super::*;

const START: Mono = Mono(1_000_000_000);

fn meter() -> Meter {
    let mut meter = Meter::new(START);
    assert_eq!(meter.receive(super::super::PREFACE, START), None);
    meter
}

fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
    frame_on(1, kind, flags, payload)
}

fn frame_on(stream: u32, kind: u8, flags: u8, payload: usize) -> Vec<u8> {
    let mut frame = (payload as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.resize(9 + payload, b'x');
    frame
}

/// How many of these frames pass before the flood is named.
fn passing(frame: &[u8], flood: Flood) -> u32 {
    let mut meter = meter();
    for n in 0..1_000_000 {
        match meter.receive(frame, START) {
            None => {}
            Some(found) => {
                assert_eq!(found, Offence::Flood(flood));
                return n;
            }
        }
    }
    panic!("a million of them pass");
}

#[test]
fn every_kind_of_frame_without_work_ends_in_a_named_flood() {
    assert_eq!(
        passing(&frame(3, 0, 4), Flood::Resets),
        limits::H2_RESETS_MAX
    );
    assert_eq!(
        passing(&frame(4, 0, 6), Flood::Settings),
        limits::H2_SETTINGS_MAX
    );
    assert_eq!(passing(&frame(6, 0, 8), Flood::Pings), limits::H2_PINGS_MAX);
    assert_eq!(
        passing(&frame(8, 0, 4), Flood::WindowUpdates),
        limits::H2_WINDOW_UPDATES_MAX
    );
    assert_eq!(
        passing(&frame(0, 0, 0), Flood::EmptyFrames),
        limits::H2_EMPTY_FRAMES_MAX
    );
    assert_eq!(
        passing(&frame(9, 0, 1), Flood::Continuations),
        limits::H2_CONTINUATIONS_MAX
    );
    assert_eq!(
        passing(&frame(2, 0, 5), Flood::OtherFrames),
        limits::H2_OTHER_FRAMES_MAX
    );
    assert_eq!(
        passing(&frame(0xbe, 0, 0), Flood::OtherFrames),
        limits::H2_OTHER_FRAMES_MAX
    );
}

#[test]
fn answers_to_us_cost_nothing() {
    let mut meter = meter();
    for _ in 0..100_000 {
        assert_eq!(meter.receive(&frame(4, 1, 0), START), None);
        assert_eq!(meter.send(&frame(6, 0, 8)), None);
        assert_eq!(meter.receive(&frame(6, 1, 8), START), None);
    }
}

#[test]
fn answers_that_nobody_asked_for_count_as_questions() {
    let mut meter = meter();
    let mut answers = 0;
    while meter.receive(&frame(6, 1, 8), START).is_none() {
        answers += 1;
    }
    assert_eq!(answers, limits::H2_PINGS_MAX);
}

#[test]
fn work_earns_what_clients_send_along_with_it() {
    let mut meter = meter();
    for stream in 0..100_000 {
        // A reply, for which the client updates two windows and measures the way.
        meter.send(&frame(1, 4, 10));
        meter.send(&frame(0, 1, 100));
        for along in [
            frame(8, 0, 4),
            frame(8, 0, 4),
            frame(6, 0, 8),
            frame_on(2 * stream + 1, 1, 5, 10),
        ] {
            assert_eq!(meter.receive(&along, START), None);
        }
    }
}

#[test]
fn time_earns_resets_again() {
    let mut meter = meter();
    let reset = frame(3, 0, 4);
    for _ in 0..limits::H2_RESETS_MAX {
        assert_eq!(meter.receive(&reset, START), None);
    }
    let later = START + Duration::from_secs(1);
    for _ in 0..limits::H2_RESETS_PER_SECOND {
        assert_eq!(meter.receive(&reset, later), None);
    }
    assert_eq!(
        meter.receive(&reset, later),
        Some(Offence::Flood(Flood::Resets))
    );
}

#[test]
fn a_flood_that_the_library_names_is_found_however_its_goaway_is_cut() {
    let mut said = frame(7, 0, 0);
    said[2] = 8 + 15;
    said.extend([0, 0, 0, 1, 0, 0, 0, 11]);
    said.extend(b"too_many_resets");
    for cut in 1..said.len() {
        let mut meter = meter();
        meter.send(&frame(1, 4, 10));
        let found: Vec<_> = said.chunks(cut).filter_map(|o| meter.send(o)).collect();
        assert_eq!(found, [Flood::Resets], "pieces of {cut}");
    }
}

#[test]
fn knows_whether_a_head_is_complete() {
    let mut meter = meter();
    assert!(!meter.head_is_open());
    meter.receive(&frame(1, 0, 10), START);
    assert!(meter.head_is_open());
    meter.receive(&frame(9, 4, 10), START);
    assert!(!meter.head_is_open());
    meter.receive(&frame(1, 4, 10)[..5], START);
    assert!(meter.head_is_open());
}

proptest! {
    #[test]
    fn how_octets_are_cut_does_not_matter(
        frames in prop::collection::vec((0u8..12, any::<u8>(), 0usize..40), 0..300),
        cuts in prop::collection::vec(1usize..50, 1..50),
    ) {
        let octets: Vec<u8> = frames.iter().flat_map(|(k, f, n)| frame(*k, *f, *n)).collect();
        let mut whole = meter();
        let expected = whole.receive(&octets, START);
        let mut pieces = meter();
        let mut rest = &octets[..];
        let mut found = None;
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            found = pieces.receive(piece, START);
            rest = after;
        }
        prop_assert_eq!(found, expected);
        prop_assert_eq!(pieces.head_is_open(), whole.head_is_open());
    }
}
