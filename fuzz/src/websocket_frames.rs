//! Where WebSocket frames end: as a second reader finds it, which has all octets at hand; however they come.
//!
//! The first octet says how the rest is cut.

use portway_http::upgrade::frames::Frames;

/// Checks one direction of a tunnel.
pub fn check(data: &[u8]) {
    let Some((&cut, data)) = data.split_first() else {
        return;
    };
    let wanted = reference(data);
    for piece in [1, usize::from(cut) + 1, data.len().max(1)] {
        let mut frames = Frames::default();
        let (mut ends, mut at, mut closed) = (Vec::new(), 0, None);
        for octets in data.chunks(piece) {
            let mut rest = octets;
            while !rest.is_empty() {
                let used = frames.take_frame(rest);
                assert!((1..=rest.len()).contains(&used), "it took {used}");
                at += used;
                rest = &rest[used..];
                if frames.at_boundary() {
                    ends.push(at);
                    if frames.is_closed() && closed.is_none() {
                        closed = Some(ends.len());
                    }
                }
            }
        }
        assert_eq!((ends, closed), wanted, "in pieces of {piece}");
    }
    let mut all = Frames::default();
    all.take(data);
    assert_eq!(
        all.at_boundary(),
        wanted.0.last().copied().unwrap_or(0) == data.len()
    );
}

/// The ends of all whole frames, and how many of them there are with the first closing one.
fn reference(data: &[u8]) -> (Vec<usize>, Option<usize>) {
    let (mut ends, mut closed, mut at) = (Vec::new(), None, 0_usize);
    while let Some([first, second, rest @ ..]) = data.get(at..) {
        let (length, long) = match second & 0x7f {
            126 => match rest {
                [a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 2),
                _ => break,
            },
            127 => match rest.first_chunk::<8>() {
                Some(octets) => (u64::from_be_bytes(*octets), 8),
                None => break,
            },
            short => (u64::from(short), 0),
        };
        let head = 2 + long + if second & 0x80 == 0 { 0 } else { 4 };
        let end = (at + head) as u64;
        let Some(end) = end
            .checked_add(length)
            .filter(|end| *end <= data.len() as u64)
        else {
            break;
        };
        at = end as usize;
        ends.push(at);
        if first & 0x0f == 8 && closed.is_none() {
            closed = Some(ends.len());
        }
    }
    (ends, closed)
}
