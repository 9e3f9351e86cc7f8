//! pebble, an ACME server for tests that somebody else wrote, with a DNS in which every name leads here.
//! It refuses one good nonce in twenty on purpose.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use portway_testkit::ports::{Reserved, free, reserve};
use portway_testkit::wait::within;
use portway_testkit::{Folder, Gateway, Process};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::client::Wishes;
use super::{Authority, TlsClient};
use crate::support::missing;

pub struct Pebble {
    ca: Authority,
    process: Option<Process>,
    _dns: Process,
    /// Kept while it makes its keys, which takes its time: others must not be given its ports meanwhile.
    directory: Reserved,
    management: Reserved,
    dns: Reserved,
    /// Where the gateway listens, and where pebble looks.
    pub http: Reserved,
    pub tls: Reserved,
    /// Where the gateway keeps what it gets.
    pub kept: Folder,
}

/// How one is started.
#[derive(Default)]
pub struct Manner {
    /// Lines of its config.
    pub more: String,
    /// Seconds that it takes for a check, at most; no time if none.
    pub slow: Option<u32>,
    /// Looks for http-01 where nobody is.
    pub blind: bool,
}

impl Pebble {
    /// One that runs; `None` where it is not installed.
    pub fn start(manner: &Manner) -> Option<Pebble> {
        let mut pebble = Pebble::prepare()?;
        pebble.run(manner);
        Some(pebble)
    }

    /// One that does not run yet.
    pub fn prepare() -> Option<Pebble> {
        let there = |program: &str| Path::new("/usr/bin").join(program).is_file();
        if !there("pebble") || !there("pebble-challtestsrv") {
            missing("pebble");
            return None;
        }
        let ca = Authority::new();
        ca.issue("pebble", &["localhost", "127.0.0.1"]);
        let (dns, control) = (reserve(), reserve());
        let mut dns_server = Process::start(
            "pebble-challtestsrv",
            &[
                "-dns01",
                &dns.addr().to_string(),
                "-management",
                &control.addr().to_string(),
                "-defaultIPv6",
                "",
                "-http01",
                "",
                "-https01",
                "",
                "-tlsalpn01",
                "",
            ],
        );
        dns_server.wait_port(control.addr());
        Some(Pebble {
            ca,
            process: None,
            _dns: dns_server,
            directory: reserve(),
            management: reserve(),
            dns,
            http: reserve(),
            tls: reserve(),
            kept: Folder::new(),
        })
    }

    /// Starts it; again, with all forgotten, if it runs.
    pub fn run(&mut self, manner: &Manner) {
        self.process = None;
        let http_port = if manner.blind {
            free()
        } else {
            self.http.port()
        };
        let config = format!(
            "{{\"pebble\": {{ \"listenAddress\": \"127.0.0.1:{}\", \"managementListenAddress\": \"127.0.0.1:{}\", \
             \"certificate\": \"pebble.pem\", \"privateKey\": \"pebble.key\", \"httpPort\": {http_port}, \"tlsPort\": {}, \
             \"ocspResponderURL\": \"\"{} }} }}",
            self.directory.port(),
            self.management.port(),
            self.tls.port(),
            manner.more
        );
        self.ca.folder.replace("pebble.json", config);
        let mut command = Command::new("pebble");
        command.current_dir(self.ca.folder.path());
        command.args(["-config", "pebble.json", "-dnsserver"]);
        command.arg(self.dns.addr().to_string());
        match manner.slow {
            None => command.env("PEBBLE_VA_NOSLEEP", "1"),
            Some(seconds) => command.env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
        };
        let process = Process::spawn(command);
        // It makes RSA keys first, which takes its time.
        let listens = || process.output().contains("ACME directory available");
        assert!(within(4 * SOON, listens), "{}", process.output());
        self.process = Some(process);
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.process
            .as_ref()
            .map(Process::output)
            .unwrap_or_default()
    }

    /// Orders that it took.
    pub fn orders(&self) -> usize {
        // Not what was posted: a bad nonce makes that twice as much.
        self.log().matches("Added order").count()
    }

    /// What it issues from, PEM.
    pub fn root(&self) -> String {
        let mut client =
            TlsClient::connect(self.management.addr(), "localhost", &Wishes::of(&self.ca));
        client.ask("/roots/0", "localhost").body
    }

    /// A client that trusts what it issues.
    pub fn wishes(&self) -> Wishes {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.root().as_bytes()).unwrap();
        roots.add(root).unwrap();
        Wishes::trusting(roots)
    }

    /// The URL of its directory.
    pub fn directory(&self) -> String {
        format!("https://127.0.0.1:{}/dir", self.directory.port())
    }

    /// A gateway's config: a plain listener and an https one that gets these names from here.
    pub fn yaml(&self, names: &str, acme: &str) -> String {
        self.yaml_in(self.kept.path(), names, acme)
    }

    pub fn yaml_in(&self, folder: &Path, names: &str, acme: &str) -> String {
        format!(
            "server: {{ workers: 1 }}\n\
             acme: {{ folder: {}, directory: \"{}\", ca: {}, contact: ops@example.com{acme} }}\n\
             listeners:\n\
             \x20 - {{ name: plain, bind: \"{}\", redirect_https: true }}\n\
             \x20 - {{ name: public, bind: \"{}\", protocol: https, tls: {{ certificates: [ {{ acme: [{names}] }} ] }} }}\n\
             routes: [ {{ name: all, prefix: /, respond: {{ body: hello }} }} ]\n",
            folder.display(),
            self.directory(),
            self.ca.path("ca.pem"),
            self.http.addr(),
            self.tls.addr(),
        )
    }

    /// The CA of its own certificate, and a place for files.
    pub fn authority(&self) -> &Authority {
        &self.ca
    }

    /// A file that the gateway keeps, by how its name ends.
    pub fn find(&self, ending: &str) -> Option<std::path::PathBuf> {
        let folders = std::fs::read_dir(self.kept.path()).ok()?.flatten();
        let mut files = folders.filter_map(|folder| std::fs::read_dir(folder.path()).ok());
        let mut files = files.by_ref().flatten().flatten().map(|file| file.path());
        files.find(|path| path.to_string_lossy().ends_with(ending))
    }
}

/// An order may take a few nonces, and a slow machine.
pub const SOON: Duration = Duration::from_secs(30);

/// Waits until the gateway has a certificate; what it is.
#[track_caller]
pub fn issued(gateway: &Gateway) -> portway_tls::CertificateInfo {
    let mut found = None;
    within(SOON, || {
        found = gateway.inner().certificates().remove(0).info;
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("no certificate: {:?}", gateway.inner().certificates()))
}

/// Waits for a failure; what it says.
#[track_caller]
pub fn failure(gateway: &Gateway) -> String {
    let mut said = None;
    within(SOON, || {
        let acme = gateway.inner().certificates().remove(0).acme.unwrap();
        said = acme.last_error.map(|(_, what)| what);
        said.is_some()
    });
    said.expect("a failure")
}
