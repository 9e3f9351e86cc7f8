//! A running `portway run` with its config file.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output};

use portway_testkit::ports::{Reserved, reserve};
use portway_testkit::process::{Signal, signal_to};
use portway_testkit::{Folder, Process, RawClient, RawReply, eventually};

/// The binary.
pub const PORTWAY: &str = env!("CARGO_BIN_EXE_portway");

/// Runs it to its end.
pub fn portway(args: &[&str]) -> Output {
    // Its own folder: a ./portway.yaml must not be found by accident.
    let folder = Folder::new();
    Command::new(PORTWAY)
        .args(args)
        .current_dir(folder.path())
        .output()
        .unwrap()
}

/// What it wrote.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A gateway process whose only route answers `/` with a text.
pub struct Running {
    pub folder: Folder,
    pub process: Process,
    pub gateway: Reserved,
    pub admin: Reserved,
}

impl Running {
    /// Starts one that says `first`.
    pub fn start() -> Running {
        Running::start_with("")
    }

    /// Starts one with more lines in its config.
    pub fn start_with(more: &str) -> Running {
        let (folder, gateway, admin) = (Folder::new(), reserve(), reserve());
        let file = folder.write("gateway.yaml", config(&gateway, &admin, "first") + more);
        let process = Process::start(PORTWAY, &["run", "-c", file.to_str().unwrap()]);
        let mut running = Running {
            folder,
            process,
            gateway,
            admin,
        };
        running.process.wait_port(running.gateway.addr());
        running.process.wait_port(running.admin.addr());
        running
    }

    /// Its config file.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("gateway.yaml")
    }

    /// A config that says something else.
    pub fn config(&self, says: &str) -> String {
        config(&self.gateway, &self.admin, says)
    }

    /// What it says now.
    pub fn says(&self) -> String {
        RawClient::get(self.gateway.addr(), "/").text()
    }

    /// Waits until it says this.
    pub fn wait_says(&self, what: &str) {
        eventually(&format!("it says {what:?}"), || self.says() == what);
    }

    /// Asks the operators' API.
    pub fn operators(&self, method: &str, target: &str, more: &str) -> RawReply {
        let addr: SocketAddr = self.admin.addr();
        RawClient::ask(
            addr,
            format!("{method} {target} HTTP/1.1\r\nHost: {addr}\r\n{more}\r\n"),
        )
    }

    /// Sends a signal to the process that serves now: the first one, or the latest of its successors.
    pub fn signal_latest(&self, signal: Signal) {
        let output = self.process.output();
        let mut successors = output
            .lines()
            .filter(|line| line.contains("the successor serves"));
        match successors
            .next_back()
            .and_then(|line| line.rsplit_once("pid="))
        {
            None => self.process.signal(signal),
            Some((_, pid)) => signal_to(pid.trim().parse().unwrap(), signal),
        }
    }

    /// The value of a series; 0 if there is none.
    pub fn metric(&self, series: &str) -> u64 {
        let text = self.operators("GET", "/metrics", "").text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or(0)
    }
}

fn config(gateway: &Reserved, admin: &Reserved, says: &str) -> String {
    format!(
        "server: {{ host: 127.0.0.1, port: {}, workers: 2, drain_timeout: 3s }}\n\
         admin: {{ bind: \"{}\" }}\n\
         routes:\n  - {{ name: all, prefix: /, respond: {{ status: 200, body: \"{says}\" }} }}\n",
        gateway.port(),
        admin.addr(),
    )
}
