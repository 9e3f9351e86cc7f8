//! curl over HTTP/1.1 and HTTP/2, with TLS and without.

use portway_testkit::{Origin, replies};

use super::{Ran, Stage, run};
use crate::support::missing;

/// A way to speak: the version that curl must end up with, and what it is told.
struct Way<'s> {
    stage: &'s Stage,
    version: &'static str,
    option: &'static str,
    secure: bool,
}

fn ways(stage: &Stage) -> [Way<'_>; 4] {
    let way = |version, option, secure| Way {
        stage,
        version,
        option,
        secure,
    };
    [
        way("1.1", "--http1.1", false),
        way("2", "--http2-prior-knowledge", false),
        way("1.1", "--http1.1", true),
        way("2", "--http2", true),
    ]
}

impl Way<'_> {
    fn url(&self, path: &str) -> String {
        let base = if self.secure {
            self.stage.secure()
        } else {
            self.stage.plain()
        };
        base + path
    }

    /// Runs it; none where there is no curl, or one without HTTP/2.
    #[track_caller]
    fn run(&self, path: &str, more: &[&str]) -> Option<Ran> {
        let version = run("curl", &["--version"])?;
        if self.version == "2" && !version.text().contains("HTTP2") {
            missing("a curl that speaks HTTP/2");
            return None;
        }
        let (url, root) = (self.url(path), self.stage.ca.path("ca.pem"));
        let mut args = vec!["-sS", "--max-time", "20", self.option, "--cacert", &root];
        args.extend(more);
        args.push(&url);
        let ran = run("curl", &args)?;
        assert!(ran.well, "{} {args:?}: {}", self.version, ran.errors);
        Some(ran)
    }
}

#[test]
fn curl_gets_posts_and_asks_for_heads() {
    let origin = Origin::start(replies::echo());
    let stage = Stage::before(&origin);
    for way in ways(&stage) {
        let told = ["-o", "/dev/null", "-w", "%{http_version} %{http_code}"];
        let Some(got) = way.run("/a?b=c", &told) else {
            continue;
        };
        assert_eq!(got.text(), format!("{} 200", way.version));
        let posted = way.run("/a", &["-d", "a=1", "-X", "PATCH"]).expect("curl");
        assert!(posted.text().ends_with("\r\n\r\na=1"), "{}", posted.text());
        let head = way.run("/a", &["-I"]).expect("curl").text();
        let first = format!("HTTP/{} 200", way.version);
        assert!(head.starts_with(&first), "{head}");
        let scheme = if way.secure { "https" } else { "http" };
        let seen = origin.last_request();
        assert_eq!(seen.method(), "HEAD");
        assert_eq!(seen.field("x-forwarded-proto"), Some(scheme));
    }
}

#[test]
fn curls_requests_share_a_connection() {
    let origin = Origin::start(replies::text("x"));
    let stage = Stage::before(&origin);
    for way in ways(&stage) {
        if way.option == "--http2-prior-knowledge" {
            continue; // curl 7.88 breaks off at its second request, with nginx too
        }
        let (a, b) = (way.url("/a"), way.url("/b"));
        let more = ["-w", " %{num_connects}\n", &a, &b];
        let Some(got) = way.run("/c", &more) else {
            continue;
        };
        assert_eq!(got.text(), "x 1\nx 0\nx 0\n", "{}", way.version);
    }
}

#[test]
fn curls_uploads_arrive_whole() {
    let origin = Origin::start(|request, conn| {
        let length = request.body.len();
        let whole = request.body == replies::pattern(length);
        conn.reply(200, &[], format!("{length} {whole}"));
    });
    let stage = Stage::before(&origin);
    let file = stage.files.write("up", replies::pattern(3_000_000));
    let file = file.to_str().expect("a path");
    for way in ways(&stage) {
        for framing in ["Content-Length: 3000000", "Transfer-Encoding: chunked"] {
            if way.version == "2" && framing.starts_with("T") {
                continue; // HTTP/2 has no such coding
            }
            let Some(got) = way.run("/up", &["-T", file, "-H", framing]) else {
                continue;
            };
            assert_eq!(got.text(), "3000000 true", "{} {framing}", way.version);
        }
    }
}

