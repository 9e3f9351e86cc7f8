use proptest::prelude::*;

use super::*;

fn head(kind: u8, flags: u8, stream: u32, length: u32) -> FrameHead {
    FrameHead {
        length,
        kind,
        flags,
        stream,
    }
}

fn headers(stream: u32) -> FrameHead {
    head(kind::HEADERS, END_HEADERS, stream, 10)
}

fn whole(stream: u32) -> FrameHead {
    head(kind::HEADERS, END_HEADERS | END_STREAM, stream, 10)
}

fn data(stream: u32) -> FrameHead {
    head(kind::DATA, 0, stream, 10)
}

fn last_data(stream: u32) -> FrameHead {
    head(kind::DATA, END_STREAM, stream, 0)
}

fn reset(stream: u32) -> FrameHead {
    head(kind::RST_STREAM, 0, stream, 4)
}

/// What the last of these frames breaks; those before it break nothing.
#[track_caller]
fn last(frames: &[FrameHead]) -> Option<Breach> {
    let mut rules = Rules::default();
    let (last, before) = frames.split_last().unwrap();
    for frame in before {
        assert_eq!(rules.take(*frame), None, "{frame:?}");
    }
    rules.take(*last)
}

#[test]
fn frames_of_a_fixed_size_have_it() {
    let sizes = [
        (kind::PRIORITY, 0, 5),
        (kind::RST_STREAM, 0, 4),
        (kind::PING, 0, 8),
        (kind::PING, ACK, 8),
        (kind::WINDOW_UPDATE, 0, 4),
        (kind::SETTINGS, ACK, 0),
        (kind::SETTINGS, 0, 12),
        (kind::GOAWAY, 0, 8),
    ];
    for (kind, flags, size) in sizes {
        assert_eq!(last(&[head(kind, flags, 0, size)]), None, "{kind}");
        let less = size.checked_sub(1).unwrap_or(6);
        let breach = last(&[head(kind, flags, 0, less)]);
        assert_eq!(breach, Some(Breach::FrameSize), "{kind}");
    }
    assert_eq!(last(&[head(kind::GOAWAY, 0, 0, 80)]), None);
    assert_eq!(last(&[head(kind::PING, 0, 0, 9)]), Some(Breach::FrameSize));
}

#[test]
fn nothing_follows_on_a_stream_that_the_client_has_ended() {
    let breach = Some(Breach::StreamEnded);
    for ending in [
        vec![whole(1)],
        vec![headers(1), last_data(1)],
        vec![headers(1), data(1), whole(1)], // trailers
        vec![headers(1), reset(1)],
        vec![headers(1), data(1), headers(3), reset(1), whole(5)],
    ] {
        for after in [headers(1), whole(1), data(1), last_data(1)] {
            let frames = [ending.clone(), vec![after]].concat();
            assert_eq!(last(&frames), breach, "{frames:?}");
        }
        // These may still be on their way, or mean nothing.
        for after in [
            reset(1),
            head(kind::WINDOW_UPDATE, 0, 1, 4),
            head(kind::PRIORITY, 0, 1, 5),
            head(0xbe, 0, 1, 5),
        ] {
            let frames = [ending.clone(), vec![after]].concat();
            assert_eq!(last(&frames), None, "{frames:?}");
        }
    }
}

#[test]
fn what_is_not_known_is_left_to_the_library() {
    // Streams that the client has left out, and those before them.
    assert_eq!(last(&[whole(5), headers(3)]), None);
    assert_eq!(last(&[whole(1), whole(7), headers(1)]), None);
    assert_eq!(last(&[whole(1), whole(7), whole(9), headers(5)]), None);
    // Not opened, of no client, of the connection.
    assert_eq!(last(&[data(1)]), None);
    assert_eq!(last(&[whole(1), data(2)]), None);
    assert_eq!(last(&[whole(1), data(0)]), None);
    assert_eq!(last(&[whole(1), headers(0)]), None);
    // A head that another frame interrupts is PROTOCOL_ERROR, whatever the frame.
    let begun = head(kind::HEADERS, END_STREAM, 1, 10);
    let more = |flags| head(kind::CONTINUATION, flags, 1, 10);
    assert_eq!(last(&[begun, data(1)]), None);
    assert_eq!(last(&[begun, more(0), data(1)]), None);
    let ended = [begun, more(0), more(END_HEADERS), data(1)];
    assert_eq!(last(&ended), Some(Breach::StreamEnded));
}

#[test]
fn streams_that_never_end_take_no_more_room_than_so_much() {
    let mut rules = Rules::default();
    for n in 0..10 * OPEN_MAX as u32 {
        assert_eq!(rules.take(headers(2 * n + 1)), None);
        assert!(rules.open.len() <= OPEN_MAX);
    }
    assert_eq!(rules.take(last_data(1)), None, "forgotten");
    let newest = rules.highest;
    assert_eq!(rules.take(last_data(newest)), None);
    assert_eq!(rules.take(data(newest)), Some(Breach::StreamEnded));
}

#[test]
fn a_client_does_not_push() {
    let push = head(kind::PUSH_PROMISE, 4, 1, 10);
    assert_eq!(last(&[push]), Some(Breach::Push));
}

#[test]
fn windows_end_at_two_to_the_31st() {
    let setting = |id: u16, value: u32| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    let check = |payload: &[u8], piece: usize| {
        let mut rules = Rules::default();
        let length = payload.len() as u32;
        assert_eq!(rules.take(head(kind::GOAWAY, 0, 0, 9)), None);
        assert_eq!(rules.payload(&[0xff; 9]), None, "of a GOAWAY");
        assert_eq!(rules.take(head(kind::SETTINGS, 0, 0, length)), None);
        payload
            .chunks(piece)
            .find_map(|octets| rules.payload(octets))
    };
    for piece in 1..20 {
        let fine = [setting(3, u32::MAX), setting(4, WINDOW_MAX)].concat();
        assert_eq!(check(&fine, piece), None);
        let wrong = [setting(4, 1), setting(4, WINDOW_MAX + 1), setting(4, 1)].concat();
        assert_eq!(check(&wrong, piece), Some(Breach::WindowSize));
    }
}

proptest! {
    /// Whatever a client does with streams that it has opened and not ended, and in whatever order.
    #[test]
    fn a_client_that_keeps_the_rules_breaks_none(
        steps in prop::collection::vec((0u8..5, any::<prop::sample::Index>()), 0..400),
        left_out in 0u32..3,
    ) {
        let mut rules = Rules::default();
        let (mut open, mut next) = (Vec::new(), 1);
        for (step, which) in steps {
            if step < 2 || open.is_empty() {
                let frame = if step == 0 { whole(next) } else { headers(next) };
                prop_assert_eq!(rules.take(frame), None);
                if step != 0 {
                    open.push(next);
                }
                next += 2 + 2 * (which.index(40) as u32 / 38) * left_out;
                continue;
            }
            let at = which.index(open.len());
            let stream: u32 = open[at];
            let frame = match step {
                2 => data(stream),
                3 => last_data(stream),
                _ => reset(stream),
            };
            prop_assert_eq!(rules.take(frame), None);
            if step > 2 {
                open.remove(at);
            }
        }
    }
}
