//! End to end: config text in, bytes on sockets out, through the whole gateway in this process.
//!
//! Must hold: loopback only, on ports nobody chose; time moves by hand where it matters, and every wait
//! has an end. Never: judges by anything a client, an origin or an operator could not see; the inside is
//! looked at only to wait for it.

mod attack;
mod balance;
mod differential;
mod discovery;
mod filters;
mod grpc;
mod grpc_json;
mod http1;
mod http2;
mod http2_upstream;
mod http3;
mod jwt;
mod limits;
mod mini_gateway;
mod pool;
mod programs;
mod reload;
mod resilience;
mod routing;
mod support;
mod tcp;
mod timeouts;
mod tls;
mod websocket;
