use super::*;
use proptest::prelude::*;

fn parse(raw: &str) -> Result<(String, Option<u16>), ProxyError> {
    let mut out = String::from("old");
    parse_authority(raw.as_bytes(), &mut out).map(|port| (out, port))
}

fn refuses(raw: &str) {
    let error = parse(raw).expect_err(raw);
    assert_eq!(error.kind, Code::BadHost, "{raw}");
}

#[test]
fn lower_cases_names() {
    assert_eq!(
        parse("API.Example.COM").unwrap(),
        ("api.example.com".into(), None)
    );
    assert_eq!(
        parse("a_b-c.x1:8080").unwrap(),
        ("a_b-c.x1".into(), Some(8080))
    );
}

#[test]
fn takes_off_one_trailing_dot() {
    assert_eq!(parse("example.com.").unwrap(), ("example.com".into(), None));
    assert_eq!(
        parse("example.com.:80").unwrap(),
        ("example.com".into(), Some(80))
    );
    for raw in ["example.com..", ".", "..", ".:80"] {
        refuses(raw);
    }
}

#[test]
fn takes_ipv4_only_dotted() {
    assert_eq!(
        parse("127.0.0.1:80").unwrap(),
        ("127.0.0.1".into(), Some(80))
    );
    for raw in [
        "127.1",
        "2130706433",
        "0x7f.0.0.1",
        "0x7f000001",
        "127.0.0.01",
        "1.2.3.4.5",
        "256.1.1.1",
        "a.0x1",
        "a.1",
    ] {
        refuses(raw);
    }
    assert_eq!(parse("1.2.3.4.example").unwrap().0, "1.2.3.4.example");
}

#[test]
fn writes_ipv6_in_one_way() {
    assert_eq!(parse("[::1]").unwrap(), ("[::1]".into(), None));
    assert_eq!(
        parse("[2001:DB8:0:0::0001]:443").unwrap(),
        ("[2001:db8::1]".into(), Some(443))
    );
    for raw in [
        "[",
        "[]",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]:",
        "[::1%25eth0]",
        "[1.2.3.4]",
        "[::g]",
        "[[::1]]",
        "[v1.a]",
    ] {
        refuses(raw);
    }
}

#[test]
fn refuses_bad_ports() {
    for raw in [
        "a:", "a:0", "a:65536", "a:080", "a:+80", "a: 80", "a:80 ", "a:8o", "a:80:80", "a:123456",
        ":80",
    ] {
        refuses(raw);
    }
    assert_eq!(parse("a:65535").unwrap().1, Some(65535));
}

#[test]
fn refuses_empty_hosts_and_labels() {
    for raw in ["", "a..b", ".a"] {
        refuses(raw);
    }
}

#[test]
fn refuses_userinfo_and_whatever_is_no_host() {
    for raw in [
        "u@h", "u:p@h", "a/b", "a b", "a,b", "a%2eb", "a#b", "a?b", "a\\b", "é", "a\0", "a\tb",
        "a!b", "[u@h]", "*",
    ] {
        refuses(raw);
    }
}

#[test]
fn refuses_names_that_no_resolver_takes() {
    refuses(&"a".repeat(64));
    let longest = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "a".repeat(61));
    assert_eq!(parse(&longest).unwrap().0, longest);
    refuses(&format!("{longest}a"));
}

#[test]
fn a_connection_remembers_its_last_host_and_only_that() {
    let mut memo = HostMemo::default();
    let mut out = String::new();
    let mut read = |memo: &mut HostMemo, raw: &str| {
        memo.parse(raw.as_bytes(), &mut out)
            .map(|port| (out.clone(), port))
    };
    let told = |memo: &mut HostMemo, host, line: &str| {
        memo.told(host, Some(80), || line.as_bytes().into())
            .map(|told| String::from_utf8(told.to_vec()).unwrap())
    };
    for _ in 0..2 {
        assert_eq!(read(&mut memo, "A.b:80").unwrap(), ("a.b".into(), Some(80)));
        // Written once, then remembered.
        let line = told(&mut memo, "a.b", "first");
        assert_eq!(line.as_deref(), Some("first"));
        assert_eq!(told(&mut memo, "a.b", "again").as_deref(), Some("first"));
    }
    assert_eq!(told(&mut memo, "other", "x"), None);
    assert_eq!(read(&mut memo, "c:80").unwrap(), ("c".into(), Some(80)));
    assert_eq!(told(&mut memo, "c", "second").as_deref(), Some("second"));
    assert!(read(&mut memo, "a b").is_err());
    assert_eq!(read(&mut memo, "A.b:80").unwrap(), ("a.b".into(), Some(80)));
    assert_eq!(told(&mut memo, "a.b", "third").as_deref(), Some("third"));
}

proptest! {
    #[test]
    fn canonical_hosts_stay_as_they_are(raw in "[a-cA-C0-9x.\\-_:\\[\\]]{0,24}") {
        if let Ok((host, _)) = parse(&raw) {
            prop_assert_eq!(parse(&host).unwrap(), (host, None));
        }
    }

    #[test]
    fn no_octets_make_it_panic(raw in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut out = String::new();
        if parse_authority(&raw, &mut out).is_err() {
            prop_assert!(out.is_empty());
        }
    }
}
