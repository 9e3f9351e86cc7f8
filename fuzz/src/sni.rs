//! Server names: the same in one piece and byte by byte, in lower case, whatever is behind them.

use portway_tls::peek::Peek;

/// Checks the first bytes of a connection.
pub fn check(data: &[u8]) {
    let whole = Peek::default().feed(data);
    let mut peek = Peek::default();
    let mut found = Ok(None);
    for byte in data {
        found = peek.feed(std::slice::from_ref(byte));
        if !matches!(found, Ok(None)) {
            break;
        }
    }
    match (&whole, &found) {
        (Ok(Some(a)), Ok(Some(b))) => assert_eq!(a, b),
        // What comes behind a whole ClientHello in one piece may be read with it and refused.
        (Err(_), Ok(Some(_))) | (Err(_), Err(_)) | (Ok(None), Ok(None)) => {}
        other => panic!("{other:?}"),
    }
    if let Ok(Some(hello)) = found
        && let Some(name) = hello.server_name
    {
        assert_eq!(name, name.to_ascii_lowercase());
        assert!(!name.ends_with('.'));
    }
}
