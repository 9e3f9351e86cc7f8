//! What a peer must make of frames that are not as they should be, section by section of RFC 9113.
//! A stream error may be treated as a connection error, and a connection may simply be closed
//! (section 5.4), so that is what each case allows.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::panic::catch_unwind;

use portway_testkit::frames::{self, ACK, END_HEADERS, END_STREAM, frame, kind};
use portway_testkit::{Folder, FrameClient, Origin, RawClient, replies};

use crate::support::before;

const PROTOCOL: u32 = 0x1;
const FLOW_CONTROL: u32 = 0x3;
const STREAM_CLOSED: u32 = 0x5;
const FRAME_SIZE: u32 = 0x6;
const COMPRESSION: u32 = 0x9;

const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// What must become of the connection.
#[derive(Clone, Copy, Debug)]
enum Wants {
    /// It ends with one of these codes.
    Connection(&'static [u32]),
    /// The stream ends with one of these codes, or the connection does.
    Stream(&'static [u32]),
    /// Nothing: it goes on.
    Nothing,
}
use Wants::{Connection, Nothing, Stream};

fn headers(flags: u8, stream: u32) -> Vec<u8> {
    frame(
        kind::HEADERS,
        END_HEADERS | flags,
        stream,
        &frames::get("/"),
    )
}

/// A request whose body is still to come.
fn open() -> Vec<u8> {
    headers(0, 1)
}

/// A request that is whole.
fn asked() -> Vec<u8> {
    headers(END_STREAM, 1)
}

fn settings(id: u16, value: u32) -> Vec<u8> {
    let payload = [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(kind::SETTINGS, 0, 0, &payload)
}

fn window_update(stream: u32, by: u32) -> Vec<u8> {
    frame(kind::WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(kind::RST_STREAM, 0, stream, &8u32.to_be_bytes())
}

/// Its section and name, what is sent, and what the RFC asks for.
type Case = (&'static str, Vec<Vec<u8>>, Wants);

/// Where the gateway is known to be laxer than the RFC: the library leaves such a field out instead of
/// refusing it, so that nobody behind ever sees it.
const LAX: &[&str] = &["8.1 pseudo-header in trailers"];

fn check(addr: SocketAddr, name: &str, octets: &[u8], wants: Wants) -> Result<(), String> {
    let mut client = FrameClient::connect(addr);
    client.send(octets);
    let mark = *b"conforms";
    client.send(&frame(kind::PING, 0, 0, &mark));
    let mut came = Vec::new();
    loop {
        let Some(frame) = client.read_frame() else {
            return match wants {
                Connection(_) | Stream(_) => Ok(()),
                Nothing => Err(format!("{name}: closed; came {came:?}")),
            };
        };
        let fits = match (frame.kind, wants) {
            // An answer that came before its request was over.
            (kind::RST_STREAM, _) if frame.code() == 0 => continue,
            (kind::GOAWAY, Connection(codes) | Stream(codes)) => codes.contains(&frame.code()),
            (kind::RST_STREAM, Stream(codes)) => codes.contains(&frame.code()),
            (kind::GOAWAY | kind::RST_STREAM, _) => false,
            // A whole answer.
            (kind::DATA, Stream(_)) if frame.flags == END_STREAM => false,
            (kind::PING, Nothing) => true,
            (kind::PING, Connection(_)) => false,
            _ => {
                came.push(frame.kind);
                continue;
            }
        };
        return match fits {
            true => Ok(()),
            false => Err(format!(
                "{name}: wants {wants:?}, got {frame:?}; came {came:?}"
            )),
        };
    }
}

/// The cases that somebody does not pass, and why.
fn failures(addr: SocketAddr, cases: &[Case]) -> BTreeMap<&'static str, String> {
    let failed = cases.iter().filter_map(|(name, octets, wants)| {
        // A peer that says nothing at all for seconds has failed, too.
        let checked = catch_unwind(|| check(addr, name, &octets.concat(), *wants));
        let result = checked.unwrap_or_else(|_| Err(format!("{name}: no answer")));
        Some((*name, result.err()?))
    });
    failed.collect()
}

fn every_case() -> Vec<Case> {
    [
        section_4_frames(),
        section_5_streams(),
        section_6_data_headers_resets(),
        section_6_settings_pings_goaways(),
        section_6_windows_and_continuations(),
        section_8_trailers(),
    ]
    .concat()
}

#[test]
fn broken_frames_end_what_the_rfc_says() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let failed = failures(gateway.addr(), &every_case());
    let names: Vec<_> = failed.keys().copied().collect();
    assert_eq!(names, LAX, "{failed:#?}");
}

/// nginx from the system's packages; `H2_PEER=ADDRESS` says another server that speaks HTTP/2 without TLS.
#[test]
fn a_peer_passes_no_more_of_these_cases() {
    let cases = every_case();
    let origin = Origin::start(replies::text("x"));
    let folder = Folder::new();
    let (_process, addr) = match std::env::var("H2_PEER") {
        Ok(named) => (None, named.parse().expect("an address with a port")),
        Err(_) => {
            let (process, addr) = crate::differential::nginx(&folder, &origin, "http2");
            (Some(process), addr)
        }
    };
    let failed = failures(addr, &cases);
    println!(
        "{} of {} passed; {failed:#?}",
        cases.len() - failed.len(),
        cases.len()
    );
    assert!(
        failed.len() < cases.len() / 2,
        "that is no HTTP/2: {failed:#?}"
    );
    assert!(
        failed.len() >= LAX.len(),
        "the peer is stricter: {failed:#?}"
    );
}

fn section_4_frames() -> Vec<Case> {
    let too_large = vec![b'x'; 16 * 1024 + 1];
    let bad_block = [0x40, 0xff, 0xff, 0xff];
    vec![
        (
            "4.1 unknown type",
            vec![frame(0x7f, 0, 0, &[0; 8])],
            Nothing,
        ),
        (
            "4.1 undefined flags",
            vec![frame(kind::PING, 0xfe, 0, &[0; 8])],
            Nothing,
        ),
        (
            "4.1 reserved bit",
            vec![frame(kind::PING, 0, 1 << 31, &[0; 8])],
            Nothing,
        ),
        (
            "4.2 large DATA",
            vec![open(), frame(kind::DATA, 0, 1, &too_large)],
            Stream(&[FRAME_SIZE]),
        ),
        (
            "4.2 large HEADERS",
            vec![frame(kind::HEADERS, END_HEADERS, 1, &too_large)],
            Connection(&[FRAME_SIZE]),
        ),
        (
            "4.3 bad block",
            vec![frame(
                kind::HEADERS,
                END_HEADERS | END_STREAM,
                1,
                &bad_block,
            )],
            Connection(&[COMPRESSION, PROTOCOL]),
        ),
        (
            "4.3 a frame inside a block",
            vec![
                frame(kind::HEADERS, 0, 1, &frames::get("/")),
                frame(kind::PING, 0, 0, &[0; 8]),
            ],
            Connection(&[PROTOCOL]),
        ),
        (
            "4.3 another stream's frame inside a block",
            vec![
                frame(kind::HEADERS, 0, 1, &frames::get("/")),
                headers(END_STREAM, 3),
            ],
            Connection(&[PROTOCOL]),
        ),
    ]
}

fn section_5_streams() -> Vec<Case> {
    let data = || frame(kind::DATA, END_STREAM, 1, b"x");
    let on_itself = [&[0, 0, 0, 1, 1][..], &frames::get("/")].concat();
    vec![
        ("5.1 idle: DATA", vec![data()], Connection(&[PROTOCOL])),
        (
            "5.1 idle: RST_STREAM",
            vec![reset(1)],
            Connection(&[PROTOCOL]),
        ),
        (
            "5.1 idle: WINDOW_UPDATE",
            vec![window_update(1, 100)],
            Connection(&[PROTOCOL]),
        ),
        (
            "5.1 idle: CONTINUATION",
            vec![frame(kind::CONTINUATION, END_HEADERS, 1, &frames::get("/"))],
            Connection(&[PROTOCOL]),
        ),
        (
            "5.1 idle: PRIORITY",
            vec![frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 3, 1])],
            Nothing,
        ),
        (
            "5.1 half-closed: DATA",
            vec![asked(), data()],
            Stream(&[STREAM_CLOSED, PROTOCOL]),
        ),
        (
            "5.1 half-closed: HEADERS",
            vec![asked(), asked()],
            Stream(&[STREAM_CLOSED, PROTOCOL]),
        ),
        (
            "5.1 closed: DATA",
            vec![open(), reset(1), data()],
            Stream(&[STREAM_CLOSED, PROTOCOL]),
        ),
        (
            "5.1 closed: HEADERS",
            vec![open(), reset(1), asked()],
            Stream(&[STREAM_CLOSED, PROTOCOL]),
        ),
        (
            "5.1 closed: WINDOW_UPDATE",
            vec![open(), reset(1), window_update(1, 1)],
            Nothing,
        ),
        (
            "5.1.1 even id",
            vec![headers(END_STREAM, 2)],
            Connection(&[PROTOCOL]),
        ),
        (
            "5.1.1 id going down",
            vec![headers(END_STREAM, 5), headers(END_STREAM, 3)],
            Stream(&[PROTOCOL, STREAM_CLOSED]),
        ),
        (
            "5.3.1 PRIORITY on itself",
            vec![open(), frame(kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 1])],
            Stream(&[PROTOCOL]),
        ),
        (
            "5.3.1 HEADERS on itself",
            vec![frame(kind::HEADERS, END_HEADERS | PRIORITY, 1, &on_itself)],
            Stream(&[PROTOCOL]),
        ),
    ]
}

