//! Replies that the gateway makes without an upstream: [`redirect()`], [`respond`], [`serve_static`],
//! [`show`].
//!
//! Must hold: a reply to HEAD has no body and the fields of the same reply to GET; a redirect leads to
//! a host that the config names, never to one that the client chose; nothing outside a folder's root
//! is served from it.

mod check;
mod exposed;
mod files;
mod fixed;
mod redirect;

pub use check::{CHECKS, check_of_name};
pub use exposed::{Page, Shown, exposed_page, show};
pub use files::serve_static;
pub use fixed::respond;
pub use redirect::{redirect, redirect_https};

use http::Method;
use portway_http::h1::serialize::is_bodiless;
use portway_http::{Body, BodyLength, Exchange, Reply};

/// For HEAD, takes the body off and says how long it would be.
fn without_body_for_head(exchange: &Exchange, mut reply: Reply) -> Reply {
    if exchange.request.method == Method::HEAD && !is_bodiless(reply.status) {
        if let BodyLength::Exact(length) = reply.body.length() {
            reply.declared_length = Some(length);
        }
        reply.body = Body::Empty;
    }
    reply
}

/// What follows a route's prefix in a path that the route matched: empty, or from a slash on.
///
/// A parameter (`/users/{id}`) stands for one segment, so it is segments that are counted. `None` if
/// the path is shorter than the prefix, or differs from it where it is plain.
pub fn behind<'p>(prefix: &str, path: &'p str) -> Option<&'p str> {
    let prefix = prefix.trim_end_matches('/');
    if !prefix.contains('{') {
        let rest = path.strip_prefix(prefix)?;
        return (rest.is_empty() || rest.starts_with('/')).then_some(rest);
    }
    let mut slashes = path.match_indices('/').map(|(at, _)| at);
    let segments = prefix.matches('/').count();
    let last = slashes.nth(segments.checked_sub(1)?)?;
    Some(match path[last + 1..].find('/') {
        Some(length) => &path[last + 1 + length..],
        None => "",
    })
}

#[cfg(test)]
mod tests {
    use super::behind;

    #[test]
    fn takes_a_prefix_off_on_a_segment_boundary() {
        let cases = [
            ("/old", "/old", Some("")),
            ("/old", "/old/", Some("/")),
            ("/old", "/old/a", Some("/a")),
            ("/old/", "/old/a", Some("/a")),
            ("/", "/a", Some("/a")),
            ("/", "/", Some("/")),
            ("", "/a", Some("/a")),
            ("/old", "/older", None),
            ("/old", "/", None),
            ("/users/{id}", "/users/7", Some("")),
            ("/users/{id}", "/users/7/a/b", Some("/a/b")),
            ("/users/{id}/x", "/users/7/x/y", Some("/y")),
            ("/users/{id}", "/users", None),
        ];
        for (prefix, path, rest) in cases {
            assert_eq!(behind(prefix, path), rest, "{prefix} {path}");
        }
    }
}