#[test]
fn curl_is_told_to_go_on_at_once() {
    let origin = Origin::start(replies::echo());
    let stage = Stage::before(&origin);
    let file = stage.files.write("up", "body");
    let file = file.to_str().expect("a path");
    for way in ways(&stage) {
        let expect = ["-H", "Expect: 100-continue", "--expect100-timeout", "15"];
        let more = [&expect[..], &["-v", "-w", "\n%{time_total}", "-T", file]].concat();
        let Some(got) = way.run("/up", &more) else {
            continue;
        };
        let text = got.text();
        let (reply, took) = text.rsplit_once('\n').expect("both");
        assert!(reply.ends_with("\r\n\r\nbody"), "{reply}");
        let took: f64 = took.parse().expect("seconds");
        assert!(took < 15.0, "it waited for nothing: {took}");
        if way.version == "1.1" {
            let told = got.errors.contains("< HTTP/1.1 100 Continue");
            assert!(told, "{}", got.errors);
        }
    }
}

#[test]
fn curl_sees_trailers() {
    let origin = Origin::start(|_, conn| {
        conn.chunked_head(200, &["Trailer: X-Sum"]);
        conn.chunk("body");
        conn.end_chunks(&["X-Sum: 17"]);
    });
    let stage = Stage::before(&origin);
    for way in ways(&stage) {
        let Some(got) = way.run("/", &["-i", "-H", "TE: trailers"]) else {
            continue;
        };
        let text = got.text().to_ascii_lowercase();
        let (_, behind) = text.split_once("\r\n\r\n").expect("a head");
        assert!(behind.starts_with("body"), "{}: {text}", way.version);
        assert!(behind.contains("x-sum: 17\r\n"), "{}: {text}", way.version);
    }
}

#[test]
fn curl_gets_parts_of_files_and_asks_whether_they_changed() {
    let origin = Origin::start(replies::text("x"));
    let stage = Stage::before(&origin);
    let file = stage.files.write("a.txt", "0123456789");
    let file = file.to_str().expect("a path");
    for way in ways(&stage) {
        for (told, range, content) in [
            ("-r", "2-4", "206 234"),
            ("-r", "-3", "206 789"),
            ("-r", "7-", "206 789"),
            ("-C", "8", "206 89"),
            ("-z", file, "304 "),
        ] {
            let more = [told, range, "-D", "-"];
            let Some(got) = way.run("/files/a.txt", &more) else {
                continue;
            };
            let text = got.text();
            let (head, body) = text.split_once("\r\n\r\n").expect("a head");
            let status = head.split(' ').nth(1).expect("a status");
            let both = format!("{status} {body}");
            assert_eq!(both, content, "{} {told} {range}", way.version);
        }
    }
    assert_eq!(origin.request_count(), 0);
}

/// `portway portway portway`, as gzip has it.
const GZIPPED: &[u8] = &[
    0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x2b, 0xc8, 0x2f, 0x2a, 0x29, 0x4f,
    0xac, 0x54, 0x28, 0x40, 0xa5, 0x01, 0x98, 0x19, 0x7b, 0x94, 0x17, 0x00, 0x00, 0x00,
];

#[test]
fn curl_gets_compressed_bodies_as_they_are() {
    let origin = Origin::start(|_, conn| {
        conn.reply(200, &["Content-Encoding: gzip"], GZIPPED);
    });
    let stage = Stage::before(&origin);
    for way in ways(&stage) {
        let Some(raw) = way.run("/", &["-H", "Accept-Encoding: gzip"]) else {
            continue;
        };
        assert_eq!(raw.out, GZIPPED, "{}", way.version);
        let read = way.run("/", &["--compressed"]).expect("curl");
        assert_eq!(read.text(), "portway portway portway");
        let asked = origin.last_request();
        let codings = asked.field("accept-encoding").unwrap_or_default();
        assert!(codings.contains("gzip"), "{codings}");
    }
}