fn section_6_data_headers_resets() -> Vec<Case> {
    let promise = [&[0, 0, 0, 2][..], &frames::get("/")].concat();
    vec![
        (
            "6.1 DATA on 0",
            vec![frame(kind::DATA, 0, 0, b"x")],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.1 DATA padding",
            vec![open(), frame(kind::DATA, PADDED, 1, &[6, 1, 2])],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.2 HEADERS on 0",
            vec![headers(END_STREAM, 0)],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.2 HEADERS padding",
            vec![frame(kind::HEADERS, PADDED | END_HEADERS, 1, &[200, 0x82])],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.3 PRIORITY on 0",
            vec![frame(kind::PRIORITY, 0, 0, &[0; 5])],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.3 PRIORITY length",
            vec![open(), frame(kind::PRIORITY, 0, 1, &[0; 4])],
            Stream(&[FRAME_SIZE, PROTOCOL]),
        ),
        (
            "6.4 RST_STREAM on 0",
            vec![reset(0)],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.4 RST_STREAM length",
            vec![open(), frame(kind::RST_STREAM, 0, 1, &[0; 3])],
            Connection(&[FRAME_SIZE, PROTOCOL]),
        ),
        (
            "6.6 PUSH_PROMISE",
            vec![open(), frame(5, END_HEADERS, 1, &promise)],
            Connection(&[PROTOCOL]),
        ),
    ]
}

