//! PROXY protocol headers: found at the same place in one piece and in any, and never past their end.

use portway_net::proxy_protocol::{Accept, Found, Version, parse, write};

/// Checks the first bytes of a connection.
pub fn check(data: &[u8]) {
    let whole = parse(data, Accept::Either);
    let Ok(Found::Whole(header)) = &whole else {
        return;
    };
    assert!(header.length <= data.len());
    let exact = &data[..header.length];
    assert_eq!(
        parse(exact, Accept::Either),
        whole,
        "what follows changes it"
    );
    for end in 0..header.length {
        let part = parse(&data[..end], Accept::Either);
        assert_eq!(part, Ok(Found::Part), "whole already at {end}");
    }
    if let Some((source, destination)) = header.addresses {
        for version in [Version::V1, Version::V2] {
            let mut again = Vec::new();
            write(version, source, destination, &mut again);
            let Ok(Found::Whole(read)) = parse(&again, Accept::Only(version)) else {
                panic!("{again:?} cannot be read");
            };
            let (from, to) = read.addresses.expect("they were written");
            assert_eq!(from.port(), source.port());
            assert_eq!(from.ip().to_canonical(), source.ip().to_canonical());
            assert_eq!(to.ip().to_canonical(), destination.ip().to_canonical());
        }
    }
}
