use jsonwebtoken::{EncodingKey, Header, encode};
use portway_core::Code;
use portway_filter::Chain;
use portway_http::{Exchange, Reply};
use serde_json::json;

use super::kind;
use super::token::Claims;
use crate::testing::{chain, exchange, header, problems, request};

const SECRET: &str = "a secret of at least thirty-two bytes";

fn jwt(more: &str) -> Chain {
    chain(kind(), &format!("{{type: jwt, secret: {SECRET}{more}}}"))
}

fn token(claims: serde_json::Value) -> String {
    let mut claims = claims;
    claims["exp"] = json!(jsonwebtoken::get_current_timestamp() + 100);
    encode(
        &Header::default(),
        &claims,
        &EncodingKey::from_secret(SECRET.as_bytes()),
    )
    .unwrap()
}

fn with_token(claims: serde_json::Value) -> Exchange {
    exchange(&[("authorization", &format!("Bearer {}", token(claims)))])
}

fn challenge(reply: &Reply) -> String {
    header(reply, "www-authenticate")
}

#[test]
fn lets_a_signed_token_in_and_says_whose_it_is() {
    let chain = jwt("");
    for _ in 0..2 {
        let mut exchange = with_token(json!({"sub": "ann", "org": "acme"}));
        assert!(request(&chain, &mut exchange).is_none());
        assert_eq!(exchange.consumer.as_deref(), Some("ann"));
        let claims: &std::sync::Arc<Claims> = exchange.extensions.get().unwrap();
        assert_eq!(claims.find("org"), Some(&json!("acme")));
        assert!(exchange.request.headers.contains_key("authorization"));
    }
}

#[test]
fn asks_for_a_token_where_there_is_none() {
    for fields in [
        &[][..],
        &[("authorization", "Basic YTpi")],
        &[("authorization", "Bearer")],
    ] {
        let mut exchange = exchange(fields);
        let reply = request(&jwt(""), &mut exchange).unwrap();
        assert_eq!(
            (reply.status.as_u16(), &*challenge(&reply)),
            (401, "Bearer")
        );
        assert_eq!(exchange.notes.code, Some(Code::Unauthorized));
    }
}

#[test]
fn says_why_a_token_does_not_count() {
    let mut exchange = exchange(&[("authorization", "Bearer a.b.c")]);
    let reply = request(&jwt(""), &mut exchange).unwrap();
    let expected =
        "Bearer error=\"invalid_token\", error_description=\"the token is not a valid JWT\"";
    assert_eq!(
        (reply.status.as_u16(), &*challenge(&reply)),
        (401, expected)
    );
    assert_eq!(exchange.consumer, None);
}

#[test]
fn reads_the_scheme_in_any_case() {
    let value = format!("bearer  {}", token(json!({})));
    assert!(request(&jwt(""), &mut exchange(&[("authorization", &value)])).is_none());
}

#[test]
fn refuses_two_authorization_fields() {
    let mut exchange = with_token(json!({}));
    let other = http::HeaderValue::from_static("Basic YTpi");
    exchange.request.headers.append("authorization", other);
    assert_eq!(request(&jwt(""), &mut exchange).unwrap().status, 401);
}

#[test]
fn tells_the_target_who_calls_and_lets_no_client_do_so() {
    let chain = jwt(", claims_to_headers: {sub: X-User-Id, org: X-Org}, exclude_paths: [/open]");
    let forged = |exchange: &mut Exchange| {
        for name in ["x-user-id", "x_user_id", "x_user-id", "x.user.id", "x-org"] {
            let value = http::HeaderValue::from_static("forged");
            exchange.request.headers.append(name, value);
        }
    };
    let mut exchange = with_token(json!({"sub": "ann"}));
    forged(&mut exchange);
    assert!(request(&chain, &mut exchange).is_none());
    assert_eq!(exchange.request.header("x-user-id"), Some("ann"));
    assert_eq!(exchange.request.headers.len(), 2);
    let mut open = Exchange::blank();
    open.request.path = "/open".into();
    forged(&mut open);
    assert!(request(&chain, &mut open).is_none());
    assert!(open.request.headers.is_empty());
}

#[test]
fn leaves_excluded_paths_open_and_no_others() {
    let chain = jwt(", exclude_paths: [/health, /public/*]");
    let status = |path: &str| {
        let mut exchange = Exchange::blank();
        exchange.request.path = path.into();
        request(&chain, &mut exchange).map_or(200, |reply| reply.status.as_u16())
    };
    for open in ["/health", "/public/", "/public/a/b"] {
        assert_eq!(status(open), 200, "{open}");
    }
    for closed in [
        "/",
        "/health/",
        "/healthz",
        "/public",
        "/publicity",
        "/HEALTH",
    ] {
        assert_eq!(status(closed), 401, "{closed}");
    }
}

