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
mod redirect;
mod reload;
mod sessions;
mod tools;
mod upstream;

pub use authority::Authority;
use client::TlsClient;
use origin::TlsOrigin;

/// A listener `public` of protocol https with these lines of `tls`, one route to this upstream.
fn https(tls: &str, upstream: &str) -> String {
    format!(
        "server: {{ workers: 1 }}\n\
         listeners: [ {{ name: public, bind: \"127.0.0.1:0\", protocol: https, tls: {{ {tls} }} }} ]\n\
         upstreams: [ {{ name: pool, {upstream} }} ]\n\
         routes: [ {{ name: all, prefix: /, upstream: pool }} ]\n"
    )
}

/// `targets` with one plain origin.
fn plain(origin: &portway_testkit::Origin) -> String {
    format!("targets: [ {{ addr: \"{}\" }} ]", origin.url())
}
