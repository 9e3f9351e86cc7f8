//! A reply's fields as HTTP/2 and HTTP/3 send them.
//!
//! Must hold: what the gateway writes itself replaces what stands under the same name; no field about the
//! connection goes out.

use http::header::{CONNECTION, DATE, HeaderName, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderValue};

use crate::h1::DateCache;
use crate::own_fields::OwnFields;
use crate::reply::Reply;

/// A reply's fields, with the gateway's own.
pub(crate) fn of(reply: &mut Reply, own: &OwnFields, date: &DateCache) -> HeaderMap {
    let mut headers = std::mem::take(&mut reply.headers);
    add_own(&mut headers, own);
    remove_connection(&mut headers);
    if !headers.contains_key(DATE)
        && let Ok(value) = HeaderValue::from_bytes(date.as_bytes())
    {
        headers.insert(DATE, value);
    }
    headers
}

/// Fields that the gateway itself writes.
fn add_own(headers: &mut HeaderMap, own: &OwnFields) {
    for (name, value) in own.iter() {
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        else {
            continue; // both were checked when they were added
        };
        if own.replaces(&name) {
            headers.insert(name, value);
        } else {
            headers.append(name, value);
        }
    }
}

/// Fields that are forbidden (RFC 9113, section 8.2.2; RFC 9114, section 4.2); a filter may have set one.
pub(crate) fn remove_connection(headers: &mut HeaderMap) {
    const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
    const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
    let forbidden = [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        KEEP_ALIVE,
        PROXY_CONNECTION,
    ];
    for name in forbidden {
        headers.remove(name);
    }
}
