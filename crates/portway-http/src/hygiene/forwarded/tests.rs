use super::*;
use crate::Exchange;
use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

fn trusted() -> TrustedProxies {
    TrustedProxies::new(vec![
        "10.0.0.0/8".parse().unwrap(),
        "fd00::/8".parse().unwrap(),
    ])
}

fn map(fields: &[(&'static str, &str)]) -> HeaderMap {
    let field = |(name, value): &(&'static str, &str)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_bytes(value.as_bytes()).unwrap(),
        )
    };
    fields.iter().map(field).collect()
}

fn client(peer: &str, fields: &[(&'static str, &str)]) -> String {
    client_ip(&map(fields), peer.parse().unwrap(), &trusted()).to_string()
}

#[test]
fn believes_no_untrusted_peer() {
    assert_eq!(
        client("203.0.113.9", &[("x-forwarded-for", "192.0.2.1")]),
        "203.0.113.9"
    );
    assert_eq!(
        client("203.0.113.9", &[("forwarded", "for=192.0.2.1")]),
        "203.0.113.9"
    );
}

#[test]
fn takes_the_rightmost_untrusted_hop() {
    let chain = "198.51.100.1, 192.0.2.1, 10.0.0.7";
    assert_eq!(
        client("10.0.0.1", &[("x-forwarded-for", chain)]),
        "192.0.2.1"
    );
    let fields = [
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-for", "192.0.2.1,10.0.0.7"),
    ];
    assert_eq!(client("10.0.0.1", &fields), "192.0.2.1");
}

#[test]
fn takes_the_farthest_hop_when_all_are_trusted() {
    assert_eq!(
        client("10.0.0.1", &[("x-forwarded-for", "10.0.0.3, 10.0.0.2")]),
        "10.0.0.3"
    );
    assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
}

#[test]
fn stops_at_an_entry_that_is_no_address() {
    for bad in [
        "unknown",
        "",
        "192.0.2.1.5",
        "192.0.2.1 x",
        "_hidden",
        "1",
        "[::1",
        "[::1]x",
        "::1:99999999",
        "\u{e9}",
        "192.0.2.1:x",
    ] {
        let chain = format!("192.0.2.1, {bad}, 10.0.0.2");
        assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", &chain)]),
            "10.0.0.2",
            "{bad}"
        );
    }
}

#[test]
fn takes_addresses_with_ports() {
    for (entry, ip) in [
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:80", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
    ] {
        assert_eq!(
            client("10.0.0.1", &[("x-forwarded-for", entry)]),
            ip,
            "{entry}"
        );
    }
}

#[test]
fn ipv4_in_ipv6_clothes_is_ipv4() {
    assert_eq!(
        client("::ffff:10.0.0.1", &[("x-forwarded-for", "192.0.2.1")]),
        "192.0.2.1"
    );
    assert_eq!(client("::ffff:192.0.2.7", &[]), "192.0.2.7");
}

#[test]
fn reads_forwarded_only_without_x_forwarded_for() {
    let forwarded = (
        "forwarded",
        "for=192.0.2.43, For=\"[2001:db8:cafe::17]:4711\";proto=http",
    );
    assert_eq!(client("10.0.0.1", &[forwarded]), "2001:db8:cafe::17");
    assert_eq!(
        client("10.0.0.1", &[forwarded, ("x-forwarded-for", "192.0.2.1")]),
        "192.0.2.1"
    );
    let fields = [
        ("forwarded", "for=192.0.2.43"),
        ("forwarded", "proto=http;for=10.0.0.9"),
    ];
    assert_eq!(client("10.0.0.1", &fields), "192.0.2.43");
}

#[test]
fn an_open_quote_on_the_left_swallows_nothing_on_the_right() {
    for evil in ["for=\"", "for=\"x", "for=1;x=\"", "\""] {
        let chain = format!("{evil}, for=192.0.2.1;proto=http");
        assert_eq!(
            client("10.0.0.1", &[("forwarded", &chain)]),
            "192.0.2.1",
            "{evil}"
        );
        let chain = format!("{evil}, for=\"[2001:db8::1]:80\"");
        assert_eq!(
            client("10.0.0.1", &[("forwarded", &chain)]),
            "2001:db8::1",
            "{evil}"
        );
    }
}

#[test]
fn stops_at_a_forwarded_element_without_one_address() {
    for bad in [
        "proto=http",
        "for=unknown",
        "for=_x",
        "for=192.0.2.2;for=192.0.2.3",
        "for=\"a\\b\"",
        "for=",
        "for=\"\"",
        "",
    ] {
        let chain = format!("for=192.0.2.1, {bad}, for=10.0.0.2");
        assert_eq!(
            client("10.0.0.1", &[("forwarded", &chain)]),
            "10.0.0.2",
            "{bad}"
        );
    }
}

fn exchange(peer: &str, trusted_peer: bool, fields: &[(&'static str, &str)]) -> Exchange {
    let mut exchange = Exchange::blank();
    exchange.client.peer = std::net::SocketAddr::new(peer.parse().unwrap(), 4711);
    exchange.client.trusted = trusted_peer;
    exchange.request.headers = map(fields);
    exchange.client.ip = client_ip(
        &exchange.request.headers,
        exchange.client.peer.ip(),
        &trusted(),
    );
    exchange.request.host.push_str("api.example");
    exchange
}

fn lines(exchange: &Exchange) -> String {
    let mut out = b"GET / HTTP/1.1\r\n".to_vec();
    write_forwarded(exchange, &mut out);
    String::from_utf8(out)
        .unwrap()
        .strip_prefix("GET / HTTP/1.1\r\n")
        .unwrap()
        .replace("\r\n", "\n")
}

#[test]
fn starts_anew_for_an_untrusted_peer() {
    let mut exchange = exchange("192.0.2.1", false, &[]);
    exchange.request.port = Some(8443);
    exchange.client.secure = true;
    assert_eq!(
        lines(&exchange),
        "x-forwarded-for: 192.0.2.1\nx-forwarded-proto: https\nx-forwarded-host: api.example:8443\nx-real-ip: 192.0.2.1\n\
         forwarded: for=192.0.2.1;proto=https;host=\"api.example:8443\"\n"
    );
}

#[test]
fn ignores_what_an_untrusted_peer_said_even_if_it_is_still_there() {
    let fields = [
        ("x-forwarded-for", "1.1.1.1"),
        ("forwarded", "for=1.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil"),
    ];
    let text = lines(&exchange("192.0.2.1", false, &fields));
    assert_eq!(text, lines(&exchange("192.0.2.1", false, &[])));
}

#[test]
fn extends_the_chains_of_a_trusted_peer() {
    let fields = [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-for", "10.0.0.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example"),
        ("forwarded", "for=192.0.2.1;proto=https"),
    ];
    assert_eq!(
        lines(&exchange("10.0.0.1", true, &fields)),
        "x-forwarded-for: 192.0.2.1, 10.0.0.2, 10.0.0.1\nx-forwarded-proto: https\nx-forwarded-host: shop.example\n\
         x-real-ip: 192.0.2.1\nforwarded: for=192.0.2.1;proto=https, for=10.0.0.1;proto=http;host=api.example\n"
    );
}

#[test]
fn tells_in_both_chains_what_came_in_one() {
    let fields = [
        ("x-forwarded-for", "192.0.2.1"),
        ("x-forwarded-proto", "https"),
    ];
    let text = lines(&exchange("10.0.0.1", true, &fields));
    let expected = "forwarded: for=192.0.2.1;proto=https;host=api.example, for=10.0.0.1;proto=http;host=api.example\n";
    assert!(text.ends_with(expected), "{text}");
    let text = lines(&exchange(
        "10.0.0.1",
        true,
        &[(
            "forwarded",
            "for=192.0.2.1;proto=https;host=\"s.example:1\"",
        )],
    ));
    assert!(text.starts_with("x-forwarded-for: 192.0.2.1, 10.0.0.1\nx-forwarded-proto: https\nx-forwarded-host: s.example:1\n"));
}

#[test]
fn takes_protocol_and_host_from_the_nearest_proxy_if_they_are_sane() {
    let fields = [
        ("x-forwarded-proto", "http, HTTPS"),
        ("x-forwarded-host", "a.example, b.example:8080"),
    ];
    let text = lines(&exchange("10.0.0.1", true, &fields));
    assert!(
        text.contains("x-forwarded-proto: https\nx-forwarded-host: b.example:8080\n"),
        "{text}"
    );
    let fields = [
        ("x-forwarded-proto", "gopher"),
        ("x-forwarded-host", "a\"b"),
    ];
    let text = lines(&exchange("10.0.0.1", true, &fields));
    assert!(
        text.contains("x-forwarded-proto: http\nx-forwarded-host: api.example\n"),
        "{text}"
    );
}

#[test]
fn quotes_ipv6_in_forwarded() {
    let text = lines(&exchange("2001:db8::1", false, &[]));
    assert!(text.starts_with("x-forwarded-for: 2001:db8::1\n"));
    assert!(
        text.contains("forwarded: for=\"[2001:db8::1]\";proto=http;"),
        "{text}"
    );
}

#[test]
fn tells_no_host_when_there_is_none() {
    let mut exchange = exchange("192.0.2.1", false, &[]);
    exchange.request.host.clear();
    let text = lines(&exchange);
    assert!(!text.contains("host"), "{text}");
    assert!(text.ends_with("forwarded: for=192.0.2.1;proto=http\n"));
}

#[test]
fn knows_the_fields_it_writes() {
    for field in ForwardedField::ALL {
        assert!(is_forwarded_header(&HeaderName::from_static(field.name())));
    }
    for other in [
        "x-forwarded-port",
        "x-forwarded",
        "x-request-id",
        "via",
        "x-real-io",
    ] {
        assert!(!is_forwarded_header(&HeaderName::from_static(other)));
    }
}

#[test]
fn writes_ipv4_as_the_standard_library_does() {
    for ip in ["0.0.0.0", "255.255.255.255", "10.20.3.100"] {
        assert!(lines(&exchange(ip, false, &[])).starts_with(&format!("x-forwarded-for: {ip}\n")));
    }
}

proptest! {
    #[test]
    fn what_stands_on_the_left_never_outranks_what_a_trusted_proxy_appended(left in "[ -~]{0,40}") {
        let chain = format!("{left}, 192.0.2.1");
        prop_assert_eq!(client("10.0.0.1", &[("x-forwarded-for", &chain)]), "192.0.2.1");
        let chain = format!("{left}, for=192.0.2.1");
        prop_assert_eq!(client("10.0.0.1", &[("forwarded", &chain)]), "192.0.2.1");
    }

    #[test]
    fn the_client_is_read_the_same_behind_the_gateway(hops in proptest::collection::vec(any::<u32>(), 0..5)) {
        let chain: Vec<String> = hops.iter().map(|h| std::net::Ipv4Addr::from(*h).to_string()).collect();
        let chain = chain.join(", ");
        let fields = [("x-forwarded-for", chain.as_str())];
        let exchange = exchange("10.0.0.1", true, if hops.is_empty() { &[] } else { &fields });
        let mut value = Vec::new();
        write_value(ForwardedField::For, &exchange, &mut value);
        let behind = client("10.0.0.2", &[("x-forwarded-for", std::str::from_utf8(&value).unwrap())]);
        prop_assert_eq!(behind, exchange.client.ip.to_string());
    }

    #[test]
    fn never_writes_more_lines_than_it_has_fields(value in "[ -~]{0,40}", field in 0_usize..5) {
        let name = ForwardedField::ALL[field].name();
        let exchange = exchange("10.0.0.1", true, &[(name, &value)]);
        prop_assert_eq!(lines(&exchange).lines().count(), 5);
    }
}
