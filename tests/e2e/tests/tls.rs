//! TLS on both sides, by clients and origins that share no code with the gateway's side of it.

mod acme;
mod alpn;
mod alpn_origin;
pub mod authority;
pub mod client;
mod clients;
mod downstream;
mod origin;
mod pebble;
mod presented;
mod redirect;
mod reload;
mod sessions;
mod tools;
mod upstream;

pub use authority::Authority;
use client::TlsClient;
use origin::TlsOrigin;
use portway_testkit::{Folder, eventually};

/// A listener `public` of protocol https with these lines of `tls`, one route to this upstream.
fn https(tls: &str, upstream: &str) -> String {
    format!(
        "server: {{ workers: 1 }}\n\
         listeners: [ {{ name: public, bind: \"127.0.0.1:0\", protocol: https, tls: {{ {tls} }} }} ]\n\
         upstreams: [ {{ name: pool, {upstream} }} ]\n\
         routes: [ {{ name: all, prefix: /, upstream: pool }} ]\n"
    )
}

/// Global filters that give every exchange an id, every reply the security headers, and log to a folder.
fn identified(log: &Folder) -> String {
    format!(
        "global_filters: [ {{ request_id: {{}} }}, {{ security_headers: {{}} }}, {{ logging: {{ output: \"{}\" }} }} ]\n",
        log.path().join("access.log").display()
    )
}

/// The log has a record of this status under this id.
#[track_caller]
fn expect_logged(log: &Folder, status: u16, id: &str) {
    let status = format!("\"status_code\":{status},");
    eventually("it is logged under its id", || {
        let text = std::fs::read_to_string(log.path().join("access.log")).unwrap_or_default();
        let mut lines = text.lines();
        lines.any(|line| line.contains(&status) && line.contains(id))
    });
}

/// `targets` with one plain origin.
fn plain(origin: &portway_testkit::Origin) -> String {
    format!("targets: [ {{ addr: \"{}\" }} ]", origin.url())
}
