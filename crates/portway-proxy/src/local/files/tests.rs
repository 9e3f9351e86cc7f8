use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
use portway_http::{BodyLength, Frame};
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

const NOW_SECONDS: u64 = 1_800_000_000;
/// More than two chunks, and not a multiple of one.
const LARGE: usize = 2 * limits::BODY_READ_BYTES + 4321;

fn octets(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

struct Site {
    folder: TempDir,
    spec: StaticFiles,
    runtime: tokio::runtime::Runtime,
}

impl Site {
    fn new() -> Site {
        let folder = TempDir::new().unwrap();
        let spec = StaticFiles {
            root: folder.path().into(),
            index: "index.html".into(),
            prefix: "/static".into(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        Site {
            folder,
            spec,
            runtime,
        }
    }

    /// A file that was last written long ago.
    fn with(self, name: &str, content: &[u8]) -> Site {
        let place = self.folder.path().join(name);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(&place, content).unwrap();
        self.touch(name, UNIX_EPOCH + Duration::from_secs(784_111_777));
        self
    }

    fn touch(&self, name: &str, time: SystemTime) {
        File::options()
            .write(true)
            .open(self.folder.path().join(name))
            .unwrap()
            .set_modified(time)
            .unwrap();
    }

    fn ask(&self, method: Method, path: &str, fields: &[(HeaderName, &str)]) -> (Reply, Exchange) {
        let mut exchange = Exchange::blank();
        exchange.started_wall_ns = NOW_SECONDS * 1_000_000_000;
        exchange.request.method = method;
        exchange.request.path = path.into();
        exchange.request.query = Some("q=1".into());
        for (name, value) in fields {
            exchange
                .request
                .headers
                .append(name, value.parse().unwrap());
        }
        let reply = self
            .runtime
            .block_on(serve_static(&self.spec, &mut exchange));
        (reply, exchange)
    }

    fn get(&self, path: &str, fields: &[(HeaderName, &str)]) -> Reply {
        self.ask(Method::GET, path, fields).0
    }

    fn read(&self, reply: &mut Reply) -> Result<Vec<u8>, portway_core::ProxyError> {
        let BodyLength::Exact(announced) = reply.body.length() else {
            panic!("a file's length is known");
        };
        let mut all = Vec::new();
        while let Some(frame) = self.runtime.block_on(reply.body.frame()) {
            let Frame::Data(data) = frame? else {
                panic!("a file has no trailers")
            };
            assert!(!data.is_empty() && data.len() <= limits::BODY_READ_BYTES);
            all.extend_from_slice(&data);
        }
        assert_eq!(all.len() as u64, announced);
        assert_eq!(reply.body.length(), BodyLength::Exact(0));
        Ok(all)
    }
}

fn field(reply: &Reply, name: HeaderName) -> &str {
    reply
        .headers
        .get(&name)
        .unwrap_or_else(|| panic!("{name} in {reply:?}"))
        .to_str()
        .unwrap()
}

#[test]
fn sends_a_file_with_type_validators_and_exact_length() {
    let site = Site::new().with("a.css", b"body {}");
    let mut reply = site.get("/static/a.css", &[]);
    assert_eq!(reply.status, 200);
    assert_eq!(field(&reply, CONTENT_TYPE), "text/css; charset=utf-8");
    assert_eq!(
        field(&reply, LAST_MODIFIED),
        "Sun, 06 Nov 1994 08:49:37 GMT"
    );
    assert_eq!(field(&reply, ETAG), "\"7-ae1b981bc490a00\"");
    assert_eq!(field(&reply, ACCEPT_RANGES), "bytes");
    assert_eq!(site.read(&mut reply).unwrap(), b"body {}");
}

#[test]
fn types_go_by_the_ending_of_the_name_asked_for() {
    let site = Site::new().with("page/index.html", b"<p>");
    assert_eq!(
        field(&site.get("/static/page/", &[]), CONTENT_TYPE),
        "text/html; charset=utf-8"
    );
    for (name, expected) in [
        ("a.js", "text/javascript; charset=utf-8"),
        ("a.json", "application/json"),
        ("a.svg", "image/svg+xml"),
        ("a.PNG", "image/png"),
        ("a.wasm", "application/wasm"),
        ("a.woff2", "font/woff2"),
        ("a.txt", "text/plain; charset=utf-8"),
        ("a.unheard-of", "application/octet-stream"),
        ("noending", "application/octet-stream"),
    ] {
        assert_eq!(content_type(Path::new(name)), expected, "{name}");
    }
}

#[test]
fn every_known_type_makes_a_header() {
    for ending in (b'a'..=b'z').flat_map(|a| (b'a'..=b'z').map(move |b| [a, b])) {
        let ending = std::str::from_utf8(&ending).unwrap();
        for name in [
            format!("a.{ending}"),
            format!("a.{ending}4"),
            format!("a.x{ending}"),
            format!("a.{ending}x"),
        ] {
            let _ = content_type(Path::new(&name));
        }
    }
}

#[test]
fn large_files_stream_in_chunks() {
    let content = octets(LARGE);
    let site = Site::new().with("large.bin", &content);
    let mut reply = site.get("/static/large.bin", &[]);
    assert!(matches!(reply.body, Body::Stream(_)));
    assert_eq!(site.read(&mut reply).unwrap(), content);
}

#[test]
fn sizes_around_a_chunk_arrive_whole() {
    let chunk = limits::BODY_READ_BYTES;
    for length in [0, 1, chunk - 1, chunk, chunk + 1, 2 * chunk] {
        let content = octets(length);
        let site = Site::new().with("a", &content);
        let mut reply = site.get("/static/a", &[]);
        assert_eq!(reply.status, 200);
        assert!(site.read(&mut reply).unwrap() == content, "{length}");
    }
}

#[test]
fn head_says_the_length_and_sends_nothing() {
    let site = Site::new()
        .with("small", b"0123456789")
        .with("large", &octets(LARGE))
        .with("empty", b"");
    for (name, length) in [("small", 10), ("large", LARGE as u64), ("empty", 0)] {
        let (reply, _) = site.ask(
            Method::HEAD,
            &format!("/static/{name}"),
            &[(RANGE, "bytes=0-0")],
        );
        assert_eq!(reply.status, 200);
        assert!(matches!(reply.body, Body::Empty), "{name}");
        assert_eq!(reply.declared_length, Some(length), "{name}");
        assert_eq!(
            reply.headers,
            site.get(&format!("/static/{name}"), &[]).headers
        );
    }
    let (missing, _) = site.ask(Method::HEAD, "/static/none", &[]);
    assert_eq!(missing.status, 404);
    assert!(matches!(missing.body, Body::Empty));
    assert!(missing.declared_length.is_some_and(|length| length > 0));
}

#[test]
fn other_methods_are_told_which_ones_there_are() {
    let site = Site::new().with("a", b"x");
    for method in [
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
    ] {
        let (reply, exchange) = site.ask(method.clone(), "/static/a", &[]);
        assert_eq!(reply.status, 405, "{method}");
        assert_eq!(field(&reply, ALLOW), "GET, HEAD");
        assert_eq!(exchange.notes.code, Some(Code::MethodNotAllowed));
    }
}

#[test]
fn a_folder_without_its_slash_is_sent_there_by_path_alone() {
    let site = Site::new()
        .with("docs/index.html", b"<p>")
        .with("index.html", b"<h1>");
    for (path, place) in [
        ("/static/docs", "/static/docs/?q=1"),
        ("/static", "/static/?q=1"),
    ] {
        let reply = site.get(path, &[]);
        assert_eq!(reply.status, 308);
        assert_eq!(field(&reply, LOCATION), place);
    }
    assert_eq!(
        site.read(&mut site.get("/static/docs/", &[])).unwrap(),
        b"<p>"
    );
    assert_eq!(site.read(&mut site.get("/static/", &[])).unwrap(), b"<h1>");
    let foreign = site.get("//evil.example", &[]);
    assert_eq!(foreign.status, 404);
}

#[test]
fn what_is_not_there_or_hidden_is_not_found_and_only_the_log_knows_why() {
    let mut site = Site::new()
        .with("a.txt", b"x")
        .with(".env", b"secret")
        .with(".git/config", b"secret");
    std::os::unix::fs::symlink("/etc/passwd", site.folder.path().join("passwd")).unwrap();
    for path in [
        "/static/none",
        "/static/a.txt/",
        "/static/.env",
        "/static/.git/config",
        "/static/passwd",
        "/statically",
        "/",
    ] {
        let (reply, exchange) = site.ask(Method::GET, path, &[]);
        assert_eq!(reply.status, 404, "{path}");
        assert_eq!(exchange.notes.code, Some(Code::NotFound));
        let Body::Full(problem) = &reply.body else {
            panic!("a problem document")
        };
        let problem = std::str::from_utf8(problem).unwrap();
        assert!(
            problem.contains("no file has this path") && !problem.contains("symlink"),
            "{problem}"
        );
    }
    let (_, exchange) = site.ask(Method::GET, "/static/passwd", &[]);
    assert!(exchange.notes.error.unwrap().contains("symlink"));

    site.spec.root = "/nowhere/at/all".into();
    let (reply, exchange) = site.ask(Method::GET, "/static/a.txt", &[]);
    assert_eq!(reply.status, 500);
    assert!(exchange.notes.error.unwrap().contains("root folder"));
    let Body::Full(problem) = &reply.body else {
        panic!("a problem document")
    };
    assert!(!std::str::from_utf8(problem).unwrap().contains("root"));
}

#[test]
fn a_version_that_the_client_has_is_not_sent_again() {
    let site = Site::new().with("a.txt", b"0123456789");
    let first = site.get("/static/a.txt", &[]);
    let (tag, date) = (field(&first, ETAG), field(&first, LAST_MODIFIED));
    for condition in [
        (IF_NONE_MATCH, tag),
        (IF_NONE_MATCH, "*"),
        (IF_MODIFIED_SINCE, date),
    ] {
        let reply = site.get("/static/a.txt", &[condition]);
        assert_eq!(reply.status, 304);
        assert!(reply.body.is_empty());
        assert_eq!(reply.declared_length, Some(10));
        assert_eq!(field(&reply, ETAG), tag);
        assert!(!reply.headers.contains_key(CONTENT_TYPE));
    }
    let failed = site.get("/static/a.txt", &[(http::header::IF_MATCH, "\"other\"")]);
    assert_eq!(failed.status, 412);
}

#[test]
fn a_new_version_has_a_new_tag_and_one_just_written_a_weak_one() {
    let site = Site::new().with("a.txt", b"0123456789");
    let first = site.get("/static/a.txt", &[]);
    site.touch("a.txt", UNIX_EPOCH + Duration::new(784_111_777, 1));
    let second = site.get("/static/a.txt", &[(IF_NONE_MATCH, field(&first, ETAG))]);
    assert_eq!(second.status, 200);
    assert_ne!(field(&second, ETAG), field(&first, ETAG));
    site.touch("a.txt", UNIX_EPOCH + Duration::from_secs(NOW_SECONDS - 1));
    assert!(field(&site.get("/static/a.txt", &[]), ETAG).starts_with("W/\""));
}

#[test]
fn a_time_that_no_date_can_say_harms_nobody() {
    let site = Site::new().with("a.txt", b"0123456789");
    site.touch("a.txt", UNIX_EPOCH - Duration::from_secs(1000));
    let reply = site.get(
        "/static/a.txt",
        &[(IF_MODIFIED_SINCE, "Sun, 06 Nov 1994 08:49:37 GMT")],
    );
    assert_eq!(reply.status, 304);
    assert!(!reply.headers.contains_key(LAST_MODIFIED));
    assert_eq!(site.get("/static/a.txt", &[]).status, 200);
}

#[test]
fn a_range_gives_that_part() {
    let content = octets(LARGE);
    let site = Site::new().with("a.bin", &content);
    let end = LARGE - 1;
    for (range, from, to) in [
        ("bytes=0-0".to_owned(), 0, 0),
        ("bytes=5-9".to_owned(), 5, 9),
        (format!("bytes={end}-"), end, end),
        ("bytes=-70000".to_owned(), LARGE - 70_000, end),
        (format!("bytes=1-{end}"), 1, end),
        ("bytes=0-".to_owned(), 0, end),
    ] {
        let mut reply = site.get("/static/a.bin", &[(RANGE, &range)]);
        assert_eq!(reply.status, 206, "{range}");
        assert_eq!(
            field(&reply, CONTENT_RANGE),
            format!("bytes {from}-{to}/{LARGE}")
        );
        assert!(
            site.read(&mut reply).unwrap() == content[from..=to],
            "{range}"
        );
    }
    let mut several = site.get("/static/a.bin", &[(RANGE, "bytes=0-1,5-6")]);
    assert_eq!(several.status, 200);
    assert!(!several.headers.contains_key(CONTENT_RANGE));
    assert!(site.read(&mut several).unwrap() == content);
}

#[test]
fn a_range_outside_the_file_is_told_its_length() {
    let site = Site::new().with("a.txt", b"0123456789").with("empty", b"");
    let (reply, exchange) = site.ask(Method::GET, "/static/a.txt", &[(RANGE, "bytes=10-")]);
    assert_eq!(reply.status, 416);
    assert_eq!(field(&reply, CONTENT_RANGE), "bytes */10");
    assert_eq!(exchange.notes.code, Some(Code::RangeNotSatisfiable));
    assert_eq!(
        field(
            &site.get("/static/empty", &[(RANGE, "bytes=0-")]),
            CONTENT_RANGE
        ),
        "bytes */0"
    );
    assert_eq!(
        site.get("/static/empty", &[(RANGE, "bytes=-1")]).status,
        200
    );
}

#[test]
fn a_file_that_shrinks_meanwhile_ends_in_an_error() {
    let site = Site::new().with("a.bin", &octets(LARGE));
    let mut reply = site.get("/static/a.bin", &[]);
    let shorter = File::options()
        .write(true)
        .open(site.folder.path().join("a.bin"))
        .unwrap();
    shorter
        .set_len(limits::BODY_READ_BYTES as u64 + 10)
        .unwrap();
    assert_eq!(reply.body.length(), BodyLength::Exact(LARGE as u64));
    let first = site.runtime.block_on(reply.body.frame());
    assert!(matches!(first, Some(Ok(Frame::Data(data))) if data.len() == limits::BODY_READ_BYTES));
    let second = site.runtime.block_on(reply.body.frame());
    assert_eq!(second.unwrap().unwrap_err().kind, Code::Internal);
    assert!(site.runtime.block_on(reply.body.frame()).is_none());
}

#[test]
fn a_file_that_grows_meanwhile_ends_where_it_was_announced_to() {
    let content = octets(LARGE);
    let site = Site::new().with("a.bin", &content);
    let mut reply = site.get("/static/a.bin", &[]);
    fs::write(site.folder.path().join("a.bin"), octets(LARGE + 1000)).unwrap();
    assert!(site.read(&mut reply).unwrap() == content);
}

#[test]
fn an_abandoned_body_is_no_harm() {
    let mut site = Site::new().with("a.bin", &octets(LARGE));
    site.runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let mut reply = site.get("/static/a.bin", &[]);
    // The only blocking thread is busy, so the read below is under way until this sender goes.
    let (busy, until) = std::sync::mpsc::sync_channel::<()>(1);
    site.runtime.spawn_blocking(move || until.recv());
    site.runtime.block_on(std::future::poll_fn(|cx| {
        assert!(reply.body.poll_frame(cx).is_pending());
        std::task::Poll::Ready(())
    }));
    drop(reply);
    drop(busy);
    assert_eq!(site.get("/static/a.bin", &[]).status, 200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_range_of_a_file_is_a_slice_of_it(length in 1usize..200_000, a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let content = octets(length);
        let site = Site::new().with("a", &content);
        let (a, b) = (a.index(length), b.index(length));
        let (from, to) = (a.min(b), a.max(b));
        let mut reply = site.get("/static/a", &[(RANGE, &format!("bytes={from}-{to}"))]);
        prop_assert_eq!(reply.status.as_u16(), 206);
        prop_assert!(site.read(&mut reply).unwrap() == content[from..=to]);
    }
}
