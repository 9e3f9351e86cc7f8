//! Hosts: one canonical form, and never more lenient than the `http` crate's own parser.

use http::uri::Authority;
use portway_http::hygiene::host::parse_authority;

/// Checks one authority.
pub fn check(data: &[u8]) {
    let mut host = String::new();
    let Ok(port) = parse_authority(data, &mut host) else {
        assert!(host.is_empty(), "a refused host leaves {host:?}");
        return;
    };
    is_canonical(&host);
    let whole = port.map_or(host.clone(), |port| format!("{host}:{port}"));
    let mut again = String::new();
    let second = parse_authority(whole.as_bytes(), &mut again);
    assert_eq!(second.ok(), Some(port), "{whole:?}");
    assert_eq!(again, host, "a canonical host changes");
    let peer = Authority::try_from(data);
    let peer = peer.unwrap_or_else(|e| panic!("laxer than `http` about {whole:?}: {e}"));
    assert_eq!(peer.port_u16(), port, "{whole:?}");
    if !host.starts_with('[') {
        let name = peer.host();
        assert!(
            name.strip_suffix('.')
                .unwrap_or(name)
                .eq_ignore_ascii_case(&host),
            "{whole:?}"
        );
    }
}

/// Asserts that the host is a lower-case name, an IPv4 address or an IPv6 address in brackets.
pub fn is_canonical(host: &str) {
    if let Some(address) = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        let parsed = address.parse::<std::net::Ipv6Addr>();
        assert_eq!(parsed.map(|a| a.to_string()).as_deref(), Ok(address));
        return;
    }
    assert!(
        host.bytes()
            .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_')),
        "{host:?}"
    );
    assert!(
        host.split('.').all(|label| (1..=63).contains(&label.len())),
        "{host:?}"
    );
    assert!(host.len() <= 253, "{host:?}");
}
