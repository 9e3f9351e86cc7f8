//! HTTP/2 towards targets, without TLS: what arrives there, how connections are shared, and what
//! happens when the target misbehaves.

mod bodies;
mod faults;
mod messages;
mod pairs;
mod sharing;

use std::net::SocketAddr;

use portway_testkit::Gateway;

/// A gateway with one listener, one route and one upstream `origin` that speaks h2c, one worker.
/// `upstream` and `route` are more keys in flow style.
#[track_caller]
pub fn gateway_to(target: SocketAddr, upstream: &str, route: &str) -> Gateway {
    Gateway::start(&yaml(target, upstream, route))
}

pub fn yaml(target: SocketAddr, upstream: &str, route: &str) -> String {
    format!(
        "server: {{ workers: 1 }}\n\
         listeners: [ {{ name: public, bind: \"127.0.0.1:0\", http: {{ max_request_body: 0 }} }} ]\n\
         upstreams: [ {{ name: origin, protocol: h2c, targets: [ {{ addr: \"http://{target}\" }} ], {upstream} }} ]\n\
         routes: [ {{ name: all, prefix: /, upstream: origin, {route} }} ]\n"
    )
}
