//! End to end: config text in, bytes on sockets out, through the whole gateway in this process.
//!
//! Must hold: loopback only, on ports nobody chose; time moves by hand where it matters, and every wait
//! has an end. Never: looks at anything a client, an origin or an operator could not see.

mod attack;
mod balance;
mod http1;
mod limits;
mod pool;
mod resilience;
mod routing;
mod support;
mod timeouts;
mod reload;
mod filters;
mod jwt;
mod mini_gateway;
mod discovery;
mod differential;
