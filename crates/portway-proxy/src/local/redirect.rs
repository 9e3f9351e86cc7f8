//! A redirect: where the config says, plus what the client asked for behind the route's prefix.
//!
//! Must hold: the host is the config's. A path in the config gives a path in `Location`, and that
//! never starts with `//`, which browsers read as another host.

use http::StatusCode;
use http::header::{HeaderValue, LOCATION};
use portway_core::Code;
use portway_http::{Body, Exchange, Reply};
use portway_plan::Redirect;

use super::behind;

/// Answers with another place: `to`, then what follows `prefix` in the request's path, then the query.
///
/// A `to` with a query of its own names one place: no path is added to it, and the client's query
/// comes after its own. A fragment stays last.
#[must_use]
pub fn redirect(spec: &Redirect, prefix: Option<&str>, exchange: &mut Exchange) -> Reply {
    let request = &exchange.request;
    let rest = prefix
        .and_then(|prefix| behind(prefix, &request.path))
        .unwrap_or_default();
    let place = location(&spec.to, rest, request.query.as_deref());
    match HeaderValue::try_from(place) {
        Ok(place) => Reply::new(spec.status, Body::Empty).with_header(LOCATION, place),
        Err(_) => exchange.refuse(
            Code::Internal,
            "the redirect's `to` holds a control character",
        ),
    }
}

/// Sends the client to the same place at https. The host is the one that the client asked for: it was
/// checked on entry, and who can make a browser send it could send the browser there at once.
#[must_use]
pub fn redirect_https(port: u16, exchange: &mut Exchange) -> Reply {
    let request = &exchange.request;
    if request.host.is_empty() {
        return exchange.refuse(
            Code::BadHost,
            "a request without Host cannot be sent to https",
        );
    }
    let mut place = format!("https://{}", request.host);
    if port != 443 {
        place.push(':');
        place.push_str(&port.to_string());
    }
    place.push_str(if request.path == "*" {
        "/"
    } else {
        &request.path
    });
    if let Some(query) = &request.query {
        place.push('?');
        place.push_str(query);
    }
    match HeaderValue::try_from(place) {
        Ok(place) => {
            Reply::new(StatusCode::PERMANENT_REDIRECT, Body::Empty).with_header(LOCATION, place)
        }
        Err(_) => exchange.refuse(Code::BadHost, "the host cannot stand in a redirect"),
    }
}

/// `rest` is empty or starts with a slash.
fn location(to: &str, rest: &str, query: Option<&str>) -> String {
    let (to, fragment) = to
        .split_once('#')
        .map_or((to, None), |(to, fragment)| (to, Some(fragment)));
    let mut place = String::with_capacity(to.len() + rest.len() + query.map_or(0, str::len) + 2);
    let own_query = to.contains('?');
    if own_query || rest.is_empty() {
        place.push_str(to);
    } else {
        let base = to.trim_end_matches('/');
        place.push_str(base);
        if base.is_empty() {
            place.push('/');
            place.push_str(rest.trim_start_matches('/'));
        } else {
            place.push_str(rest);
        }
    }
    if let Some(query) = query {
        match (own_query, to.ends_with(['?', '&'])) {
            (false, _) => place.push('?'),
            (true, false) => place.push('&'),
            (true, true) => {}
        }
        place.push_str(query);
    }
    if let Some(fragment) = fragment {
        place.push('#');
        place.push_str(fragment);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::StatusCode;
    use portway_core::Code;

    fn ask(to: &str, prefix: Option<&str>, path: &str, query: Option<&str>) -> Reply {
        let mut exchange = Exchange::blank();
        exchange.request.host = "client.example".into();
        exchange.request.path = path.into();
        exchange.request.query = query.map(Into::into);
        let spec = Redirect {
            to: to.into(),
            status: StatusCode::PERMANENT_REDIRECT,
        };
        redirect(&spec, prefix, &mut exchange)
    }

    fn place(to: &str, prefix: Option<&str>, path: &str, query: Option<&str>) -> String {
        let reply = ask(to, prefix, path, query);
        assert_eq!(reply.status, StatusCode::PERMANENT_REDIRECT);
        assert!(reply.body.is_empty());
        reply.headers[LOCATION].to_str().unwrap().to_owned()
    }

    #[test]
    fn leads_to_the_place_plus_the_rest_of_the_path_and_the_query() {
        let old = Some("/old");
        let cases = [
            ("/new", old, "/old", None, "/new"),
            ("/new", old, "/old/", None, "/new/"),
            ("/new", old, "/old/a/b", Some("x=1"), "/new/a/b?x=1"),
            ("/new/", old, "/old/a", None, "/new/a"),
            ("/new/", old, "/old", None, "/new/"),
            ("/", old, "/old/a", None, "/a"),
            ("/new", None, "/old/a", Some("x=1"), "/new?x=1"),
            ("/new", old, "/old", Some(""), "/new?"),
            (
                "https://b.example",
                Some("/"),
                "/a",
                None,
                "https://b.example/a",
            ),
            (
                "https://b.example/",
                old,
                "/old/a%20b",
                None,
                "https://b.example/a%20b",
            ),
            (
                "https://b.example/x",
                old,
                "/old/a",
                Some("q"),
                "https://b.example/x/a?q",
            ),
            (
                "https://b.example/x?k=v",
                old,
                "/old/a",
                None,
                "https://b.example/x?k=v",
            ),
            (
                "https://b.example/x?k=v",
                old,
                "/old/a",
                Some("q=1"),
                "https://b.example/x?k=v&q=1",
            ),
            ("/x?", old, "/old", Some("q=1"), "/x?q=1"),
            ("/new#top", old, "/old/a", Some("q=1"), "/new/a?q=1#top"),
            (
                "/u",
                Some("/users/{id}"),
                "/users/7/posts",
                None,
                "/u/posts",
            ),
        ];
        for (to, prefix, path, query, expected) in cases {
            assert_eq!(
                place(to, prefix, path, query),
                expected,
                "{to} {prefix:?} {path}"
            );
        }
    }

    #[test]
    fn never_leads_to_a_host_that_the_client_chose() {
        for path in [
            "/old//evil.example",
            "/old///evil.example/x",
            "/old//",
            "/old/%2Fevil.example",
        ] {
            let place = place("/", Some("/old"), path, None);
            assert!(
                place.starts_with('/') && !place.starts_with("//"),
                "{path} gave {place}"
            );
        }
        let to_host = place("https://b.example", Some("/"), "/@evil.example", None);
        assert_eq!(to_host, "https://b.example/@evil.example");
        let dotted = place(
            "https://b.example",
            Some("/old/"),
            "/old/.evil.example",
            None,
        );
        assert_eq!(dotted, "https://b.example/.evil.example");
    }

    #[test]
    fn a_place_that_no_header_can_hold_is_the_gateways_failure() {
        let reply = ask("/new\r\nset-cookie: a=b", None, "/old", None);
        assert_eq!(reply.status.as_u16(), Code::Internal.status());
        assert!(!reply.headers.contains_key(LOCATION));
    }
}
