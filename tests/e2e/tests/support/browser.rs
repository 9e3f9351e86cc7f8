//! A browser: headless Chromium, whose pages say what they saw by asking an origin for `/told/...`.

use std::process::Command;
use std::time::Duration;

use portway_testkit::wait::within;
use portway_testkit::{Folder, Origin, Process};

use super::missing;

/// A browser takes its time, above all beside other tests.
pub const TIMEOUT: Duration = Duration::from_secs(60);

/// A browser that has opened this page; gone, with all it has started, when dropped.
pub fn open(folder: &Folder, url: &str, more: &[&str]) -> Option<Process> {
    let installed = Command::new("chromium").arg("--version").output();
    if !installed.is_ok_and(|output| output.status.success()) {
        missing("chromium");
        return None;
    }
    let mut command = Command::new("chromium");
    command.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--ignore-certificate-errors",
        "--remote-debugging-port=0", // without it, headless Chromium does not stay
    ]);
    command.args(more);
    command.arg(format!("--user-data-dir={}", folder.path().display()));
    command.env("HOME", folder.path()).arg(url);
    Some(Process::spawn(command))
}

/// Waits until a page has said so.
#[track_caller]
pub fn expect_told(browser: &Process, origin: &Origin, what: &str) {
    let wanted = format!("/told/{}", what.replace(' ', "%20"));
    let told = || origin.requests().iter().any(|r| r.target() == wanted);
    if !within(TIMEOUT, told) {
        let requests = origin.requests();
        let told: Vec<&str> = requests.iter().map(|r| r.target()).collect();
        panic!("no {what:?} in {told:?}\n{}", browser.output());
    }
}
