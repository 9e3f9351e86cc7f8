//! The rules of docs on security, one module for a class of past vulnerabilities, checked on the very
//! bytes that the origin received. A test's name begins with its row.

mod access;
mod cl_te_smuggling;
mod headers;
mod host_and_path;
mod http2_downgrade;
mod http2_floods;
mod leaks;
mod slow_clients;
mod smuggling;
