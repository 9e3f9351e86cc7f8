use jsonwebtoken::{EncodingKey, Header, encode};
use serde_json::json;

use super::*;

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";

fn rules() -> Rules {
    Rules {
        algorithms: vec![Algorithm::HS256],
        secret: SECRET.into(),
        issuers: Vec::new(),
        audiences: Vec::new(),
        clock_skew: Duration::from_secs(60),
        require_exp: true,
        claims_to_headers: Vec::new(),
        permissions: Vec::new(),
        roles: Vec::new(),
    }
}

fn in_secs(offset: i64) -> i64 {
    jsonwebtoken::get_current_timestamp() as i64 + offset
}

fn token(claims: Value) -> String {
    signed(&Header::default(), claims, SECRET)
}

fn signed(header: &Header, claims: Value, secret: &[u8]) -> String {
    encode(header, &claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn check(rules: Rules, claims: Value) -> Result<Verified, Reason> {
    Verifier::new(rules).verify(&token(claims))
}

#[test]
fn accepts_a_signed_token_and_says_whose_it_is() {
    let exp = in_secs(100);
    let verified = check(rules(), json!({"sub": "ann", "exp": exp, "aud": "any"})).unwrap();
    assert_eq!(verified.consumer.as_deref(), Some("ann"));
    assert_eq!(verified.valid_to, exp as u64 + 60);
    assert!(verified.enough);
}

#[test]
fn refuses_a_token_after_its_end_and_before_its_beginning() {
    assert!(check(rules(), json!({"exp": in_secs(-50)})).is_ok());
    assert_eq!(
        check(rules(), json!({"exp": in_secs(-70)})).unwrap_err(),
        Reason::Expired
    );
    let early = json!({"exp": in_secs(500), "nbf": in_secs(100)});
    assert_eq!(check(rules(), early).unwrap_err(), Reason::NotYet);
}

#[test]
fn needs_an_end_unless_switched_off() {
    assert_eq!(
        check(rules(), json!({"sub": "ann"})).unwrap_err(),
        Reason::Claim
    );
    assert_eq!(
        check(rules(), json!({"exp": "soon"})).unwrap_err(),
        Reason::Claim
    );
    let lax = || Rules {
        require_exp: false,
        ..rules()
    };
    assert_eq!(
        check(lax(), json!({"sub": "ann"})).unwrap().valid_to,
        u64::MAX
    );
    assert_eq!(
        check(lax(), json!({"exp": in_secs(-70)})).unwrap_err(),
        Reason::Expired
    );
}

#[test]
fn refuses_a_changed_token_and_another_key() {
    let good = token(json!({"sub": "ann", "exp": in_secs(100)}));
    let (rest, signature) = good.rsplit_once('.').unwrap();
    let (head, _) = rest.split_once('.').unwrap();
    let other = token(json!({"sub": "eve", "exp": in_secs(100)}));
    let payload = other.split('.').nth(1).unwrap();
    let verifier = Verifier::new(rules());
    let changed = format!("{head}.{payload}.{signature}");
    assert_eq!(verifier.verify(&changed).unwrap_err(), Reason::Signature);
    let foreign = signed(
        &Header::default(),
        json!({"exp": in_secs(100)}),
        b"another secret",
    );
    assert_eq!(verifier.verify(&foreign).unwrap_err(), Reason::Signature);
}

#[test]
fn takes_the_algorithm_from_the_config_never_from_the_token() {
    let verifier = Verifier::new(rules());
    let claims = json!({"exp": in_secs(100)});
    let hs512 = signed(&Header::new(Algorithm::HS512), claims.clone(), SECRET);
    assert_eq!(verifier.verify(&hs512).unwrap_err(), Reason::Algorithm);
    // {"alg":"none","typ":"JWT"}
    let payload = token(claims).split('.').nth(1).unwrap().to_owned();
    let none = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
    assert!(verifier.verify(&none).is_err());
    let both = Rules {
        algorithms: vec![Algorithm::HS256, Algorithm::HS512],
        ..rules()
    };
    assert!(Verifier::new(both).verify(&hs512).is_ok());
}

#[test]
fn refuses_critical_extensions() {
    let header = Header {
        crit: Some(vec!["b64".into()]),
        ..Header::default()
    };
    let token = signed(&header, json!({"exp": in_secs(100)}), SECRET);
    assert_eq!(
        Verifier::new(rules()).verify(&token).unwrap_err(),
        Reason::Critical
    );
}

#[test]
fn refuses_what_is_not_a_token() {
    let verifier = Verifier::new(rules());
    for text in ["", ".", "..", "a.b.c", "a.b.c.d", "no dots at all"] {
        assert_eq!(
            verifier.verify(text).unwrap_err(),
            Reason::Malformed,
            "{text}"
        );
    }
}

#[test]
fn needs_the_issuer_and_audience_that_the_config_names() {
    let strict = || Rules {
        issuers: vec!["https://id.example".into()],
        audiences: vec!["orders".into()],
        ..rules()
    };
    let claims = |iss: Value, aud: Value| json!({"exp": in_secs(100), "iss": iss, "aud": aud});
    let good = "https://id.example";
    assert!(check(strict(), claims(json!(good), json!(["users", "orders"]))).is_ok());
    let other_iss = claims(json!("https://evil.example"), json!("orders"));
    assert_eq!(check(strict(), other_iss).unwrap_err(), Reason::Issuer);
    let other_aud = claims(json!(good), json!("users"));
    assert_eq!(check(strict(), other_aud).unwrap_err(), Reason::Audience);
    let absent = json!({"exp": in_secs(100), "aud": "orders"});
    assert_eq!(check(strict(), absent).unwrap_err(), Reason::Claim);
    let odd = claims(json!(good), json!({"a": 1}));
    assert_eq!(check(strict(), odd).unwrap_err(), Reason::Claim);
}

#[test]
fn looks_for_permissions_and_roles_where_issuers_put_them() {
    let strict = || Rules {
        permissions: vec!["orders.read".into(), "orders.write".into()],
        roles: vec!["admin".into(), "clerk".into()],
        ..rules()
    };
    let enough = |mut claims: Value| {
        claims["exp"] = json!(in_secs(100));
        check(strict(), claims).unwrap().enough
    };
    assert!(enough(
        json!({"permissions": ["orders.read", "orders.write"], "roles": ["clerk"]})
    ));
    assert!(enough(json!({
        "scope": "orders.write orders.read",
        "realm_access": {"roles": ["admin"]}
    })));
    assert!(!enough(
        json!({"permissions": ["orders.read"], "roles": ["admin"]})
    ));
    assert!(!enough(
        json!({"scope": "orders.read orders.write", "roles": ["guest"]})
    ));
    assert!(!enough(
        json!({"scope": "orders.readorders.write", "roles": ["admin"]})
    ));
}

#[test]
fn makes_headers_of_claims() {
    let named =
        |claim: &str, header: &'static str| (claim.to_owned(), HeaderName::from_static(header));
    let rules = Rules {
        claims_to_headers: vec![
            named("sub", "x-user-id"),
            named("org.id", "x-org-id"),
            named("roles", "x-roles"),
            named("bad", "x-bad"),
            named("none", "x-none"),
        ],
        ..rules()
    };
    let claims = json!({
        "exp": in_secs(100), "sub": "ann", "org": {"id": 7}, "roles": ["a", "b"],
        "bad": "x\r\nX-Admin: 1"
    });
    let headers = check(rules, claims).unwrap().headers;
    let headers: Vec<_> = headers
        .iter()
        .map(|(n, v)| (n.as_str(), v.to_str().unwrap()))
        .collect();
    assert_eq!(
        headers,
        [("x-user-id", "ann"), ("x-org-id", "7"), ("x-roles", "a,b")]
    );
}
