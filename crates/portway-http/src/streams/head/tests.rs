use http::Request as Decoded;

use super::*;

fn read_with(
    decoded: http::request::Builder,
    limits: &HeadLimits,
    peer: Peer,
) -> Result<(Request, Head), ProxyError> {
    let (parts, ()) = decoded.body(()).unwrap().into_parts();
    let mut request = Request::blank();
    let protocol = parts.extensions.get::<::h2::ext::Protocol>().cloned();
    let protocol = protocol.as_ref().map(|p| p.as_str());
    let head = read(parts, protocol, limits, peer, &mut request)?;
    Ok((request, head))
}

fn ok(decoded: http::request::Builder) -> (Request, Head) {
    read_with(decoded, &HeadLimits::default(), Peer::Unknown).unwrap()
}

#[track_caller]
fn refused(decoded: http::request::Builder, code: Code) {
    match read_with(decoded, &HeadLimits::default(), Peer::Unknown) {
        Ok((request, _)) => panic!("taken: {request:?}"),
        Err(error) => assert_eq!(error.kind, code, "{error}"),
    }
}

#[test]
fn host_and_path_become_canonical() {
    let (request, head) = ok(Decoded::get("http://A.example:81/x/../%7ey?q=%2F"));
    assert_eq!(request.host, "a.example");
    assert_eq!(request.port, Some(81));
    assert_eq!(request.path, "/~y");
    assert_eq!(request.query.as_deref(), Some("q=%2F"));
    assert_eq!(head.declared, BodyLength::Unknown);
}

#[test]
fn authority_and_host_must_agree() {
    let both = |host: &str| Decoded::get("https://a.example/").header("host", host);
    assert_eq!(ok(both("A.example")).0.host, "a.example");
    refused(both("b.example"), Code::BadHost);
    refused(both("a.example:8080"), Code::BadHost);
    refused(both("a.example").header("host", "a.example"), Code::BadHost);
    refused(Decoded::get("/no-host"), Code::BadHost);
    assert_eq!(ok(Decoded::get("/x").header("host", "h")).0.host, "h");
    refused(Decoded::get("http://user@a.example/"), Code::BadHost);
}

#[test]
fn values_have_no_white_space_around_them() {
    let with = |value: &str| Decoded::get("http://a/").header("x-role", value);
    for value in [" admin", "admin ", "admin\t", " "] {
        refused(with(value), Code::BadRequest);
    }
    ok(with("an admin"));
    let cookies = Decoded::get("http://a/")
        .header("cookie", "a=1")
        .header("cookie", "");
    assert_eq!(ok(cookies).0.headers["cookie"], "a=1");
    ok(with(""));
}

#[test]
fn paths_that_are_ambiguous_are_refused_as_in_http1() {
    refused(Decoded::get("http://a/x%2fy"), Code::AmbiguousPath);
    refused(Decoded::get("http://a/..;/admin"), Code::AmbiguousPath);
    refused(Decoded::get("ftp://a/x"), Code::BadRequest);
    refused(Decoded::connect("a.example:443"), Code::NotImplemented);
}

#[test]
fn fields_of_the_connection_never_pass() {
    let at = || Decoded::post("http://a/");
    refused(at().header("connection", "x-real-ip"), Code::BadRequest);
    refused(at().header("upgrade", "websocket"), Code::BadRequest);
    refused(
        at().header("transfer-encoding", "chunked"),
        Code::BadRequest,
    );
    let (request, _) = ok(at()
        .header("te", "trailers")
        .header("keep-alive", "1")
        .header("proxy-connection", "close")
        .header("x-kept", "1"));
    let names: Vec<_> = request.headers.keys().map(|n| n.as_str()).collect();
    assert_eq!(names, ["x-kept"]);
}

#[test]
fn only_trusted_peers_say_who_the_client_is() {
    let forwarded = || {
        Decoded::get("http://a/")
            .header("x-forwarded-for", "1.2.3.4")
            .header("x_forwarded_for", "1.2.3.4")
    };
    assert!(ok(forwarded()).0.headers.is_empty());
    let (request, _) = read_with(forwarded(), &HeadLimits::default(), Peer::Trusted).unwrap();
    assert!(request.headers.contains_key("x-forwarded-for"));
    assert!(!request.headers.contains_key("x_forwarded_for"));
}

#[test]
fn one_content_length_or_none() {
    let at = |value: &str| Decoded::post("http://a/").header("content-length", value);
    assert_eq!(ok(at("12")).1.declared, BodyLength::Exact(12));
    refused(
        at("12").header("content-length", "12"),
        Code::AmbiguousFraming,
    );
    refused(at("+1"), Code::AmbiguousFraming);
}

#[test]
fn pieces_of_cookies_become_one_field() {
    let (request, _) = ok(Decoded::get("http://a/")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .header("cookie", "c=3"));
    let cookies: Vec<_> = request.headers.get_all(COOKIE).iter().collect();
    assert_eq!(cookies, ["a=1; b=2; c=3"]);
}

#[test]
fn heads_over_the_limits_are_refused() {
    let limits = HeadLimits {
        head_bytes_max: 1024,
        fields_max: 3,
        target_bytes_max: 100,
        ..HeadLimits::default()
    };
    let at = |path: &str| Decoded::get(format!("http://a{path}"));
    let code = |decoded| match read_with(decoded, &limits, Peer::Unknown) {
        Ok(_) => None,
        Err(error) => Some(error.kind),
    };
    assert_eq!(code(at("/").header("x", "y".repeat(900))), None);
    let large = at("/").header("x", "y".repeat(1024));
    assert_eq!(code(large), Some(Code::HeadersTooLarge));
    let many = (0..4).fold(at("/"), |b, i| b.header(format!("x-{i}"), "1"));
    assert_eq!(code(many), Some(Code::HeadersTooLarge));
    let long = at(&format!("/{}", "p".repeat(100)));
    assert_eq!(code(long), Some(Code::UriTooLong));
}

#[test]
fn a_client_may_wait_for_100_continue_and_for_nothing_else() {
    let at = |value: &str| Decoded::post("http://a/").header("expect", value);
    assert!(ok(at("100-Continue")).1.expects_continue);
    refused(at("200-ok"), Code::ExpectationFailed);
}
