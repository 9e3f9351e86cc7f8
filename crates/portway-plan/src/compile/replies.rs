//! Routes that answer by themselves: redirects, fixed replies, files.

use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use portway_config::document::{self, Route};
use portway_core::Diagnostics;

use crate::plan::{Redirect, Respond, StaticFiles};

/// Another place.
pub(super) fn redirect(
    config: &document::Redirect,
    problems: &mut Diagnostics,
) -> Option<Redirect> {
    let allowed = [301, 302, 303, 307, 308];
    let status = config.status.value();
    if !allowed.contains(&status) {
        problems.error(
            config.status.span(),
            format!("{status} is not a redirect"),
            "use 301, 302, 303, 307 or 308 (308 is permanent and keeps the method)",
        );
    }
    let to = config.to.as_str();
    let absolute = to.starts_with("http://") || to.starts_with("https://");
    let local = to.starts_with('/') && !to.starts_with("//");
    if !(absolute || local) || HeaderValue::from_str(to).is_err() {
        problems.error(
            config.to.span(),
            format!("`{to}` is neither a path nor an http URL"),
            "write a path like /new, or a URL like https://example.com/new",
        );
        return None;
    }
    Some(Redirect {
        to: to.to_owned(),
        status: StatusCode::from_u16(status).ok()?,
    })
}

/// A fixed reply.
pub(super) fn respond(config: &document::Respond, problems: &mut Diagnostics) -> Option<Respond> {
    let status = config.status.value();
    if !(200..=599).contains(&status) {
        problems.error(
            config.status.span(),
            format!("{status} is not the status of a final reply"),
            "use a status from 200 to 599",
        );
        return None;
    }
    let mut headers = HeaderMap::new();
    for (name, value) in &config.headers.0 {
        match (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            (Ok(field), Ok(_)) if is_framing(&field) => problems.error(
                name.span(),
                format!("`{field}` is set by the gateway"),
                "remove it",
            ),
            (Ok(field), Ok(value)) => {
                headers.append(field, value);
            }
            (Err(_), _) => problems.error(
                name.span(),
                format!("`{}` is not a header name", **name),
                "use letters, digits and `-`",
            ),
            (_, Err(_)) => problems.error(
                value.span(),
                "a header value has a control character",
                "remove it",
            ),
        }
    }
    if matches!(status, 204 | 205 | 304) && !config.body.is_empty() {
        problems.error(
            config.status.span(),
            format!("a reply with status {status} has no body"),
            "remove `body`, or use another status",
        );
    }
    let status = StatusCode::from_u16(status).ok()?;
    Some(Respond {
        status,
        headers,
        body: bytes::Bytes::from(config.body.clone()),
    })
}

/// A folder's files.
pub(super) fn static_files(
    config: &document::Static,
    route: &Route,
    problems: &mut Diagnostics,
) -> StaticFiles {
    if config.root.is_empty() {
        problems.error(
            config.root.span(),
            "the folder's name is empty",
            "name a folder, like ./public",
        );
    }
    if config.index.is_empty() || config.index.contains('/') {
        problems.error(
            config.index.span(),
            format!("`{}` is not a file name", *config.index),
            "name a file, like index.html",
        );
    }
    StaticFiles {
        root: config.root.as_str().into(),
        index: config.index.to_string(),
        prefix: route
            .prefix
            .value()
            .map(|p| p.to_string())
            .unwrap_or_default(),
    }
}

/// Fields that say how long a message is or how its connection goes on (RFC 9110, 7.6.1 and 8.6): the
/// codec writes them.
fn is_framing(name: &HeaderName) -> bool {
    const NAMES: [&str; 7] = [
        "connection",
        "content-length",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.contains(&name.as_str())
}