fn section_6_settings_pings_goaways() -> Vec<Case> {
    let size = &[FRAME_SIZE, PROTOCOL];
    vec![
        (
            "6.5 SETTINGS ACK with payload",
            vec![frame(kind::SETTINGS, ACK, 0, &[0; 6])],
            Connection(size),
        ),
        (
            "6.5 SETTINGS on 1",
            vec![frame(kind::SETTINGS, 0, 1, &[])],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.5 SETTINGS length",
            vec![frame(kind::SETTINGS, 0, 0, &[0; 3])],
            Connection(size),
        ),
        (
            "6.5.2 ENABLE_PUSH 2",
            vec![settings(2, 2)],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.5.2 INITIAL_WINDOW_SIZE",
            vec![settings(4, 1 << 31)],
            Connection(&[FLOW_CONTROL, PROTOCOL]),
        ),
        (
            "6.5.2 MAX_FRAME_SIZE low",
            vec![settings(5, 16_383)],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.5.2 MAX_FRAME_SIZE high",
            vec![settings(5, 1 << 24)],
            Connection(&[PROTOCOL]),
        ),
        ("6.5.2 unknown", vec![settings(0xff, 1)], Nothing),
        (
            "6.7 PING ACK",
            vec![frame(kind::PING, ACK, 0, &[1; 8])],
            Nothing,
        ),
        (
            "6.7 PING on 1",
            vec![frame(kind::PING, 0, 1, &[0; 8])],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.7 PING length",
            vec![frame(kind::PING, 0, 0, &[0; 6])],
            Connection(size),
        ),
        (
            "6.8 GOAWAY on 1",
            vec![frame(kind::GOAWAY, 0, 1, &[0; 8])],
            Connection(&[PROTOCOL]),
        ),
    ]
}

