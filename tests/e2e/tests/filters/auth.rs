//! `auth`: who is let in.

use portway_testkit::{Gateway, Origin, RawClient, RawReply};

use super::origin;
use crate::jwt::{GOOD, SECRET, base64url, token, token_of};
use crate::support::{Setup, code, get_with};

fn start(origin: &Origin, more: &str) -> Gateway {
    let filter = format!("auth: {{ type: jwt, secret: \"{SECRET}\"{more} }}");
    Setup::to(origin).filter(&filter).start()
}

fn ask(gateway: &Gateway, token: &str) -> RawReply {
    let field = format!("Authorization: Bearer {token}");
    RawClient::ask(gateway.addr(), get_with("/", &[&field]))
}

#[track_caller]
fn expect_refused(gateway: &Gateway, token: &str, what: &str) {
    let reply = ask(gateway, token);
    assert_eq!(reply.status, 401, "{what}");
    assert_eq!(code(&reply), "unauthorized");
    let challenge = reply.field("www-authenticate").unwrap_or_default();
    assert!(
        challenge.starts_with("Bearer error=\"invalid_token\""),
        "{what}: {challenge}"
    );
}

#[test]
fn each_hmac_algorithm_that_is_allowed_is_good() {
    let origin = origin();
    let gateway = start(&origin, ", algorithms: [HS256, HS384, HS512]");
    for algorithm in ["HS256", "HS384", "HS512"] {
        ask(&gateway, &token(algorithm, GOOD)).expect_status(200);
    }
    let only = start(&origin, ""); // HS256
    expect_refused(&only, &token("HS384", GOOD), "not allowed");
    expect_refused(&only, &token("HS512", GOOD), "not allowed");
    ask(&only, &token("HS256", GOOD)).expect_status(200);
}

/// RFC 8725, section 2: what attackers write into the token's own head.
#[test]
fn the_token_does_not_choose_how_it_is_checked() {
    let origin = origin();
    let gateway = start(&origin, "");
    for alg in ["none", "None", "RS256", "ES256", "", "hs256", "HS1"] {
        let header = format!(r#"{{"alg":"{alg}"}}"#);
        expect_refused(&gateway, &token_of(&header, "", SECRET, GOOD), alg);
        expect_refused(&gateway, &token_of(&header, "HS256", SECRET, GOOD), alg);
    }
    let jwk = format!(
        r#"{{"alg":"HS256","jwk":{{"kty":"oct","k":"{}"}},"jku":"http://127.0.0.1/","kid":"../../dev/null"}}"#,
        base64url("mine")
    );
    expect_refused(
        &gateway,
        &token_of(&jwk, "HS256", "mine", GOOD),
        "a key of its own",
    );
    expect_refused(
        &gateway,
        &token_of(r#"{"alg":"HS256"}"#, "HS256", "", GOOD),
        "the empty key",
    );
    assert_eq!(origin.request_count(), 0);
}

#[test]
fn tokens_that_are_late_early_broken_or_missing_are_refused() {
    let origin = origin();
    let gateway = start(&origin, "");
    let good = token("HS256", GOOD);
    for (claims, what) in [
        (r#"{"sub":"a","exp":1000000000}"#, "expired in 2001"),
        (
            r#"{"sub":"a","exp":4102444800,"nbf":4000000000}"#,
            "not yet valid",
        ),
        (r#"{"sub":"a"}"#, "without an end"),
        (r#"{"sub":"a","exp":"never"}"#, "an end that is no number"),
        (r#"["exp"]"#, "no object"),
        ("not json", "no JSON"),
    ] {
        expect_refused(&gateway, &token("HS256", claims), what);
    }
    let other = token_of(r#"{"alg":"HS256"}"#, "HS256", "another secret", GOOD);
    expect_refused(&gateway, &other, "another secret");
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = message.split_once('.').unwrap();
    let admin = base64url(r#"{"sub":"admin","exp":4102444800}"#);
    expect_refused(
        &gateway,
        &format!("{head}.{admin}.{signature}"),
        "other claims",
    );
    expect_refused(&gateway, &format!("{message}."), "no signature");
    expect_refused(&gateway, message, "two parts");
    expect_refused(&gateway, &format!("{good}.x"), "four parts");
    for missing in [&[][..], &["Authorization: Basic YTpi"]] {
        let reply = RawClient::ask(gateway.addr(), get_with("/", missing));
        assert_eq!(
            reply.expect_status(401).field("www-authenticate"),
            Some("Bearer")
        );
    }
    let twice = format!("Authorization: Bearer {good}");
    RawClient::ask(gateway.addr(), get_with("/", &[&twice, &twice])).expect_status(401);
    assert_eq!(origin.request_count(), 0);
    ask(&gateway, &good).expect_status(200);
}

#[test]
fn claims_reach_the_origin_and_forged_ones_do_not() {
    let origin = origin();
    let gateway = start(
        &origin,
        ", claims_to_headers: { sub: X-User-Id, team: X-Team }, exclude_paths: [/open]",
    );
    let field = format!("Authorization: Bearer {}", token("HS256", GOOD));
    let forged = [
        "X-User-Id: root",
        "x_user_id: root",
        "X.User.Id: root",
        "X-Team: red",
        &field,
    ];
    RawClient::ask(gateway.addr(), get_with("/", &forged)).expect_status(200);
    let sent = origin.last_request();
    assert_eq!(sent.field("x-user-id"), Some("alice"));
    assert_eq!(sent.field("x-team"), Some("blue"));
    assert!(!String::from_utf8_lossy(&sent.raw()).contains("root"));
    RawClient::ask(gateway.addr(), get_with("/open", &forged[..4])).expect_status(200);
    assert_eq!(
        origin.last_request().field("x-user-id"),
        None,
        "nor without a token"
    );
}

#[test]
fn a_token_must_grant_what_the_route_requires() {
    let origin = origin();
    let gateway = start(
        &origin,
        ", require: { permissions: [orders.read] }, audience: shop",
    );
    let claims = |scope: &str, audience: &str| {
        token(
            "HS256",
            &format!(r#"{{"sub":"a","exp":4102444800,"scope":"{scope}","aud":"{audience}"}}"#),
        )
    };
    ask(&gateway, &claims("orders.read x", "shop")).expect_status(200);
    let poor = ask(&gateway, &claims("orders.write", "shop"));
    assert_eq!((poor.status, &*code(&poor)), (403, "forbidden"));
    expect_refused(&gateway, &claims("orders.read", "bank"), "for someone else");
}

#[test]
fn api_keys_come_by_header_or_query_and_go_no_further() {
    let origin = origin();
    let gateway = Setup::to(&origin)
        .filter("auth: { type: apikey, header: X-Key, query: api_key, keys: [ { key: k-1, consumer: mobile } ] }")
        .start();
    let ask = |target: &str, fields: &[&str]| {
        let reply = RawClient::ask(gateway.addr(), get_with(target, fields));
        reply.status
    };
    assert_eq!(ask("/", &["X-Key: k-1"]), 200);
    assert_eq!(origin.last_request().field("x-key"), None);
    assert_eq!(ask("/?a=1&api_key=k-1&b=2", &[]), 200);
    assert_eq!(origin.last_request().target(), "/?a=1&b=2");
    for (target, fields) in [
        ("/", &[][..]),
        ("/", &["X-Key: k-2"]),
        ("/", &["X-Key: k-1", "X-Key: k-2"]),
        ("/?api_key=k-2", &["X-Key: k-1"]),
        ("/?api_key=", &[]),
    ] {
        assert_eq!(ask(target, fields), 401, "{target} {fields:?}");
    }
}
