//! Several origins behind one upstream, each of which says who it is.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portway_core::clock::ManualClock;
use portway_testkit::{Gateway, Origin, OriginConn, RawClient, RawRequest, eventually};
use portway_testkit::{raw::get, wait::within};

/// Origins that answer with their letter: the first `a`, the second `b`.
pub fn letters(count: u8) -> Vec<Origin> {
    let letters = (b'a'..).take(usize::from(count));
    letters.map(|letter| Origin::start(says(letter))).collect()
}

/// Answers with a letter.
pub fn says(letter: u8) -> impl Fn(&RawRequest, &mut OriginConn) + Send + Sync + 'static {
    move |_, conn| conn.reply(200, &[], [letter])
}

/// One listener that trusts loopback, one upstream `pool` and one route `all` to it, one worker.
/// `upstream` and `route` are more keys in flow style, `more` is more of the file.
pub struct Config<'a> {
    pub upstream: &'a str,
    pub route: &'a str,
    pub more: &'a str,
}

impl Config<'_> {
    pub const PLAIN: Config<'static> = Config {
        upstream: "",
        route: "",
        more: "",
    };

    /// Every origin with weight 1.
    pub fn yaml(&self, origins: &[Origin]) -> String {
        self.yaml_of(origins.iter().map(|origin| (origin.url(), 1)))
    }

    pub fn yaml_of(&self, targets: impl IntoIterator<Item = (impl Display, u32)>) -> String {
        let targets = targets
            .into_iter()
            .map(|(url, weight)| format!("{{ addr: \"{url}\", weight: {weight} }}"));
        let targets = targets.collect::<Vec<_>>().join(", ");
        self.yaml_from(&format!("targets: [ {targets} ]"))
    }

    /// `source` is `targets: …` or `discover: …`.
    pub fn yaml_from(&self, source: &str) -> String {
        let Config {
            upstream,
            route,
            more,
        } = self;
        format!(
            "server: {{ workers: 1 }}\n\
             listeners: [ {{ name: public, bind: \"127.0.0.1:0\", trusted_proxies: [127.0.0.0/8] }} ]\n\
             upstreams: [ {{ name: pool, {source}, {upstream} }} ]\n\
             routes: [ {{ name: all, prefix: /, upstream: pool, {route} }} ]\n\
             {more}\n"
        )
    }
}

/// One more request on this connection: who answered.
#[track_caller]
pub fn who(client: &mut RawClient, request: &str) -> String {
    client.send(request);
    let reply = client.reply();
    reply.expect_status(200).text()
}

/// Who answered each of `count` plain requests, one after the other on one connection.
#[track_caller]
pub fn ask(gateway: &Gateway, count: usize) -> String {
    let mut client = RawClient::connect(gateway.addr());
    let mut all = String::new();
    for _ in 0..count {
        all += &who(&mut client, &get("/"));
    }
    all
}

/// How often a letter is in the text.
pub fn count(all: &str, letter: char) -> usize {
    all.matches(letter).count()
}

/// Moves the gateway's time, and waits until its worker has noticed: the `Date` of its replies then
/// differs. Until then deadlines may be counted from the old time.
#[track_caller]
pub fn advance(gateway: &Gateway, hand: &ManualClock, by: Duration) {
    let before = date(gateway);
    hand.advance(by.max(Duration::from_secs(1)));
    eventually("the worker notices the time", || date(gateway) != before);
}

/// Of a reply that the gateway makes itself.
fn date(gateway: &Gateway) -> Option<String> {
    let mut client = RawClient::connect(gateway.addr());
    client
        .try_send("OPTIONS * HTTP/1.1\r\nHost: test.example\r\n\r\n")
        .ok()?;
    let reply = client.try_reply("OPTIONS").ok()?;
    reply.field("date").map(str::to_owned)
}

/// Something that origins wait for.
#[derive(Clone, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    pub fn open(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Waits until it is open, but not for ever.
    pub fn wait(&self) {
        within(Duration::from_secs(10), || self.0.load(Ordering::Acquire));
    }
}
