//! Acceptor against connector over real sockets: who gets in, what is resumed, what a failure says.

mod authority;
mod clients;
mod files;
mod targets;
