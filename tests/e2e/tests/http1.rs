//! HTTP/1 on both sides: connections, bodies, replies.

mod bodies;
mod broken;
mod continues;
mod persistence;
mod replies;
