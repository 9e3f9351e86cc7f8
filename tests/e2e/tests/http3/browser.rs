//! A browser's HTTP/3: Chromium's own. It is told to use it: by Alt-Svc it goes only to those whose certificate
//! is from one of the authorities that it came with.

use portway_testkit::{Folder, Origin, replies};

use super::setup;
use crate::support::browser::{expect_told, open};
use crate::tls::Authority;

/// Says which protocol its replies came over, and whether bodies went there and back whole.
const PAGE: &str = r#"<!doctype html><title>protocols</title><script>
const tell = (what) => fetch("ORIGIN/told/" + encodeURIComponent(what), { mode: "no-cors" });
const body = "x".repeat(300000);
async function ask(n) {
    const path = "/echo?" + n;
    const reply = await fetch(path, { method: "POST", body });
    const same = (await reply.text()).endsWith(body);
    const [entry] = performance.getEntriesByName(location.origin + path);
    return entry.nextHopProtocol + " " + same;
}
Promise.all([1, 2, 3, 4].map(ask)).then((all) => tell([...new Set(all)].join()), tell);
</script>"#;

#[test]
fn chromium_asks_over_http3() {
    let told = Origin::start(replies::text(""));
    let page = PAGE.replace("ORIGIN", &told.url());
    let origin = Origin::start(move |request, conn| match request.target() {
        "/" => conn.reply(200, &["Content-Type: text/html"], &page),
        _ => replies::echo()(request, conn),
    });
    let ca = Authority::new();
    let gateway = setup(&origin, &ca).start();
    let (folder, port) = (Folder::new(), gateway.addr().port());
    let options = [
        "--host-resolver-rules=MAP a.example 127.0.0.1",
        &format!("--origin-to-force-quic-on=a.example:{port}"),
        &format!("--ignore-certificate-errors-spki-list={}", ca.key_hash("a")),
    ];
    let url = format!("https://a.example:{port}/");
    let Some(browser) = open(&folder, &url, &options) else {
        return;
    };
    expect_told(&browser, &told, "h3 true");
}