fn section_6_windows_and_continuations() -> Vec<Case> {
    let part = |flags| frame(kind::HEADERS, flags, 1, &frames::get("/"));
    let more = |flags, stream| frame(kind::CONTINUATION, flags, stream, &frames::field("x", "y"));
    vec![
        (
            "6.9 0 on the connection",
            vec![window_update(0, 0)],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.9 0 on a stream",
            vec![open(), window_update(1, 0)],
            Stream(&[PROTOCOL]),
        ),
        (
            "6.9 length",
            vec![frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3])],
            Connection(&[FRAME_SIZE, PROTOCOL]),
        ),
        (
            "6.9.1 over the top on the connection",
            vec![window_update(0, 0x7fff_ffff), window_update(0, 1)],
            Connection(&[FLOW_CONTROL]),
        ),
        (
            "6.9.1 over the top on a stream",
            vec![open(), window_update(1, 0x7fff_ffff), window_update(1, 1)],
            Stream(&[FLOW_CONTROL]),
        ),
        (
            "6.9.2 window changed",
            vec![settings(4, 0), asked(), settings(4, 10)],
            Nothing,
        ),
        (
            "6.10 CONTINUATION",
            vec![part(END_STREAM), more(0, 1), more(END_HEADERS, 1)],
            Nothing,
        ),
        (
            "6.10 CONTINUATION of another stream",
            vec![part(END_STREAM), more(END_HEADERS, 3)],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.10 CONTINUATION after the end",
            vec![headers(END_STREAM, 1), more(END_HEADERS, 1)],
            Connection(&[PROTOCOL]),
        ),
        (
            "6.10 CONTINUATION on 0",
            vec![part(0), more(END_HEADERS, 0)],
            Connection(&[PROTOCOL]),
        ),
    ]
}

fn section_8_trailers() -> Vec<Case> {
    let trailers = |flags, field: &[u8]| frame(kind::HEADERS, END_HEADERS | flags, 1, field);
    vec![
        (
            "8.1 trailers without END_STREAM",
            vec![open(), trailers(0, &frames::field("x-trailer", "1"))],
            Stream(&[PROTOCOL]),
        ),
        (
            "8.1 pseudo-header in trailers",
            vec![
                open(),
                trailers(END_STREAM, &frames::field(":method", "GET")),
            ],
            Stream(&[PROTOCOL]),
        ),
    ]
}

#[test]
fn section_3_a_preface_that_breaks_off_or_goes_wrong_reaches_nobody() {
    let origin = Origin::start(replies::text("x"));
    let gateway = before(&origin);
    let mut client = RawClient::connect(gateway.addr());
    client.send("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n");
    let _ = client.wire().to_close(); // it may say why, or just close
    assert_eq!(origin.request_count(), 0);
    gateway.wait_connections(0);
}
