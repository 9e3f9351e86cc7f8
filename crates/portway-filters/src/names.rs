//! Header names as the config writes them.

use http::HeaderName;
use portway_config::Spanned;
use portway_core::diagnostic::Diagnostics;

/// The name, or `None` after a problem was noted.
pub fn header_name(text: &Spanned<String>, problems: &mut Diagnostics) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    if name.is_none() {
        let what = format!("`{}` is not a header name", text.escape_default());
        problems.error(
            text.span(),
            what,
            "use letters, digits and `-`, as in X-Request-ID",
        );
    }
    name
}

/// Whether the field belongs to one connection and is decided anew on the next (RFC 9110, section
/// 7.6.1, with the older `Keep-Alive` and `Proxy-Connection`).
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    const NAMES: [&str; 8] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
    ];
    NAMES.contains(&name.as_str())
}