#[test]
fn forbids_what_the_token_does_not_grant() {
    let chain = jwt(", require: {permissions: [orders.read]}");
    let mut granted = with_token(json!({"sub": "ann", "scope": "orders.read"}));
    assert!(request(&chain, &mut granted).is_none());
    let mut exchange = with_token(json!({"sub": "ann"}));
    let reply = request(&chain, &mut exchange).unwrap();
    assert_eq!(reply.status, 403);
    assert_eq!(challenge(&reply), "Bearer error=\"insufficient_scope\"");
    assert_eq!(exchange.consumer.as_deref(), Some("ann"));
}

const KEYS: &str =
    "type: apikey\nkeys: [{key: k-one, consumer: mobile}, {key: k-two, consumer: web}]";

#[test]
fn lets_a_known_key_in_and_keeps_it_from_the_target() {
    let chain = chain(kind(), KEYS);
    let mut exchange = exchange(&[("x-api-key", "k-two")]);
    assert!(request(&chain, &mut exchange).is_none());
    assert_eq!(exchange.consumer.as_deref(), Some("web"));
    assert!(exchange.request.headers.is_empty());
}

#[test]
fn refuses_a_key_that_is_missing_unknown_or_doubled() {
    let chain = chain(kind(), KEYS);
    let two = [("x-api-key", "k-one"), ("x-api-key", "k-one")];
    for fields in [
        &[][..],
        &[("x-api-key", "k-three")],
        &[("x-api-key", "")],
        &two,
    ] {
        let mut exchange = exchange(fields);
        let reply = request(&chain, &mut exchange).unwrap();
        assert_eq!(
            (reply.status.as_u16(), &*challenge(&reply)),
            (401, "ApiKey")
        );
        assert_eq!(exchange.consumer, None);
    }
}

#[test]
fn reads_a_key_from_the_query_only_if_told_to() {
    let ask = |yaml: &str| {
        let mut exchange = Exchange::blank();
        exchange.request.query = Some("a=1&api_key=k-one".into());
        let reply = request(&chain(kind(), yaml), &mut exchange);
        (reply.is_none(), exchange.request.query)
    };
    assert_eq!(
        ask(&format!("{KEYS}\nquery: api_key")),
        (true, Some("a=1".into()))
    );
    assert_eq!(ask(KEYS), (false, Some("a=1&api_key=k-one".into())));
}

#[test]
fn says_what_is_wrong_with_a_jwt_config() {
    assert_eq!(
        problems(
            kind(),
            "type: jwt\nsecret: ''\nalgorithms: [RS256]\nkeys: []"
        ),
        "t.yaml:2:9: error: with an empty secret anyone could sign tokens\n  \
         hint: check that the variable it comes from is set\n\
         t.yaml:3:14: error: `RS256` is not supported yet by this version\n  \
         hint: use one of HS256, HS384, HS512\n\
         t.yaml:4:1: error: `keys` belongs to `type: apikey`\n  \
         hint: remove the key, or change the type"
    );
    assert!(problems(kind(), "type: jwt").contains("the key `secret` is missing"));
    assert!(problems(kind(), "type: oidc").contains("`oidc` is not supported yet"));
    assert!(problems(kind(), "secret: x").contains("the key `type` is missing"));
    let jwks = problems(kind(), "{type: jwt, secret: x, jwks: {url: x}}");
    assert!(jwks.contains("`jwks` is not supported yet"), "{jwks}");
    let weak = problems(kind(), "{type: jwt, secret: short}");
    assert!(
        weak.contains("warning: the secret is shorter than 32 bytes"),
        "{weak}"
    );
    assert!(
        !weak.contains("short}") && !weak.contains("error"),
        "{weak}"
    );
    let rest = "{type: jwt, secret: x, clock_skew: 2h, exclude_paths: ['/a/../b', b], \
                claims_to_headers: {sub: Host, org: X Y}}";
    let rest = problems(kind(), rest);
    for part in [
        "use at most 1h",
        "`/a/../b` can never",
        "`b` can never",
        "`Host` cannot carry",
    ] {
        assert!(rest.contains(part), "{part}: {rest}");
    }
}

#[test]
fn says_what_is_wrong_with_an_apikey_config() {
    let yaml =
        "type: apikey\nkeys: [{key: a, consumer: x}, {key: a, consumer: y}, {key: b}]\nissuer: z";
    assert_eq!(
        problems(kind(), yaml),
        "t.yaml:2:37: error: this key is in the list already\n  hint: give each consumer its own\n\
         t.yaml:2:54: error: the key `consumer` is missing\n  \
         hint: `consumer`: Who holds it, for limits and logs\n\
         t.yaml:3:1: error: `issuer` belongs to `type: jwt`\n  \
         hint: remove the key, or change the type"
    );
    assert!(problems(kind(), "type: apikey").contains("nobody could come in"));
    assert!(problems(kind(), "{type: apikey, keys: []}").contains("nobody could come in"));
    let empty = problems(kind(), "{type: apikey, keys: [{key: '', consumer: x}]}");
    assert!(
        empty.contains("an empty key would let anyone in"),
        "{empty}"
    );
}
