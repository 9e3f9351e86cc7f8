//! Who may call the operators' API.
//!
//! Must hold: without a token only this host may call, and only by a name of this host: a web page
//! whose name was made to point here (DNS rebinding) is refused by its Host, one from elsewhere by its
//! Origin. With a token nothing but its holder gets past, in constant time.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, HeaderValue, ORIGIN, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use portway_config::Secret;
use portway_http::hygiene::host::parse_authority;

use crate::answer::{Answered, problem};

/// Where a call came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// On a TCP address.
    Tcp(IpAddr),
    /// On a unix socket, which a browser cannot reach.
    Unix,
}

/// Whether a page tells nothing that a stranger on this host may not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Page {
    /// `/health` and `/ready`: probes have no token.
    Open,
    /// All others.
    Guarded,
}

/// Refuses who may not call; `None` if the call is fine.
pub(crate) fn refuse(
    door: Door,
    token: Option<&Secret>,
    page: Page,
    headers: &HeaderMap,
) -> Option<Answered> {
    if !origin_is_ours(headers) {
        let detail = "a page of another origin may not call this";
        return Some(problem(StatusCode::FORBIDDEN, "foreign_origin", detail));
    }
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return (!host_is_ours(door, headers)).then(|| {
            let detail = "the Host must be localhost or the address that this listens on";
            problem(StatusCode::FORBIDDEN, "foreign_host", detail)
        });
    };
    if page == Page::Open || holds(token, headers) {
        return None;
    }
    let mut answer = problem(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        "send `Authorization: Bearer TOKEN`",
    );
    answer.headers_mut().insert(
        WWW_AUTHENTICATE,
        HeaderValue::from_static("Bearer realm=\"portway\""),
    );
    Some(answer)
}

fn holds(token: &Secret, headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let Some((scheme, guess)) = value.as_bytes().split_at_checked("Bearer ".len()) else {
        return false;
    };
    scheme.eq_ignore_ascii_case(b"Bearer ") && token.matches(guess)
}

fn host_is_ours(door: Door, headers: &HeaderMap) -> bool {
    let Door::Tcp(bound) = door else { return true };
    let mut values = headers.get_all(HOST).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    let mut host = String::new();
    if parse_authority(value.as_bytes(), &mut host).is_err() {
        return false;
    }
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback() || address == bound)
}

/// No Origin, or the one that the Host names: a page that this served itself.
fn origin_is_ours(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).map(HeaderValue::as_bytes);
    headers.get_all(ORIGIN).iter().all(|origin| {
        let origin = origin.as_bytes();
        let authority = origin
            .strip_prefix(b"http://")
            .or_else(|| origin.strip_prefix(b"https://"));
        authority.is_some() && authority == host
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const LOOPBACK: Door = Door::Tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));

    fn call(door: Door, token: Option<&str>, page: Page, fields: &[(&'static str, &str)]) -> u16 {
        let token = token.map(Secret::new);
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        refuse(door, token.as_ref(), page, &headers).map_or(200, |answer| answer.status().as_u16())
    }

    #[test]
    fn refuses_a_host_that_is_not_this_host() {
        let host = |host| call(LOOPBACK, None, Page::Guarded, &[("host", host)]);
        for ours in [
            "localhost",
            "LOCALHOST:9901",
            "127.0.0.1:9901",
            "127.8.8.8",
            "[::1]:9901",
        ] {
            assert_eq!(host(ours), 200, "{ours}");
        }
        for foreign in [
            "evil.example",
            "10.0.0.1",
            "localhost.evil.example",
            "a@localhost",
            "",
        ] {
            assert_eq!(host(foreign), 403, "{foreign}");
        }
        assert_eq!(call(LOOPBACK, None, Page::Guarded, &[]), 403);
        assert_eq!(
            call(LOOPBACK, None, Page::Open, &[("host", "evil.example")]),
            403
        );
        let twice = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(call(LOOPBACK, None, Page::Guarded, &twice), 403);
        assert_eq!(
            call(Door::Unix, None, Page::Guarded, &[("host", "anything")]),
            200
        );
    }

    #[test]
    fn refuses_a_foreign_origin_even_with_the_token() {
        let origin = |origin| {
            let fields = [
                ("host", "localhost:9901"),
                ("origin", origin),
                ("authorization", "Bearer t"),
            ];
            call(LOOPBACK, Some("t"), Page::Guarded, &fields)
        };
        assert_eq!(origin("http://localhost:9901"), 200);
        for foreign in ["http://evil.example", "null", "http://localhost:8080", ""] {
            assert_eq!(origin(foreign), 403, "{foreign}");
        }
    }

    #[test]
    fn lets_only_the_token_holder_in() {
        let with = |page, value: &str| {
            let fields = [("host", "gateway.internal"), ("authorization", value)];
            call(LOOPBACK, Some("s3cret"), page, &fields)
        };
        assert_eq!(with(Page::Guarded, "Bearer s3cret"), 200);
        assert_eq!(with(Page::Guarded, "bearer s3cret"), 200);
        for wrong in [
            "Bearer s3cre",
            "Bearer s3cret ",
            "Basic s3cret",
            "s3cret",
            "Bearer ",
        ] {
            assert_eq!(with(Page::Guarded, wrong), 401, "{wrong}");
        }
        assert_eq!(with(Page::Open, "Bearer wrong"), 200);
        assert_eq!(
            call(LOOPBACK, Some(""), Page::Guarded, &[("host", "localhost")]),
            200
        );
    }
}
