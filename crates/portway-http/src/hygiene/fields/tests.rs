use super::*;
use http::HeaderValue;
use proptest::prelude::*;

#[test]
fn knows_each_field_in_any_letter_case() {
    for (name, expected) in [
        ("Host", FieldKind::Host),
        ("Content-Length", FieldKind::ContentLength),
        ("Transfer-Encoding", FieldKind::TransferEncoding),
        ("Connection", FieldKind::Connection),
        ("Upgrade", FieldKind::Upgrade),
        ("Expect", FieldKind::Expect),
        ("TE", FieldKind::Te),
        ("Keep-Alive", FieldKind::HopByHop),
        ("Proxy-Connection", FieldKind::HopByHop),
        ("Proxy-Authenticate", FieldKind::HopByHop),
        ("Proxy-Authorization", FieldKind::HopByHop),
        ("Proxy-Authentication-Info", FieldKind::HopByHop),
        ("Trailer", FieldKind::HopByHop),
        ("HTTP2-Settings", FieldKind::HopByHop),
        ("Proxy", FieldKind::HopByHop),
        ("Forwarded", FieldKind::Forwarded),
        ("X-Forwarded", FieldKind::Forwarded),
        ("X-Forwarded-For", FieldKind::Forwarded),
        ("X-Forwarded-Client-Cert", FieldKind::Forwarded),
        ("X-Real-IP", FieldKind::Forwarded),
        ("X-Request-ID", FieldKind::Forwarded),
        ("X-Internal", FieldKind::Internal),
        ("X-Internal-User", FieldKind::Internal),
    ] {
        assert_eq!(classify(name.as_bytes()), expected, "{name}");
        assert_eq!(
            classify(name.to_ascii_lowercase().as_bytes()),
            expected,
            "{name}"
        );
        assert_eq!(
            classify(name.to_ascii_uppercase().as_bytes()),
            expected,
            "{name}"
        );
    }
}

#[test]
fn passes_ordinary_fields_on() {
    for name in [
        "Accept",
        "Authorization",
        "Cookie",
        "Content-Type",
        "User-Agent",
        "X-Forward",
        "X-ForwardedFor",
        "Hosts",
        "Post",
        "X-Internals",
        "X-Interna",
        "X-Real",
        "Te-X",
        "X-Request-Id2",
        "user_id",
        "X",
        "",
        "Via",
        "Content-Lengths",
        "X-API-Key",
    ] {
        assert_eq!(classify(name.as_bytes()), FieldKind::EndToEnd, "{name}");
    }
}

#[test]
fn finds_names_that_a_target_would_fold_onto_ours() {
    for name in [
        "X_Forwarded_For",
        "X-Forwarded_For",
        "x_forwarded-for",
        "X_FORWARDED_PROTO",
        "X.Forwarded.For",
        "Content_Length",
        "Transfer_Encoding",
        "transfer.encoding",
        "X_Real_IP",
        "X_Request_ID",
        "X_Internal_User",
        "X-Internal_User",
        "X_Internal",
        "X-Forwarded-Client_Cert",
        "Keep_Alive",
        "Proxy_Authorization",
        "X_Forwarded",
    ] {
        assert_eq!(classify(name.as_bytes()), FieldKind::Alias, "{name}");
    }
}

#[test]
fn splits_connection_options() {
    let options: Vec<_> = connection_options(b" close,, X-A ,\tkeep-alive ").collect();
    assert_eq!(options, [&b"close"[..], b"X-A", b"keep-alive"]);
    assert_eq!(connection_options(b"").count(), 0);
}

#[test]
fn reads_options_across_fields() {
    let mut options = ConnectionOptions::default();
    options.add(b"Keep-Alive");
    options.add(b"Upgrade, X-Hop");
    assert_eq!(
        options,
        ConnectionOptions {
            close: false,
            keep_alive: true,
            upgrade: true,
            named: true
        }
    );
    options.add(b"CLOSE");
    assert!(options.close);
}

#[test]
fn options_that_name_nothing_removable_are_not_names() {
    let mut options = ConnectionOptions::default();
    options.add(b"close, TE, HTTP2-Settings, Host, X-Forwarded-For, Authorization");
    assert!(!options.named);
}

fn headers(names: &[&'static str]) -> HeaderMap {
    names
        .iter()
        .map(|n| (n.parse().unwrap(), HeaderValue::from_static("v")))
        .collect()
}

#[test]
fn removes_every_value_of_a_named_field() {
    let mut map = headers(&["x-hop", "x-end"]);
    map.append("x-hop", HeaderValue::from_static("w"));
    remove_named(&mut map, &[&b"close, X-Hop"[..], b"x-absent"]);
    assert_eq!(map, headers(&["x-end"]));
}

#[test]
fn connection_cannot_remove_what_decides_identity_length_or_caching() {
    let kept = [
        "host",
        "content-length",
        "authorization",
        "cookie",
        "set-cookie",
        "cache-control",
        "vary",
        "x-forwarded-for",
        "x-real-ip",
        "x-request-id",
        "forwarded",
        "x-internal-user",
        "content-type",
        "transfer-encoding",
        "origin",
    ];
    let mut map = headers(&kept);
    let values: Vec<HeaderValue> = kept.iter().map(|n| HeaderValue::from_static(n)).collect();
    remove_named(&mut map, &values);
    assert_eq!(map, headers(&kept));
}

#[test]
fn odd_option_names_remove_nothing() {
    let mut map = headers(&["x-a"]);
    remove_named(&mut map, &[&b"x a, \"x-a\", \xff\xfe, x-a;q=1"[..]]);
    assert_eq!(map.len(), 1);
}

proptest! {
    #[test]
    fn letter_case_never_matters(name in "[a-zA-Z_.\\-]{0,28}") {
        let kind = classify(name.as_bytes());
        prop_assert_eq!(kind, classify(name.to_ascii_lowercase().as_bytes()));
        prop_assert_eq!(kind, classify(name.to_ascii_uppercase().as_bytes()));
    }

    #[test]
    fn an_unhyphenated_spelling_is_never_passed_on(
        name in "(x-forwarded-[a-z]{1,8}|x-internal-[a-z]{1,8}|x-real-ip|x-request-id|content-length|transfer-encoding|keep-alive)",
        separator in "[_.!#$%&'*+^`|~]",
    ) {
        prop_assert_eq!(classify(name.replace('-', &separator).as_bytes()), FieldKind::Alias);
    }

    #[test]
    fn no_octets_make_it_panic(name in proptest::collection::vec(any::<u8>(), 0..40)) {
        let _ = classify(&name);
        ConnectionOptions::default().add(&name);
        remove_named(&mut headers(&["x-a"]), &[name]);
    }
}
