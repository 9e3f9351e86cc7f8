//! What the tests share: configs in few words, and looks at raw bytes.

pub mod browser;
pub mod h2_frames;
pub mod h2_origin;

use portway_testkit::{Gateway, Origin, RawClient, RawReply, raw::get};

/// A program that a test drives is not here. The test passes all the same, unless
/// `PORTWAY_TEST_PROGRAMS=required`: then nothing may go untested that could be tested.
#[track_caller]
pub fn missing(program: &str) {
    let words = format!("not tested: {program} is not here (scripts/ensure-tools.sh installs it)");
    let required = std::env::var("PORTWAY_TEST_PROGRAMS").is_ok_and(|says| says == "required");
    assert!(!required, "{words}");
    eprintln!("{words}");
}

/// This machine cannot have or run what a test drives, for this reason. Nobody could mend that, so the test passes,
/// whatever is required.
pub fn impossible(why: &str) {
    eprintln!("not tested: {why}");
}

/// A gateway with one listener `public`, one route `all`, one upstream `origin`, one worker. Each
/// method adds one line of YAML where its name says.
#[derive(Clone, Default)]
pub struct Setup {
    targets: Vec<String>,
    server: Vec<String>,
    listener: Vec<String>,
    upstream: Vec<String>,
    route: Vec<String>,
    filters: Vec<String>,
    globals: Vec<String>,
}

impl Setup {
    pub fn to(origin: &Origin) -> Setup {
        Setup::to_all(&[origin])
    }

    pub fn to_all(origins: &[&Origin]) -> Setup {
        Setup {
            targets: origins.iter().map(|origin| origin.url()).collect(),
            ..Setup::default()
        }
    }

    pub fn server(mut self, line: &str) -> Setup {
        self.server.push(line.into());
        self
    }

    pub fn listener(mut self, line: &str) -> Setup {
        self.listener.push(line.into());
        self
    }

    pub fn upstream(mut self, line: &str) -> Setup {
        self.upstream.push(line.into());
        self
    }

    pub fn route(mut self, line: &str) -> Setup {
        self.route.push(line.into());
        self
    }

    /// A filter of the route.
    pub fn filter(mut self, line: &str) -> Setup {
        self.filters.push(format!("- {line}"));
        self
    }

    /// A global filter.
    pub fn global(mut self, line: &str) -> Setup {
        self.globals.push(format!("- {line}"));
        self
    }

    pub fn yaml(&self) -> String {
        let targets = self.targets.iter().map(|url| format!("- addr: {url}"));
        let mut yaml = String::from("server:\n  workers: 1\n");
        yaml += &indented(2, &self.server);
        yaml += "listeners:\n  - name: public\n    bind: 127.0.0.1:0\n";
        yaml += &indented(4, &self.listener);
        yaml += "upstreams:\n  - name: origin\n    targets:\n";
        yaml += &indented(6, &targets.collect::<Vec<_>>());
        yaml += &indented(4, &self.upstream);
        yaml += "routes:\n  - name: all\n    prefix: /\n    upstream: origin\n";
        yaml += &indented(4, &self.route);
        if !self.filters.is_empty() {
            yaml += "    filters:\n";
            yaml += &indented(6, &self.filters);
        }
        if !self.globals.is_empty() {
            yaml += "global_filters:\n";
            yaml += &indented(2, &self.globals);
        }
        yaml
    }

    #[track_caller]
    pub fn start(&self) -> Gateway {
        Gateway::start(&self.yaml())
    }
}

fn indented(by: usize, lines: &[String]) -> String {
    let indented = lines.iter().map(|line| format!("{:by$}{line}\n", ""));
    indented.collect()
}

/// A gateway in front of the origin, all defaults.
#[track_caller]
pub fn before(origin: &Origin) -> Gateway {
    Setup::to(origin).start()
}

/// A GET with these field lines.
pub fn get_with(target: &str, fields: &[&str]) -> String {
    with_body("GET", target, fields, "")
}

/// A request with Host, these field lines, and this body, for whose framing the lines speak.
pub fn with_body(method: &str, target: &str, fields: &[&str], body: &str) -> String {
    let fields: String = fields.iter().map(|line| format!("{line}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: test.example\r\n{fields}\r\n{body}")
}

/// Sends bytes that are no request: they must be answered with this status, the connection closed
/// behind the answer, and not one byte of them passed on.
#[track_caller]
pub fn expect_refused(gateway: &Gateway, origin: &Origin, request: impl AsRef<[u8]>, status: u16) {
    let request = request.as_ref();
    let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    let mut client = RawClient::connect(gateway.addr());
    client.send(request);
    let reply = client.try_reply("GET");
    let reply = reply.unwrap_or_else(|error| panic!("no reply ({error}) to {shown:?}"));
    let raw = String::from_utf8_lossy(&reply.raw).into_owned();
    assert_eq!(reply.status, status, "{shown:?}: {raw}");
    assert_eq!(reply.field("connection"), Some("close"), "{shown:?}: {raw}");
    client.half_close().expect_closed();
    let seen = origin.seen().all_bytes();
    assert!(
        seen.is_empty(),
        "{shown:?} reached the origin: {}",
        String::from_utf8_lossy(&seen)
    );
}

/// The gateway still serves.
#[track_caller]
pub fn expect_alive(gateway: &Gateway) {
    let reply = RawClient::get(gateway.addr(), "/still-there");
    assert!(reply.status < 500, "{}", reply.text());
}

/// The `code` of a problem document.
#[track_caller]
pub fn code(reply: &RawReply) -> String {
    assert_eq!(
        reply.field("content-type"),
        Some("application/problem+json"),
        "{}",
        String::from_utf8_lossy(&reply.raw)
    );
    let text = reply.text();
    let rest = text.split("\"code\":\"").nth(1);
    let code = rest.and_then(|rest| rest.split('"').next());
    code.unwrap_or_else(|| panic!("no code in {text}"))
        .to_owned()
}

/// Bytes that occur in no well-meant request, to be looked for at the origin.
pub const MARK: &str = "smuggled-mark";

/// No byte of the mark has reached the origin as a request of its own.
#[track_caller]
pub fn expect_no_mark(origin: &Origin) {
    let targets: Vec<String> = origin
        .requests()
        .iter()
        .map(|request| request.target().to_owned())
        .collect();
    assert!(
        !targets.iter().any(|target| target.contains(MARK)),
        "{targets:?}"
    );
}

/// A plain request for the mark.
pub fn marked() -> String {
    get(&format!("/{MARK}"))
}
