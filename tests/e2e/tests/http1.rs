//! HTTP/1 on both sides: connections, bodies, replies.

mod bodies;
mod broken;
mod continues;
mod departures;
mod persistence;
mod replies;
mod sizes;
