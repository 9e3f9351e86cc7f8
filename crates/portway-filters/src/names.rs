//! Header names as the config writes them, and as targets may read them.

use http::{HeaderMap, HeaderName};
use portway_config::Spanned;
use portway_core::diagnostic::Diagnostics;
use portway_http::hygiene::fields::folds_onto;

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

/// Removes the fields whose names a target may read as `name`, but not that field itself: CGI-like ones
/// read `X_User_Id` and `X.User.Id` as `X-User-Id`. What says who the caller is must not have such twins.
pub fn remove_twins(headers: &mut HeaderMap, name: &HeaderName) {
    let is_twin = |other: &HeaderName| {
        other != name && folds_onto(other.as_str().as_bytes(), name.as_str().as_bytes())
    };
    while let Some(twin) = headers.keys().find(|other| is_twin(other)).cloned() {
        headers.remove(&twin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twins_go_and_the_field_itself_stays() {
        let mut headers = HeaderMap::new();
        for name in [
            "x-user-id",
            "x_user-id",
            "x.user.id",
            "x-user_id",
            "xuser-id",
            "x-user-i",
        ] {
            headers.append(
                HeaderName::from_static(name),
                http::HeaderValue::from_static("v"),
            );
        }
        remove_twins(&mut headers, &HeaderName::from_static("x-user-id"));
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["x-user-i", "x-user-id", "xuser-id"]);
    }
}
