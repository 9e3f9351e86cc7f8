//! Odd requests, each under the name that `docs/differences-from-nginx.md` uses.

/// A GET with this target.
fn path(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// A first line with a good Host after it.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: a.example\r\n\r\n")
}

/// A GET with this instead of its Host field.
fn host(field: &str) -> String {
    format!("GET / HTTP/1.1\r\n{field}\r\n")
}

/// A GET with these bytes as a further line.
fn field(field: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: a.example\r\n{field}\r\n\r\n")
}

/// A POST with these fields and bytes after its head.
fn body(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n\r\n{body}")
}

/// A chunked POST.
fn chunks(text: &str) -> String {
    body("Transfer-Encoding: chunked", text)
}

/// All of them.
pub fn cases() -> Vec<(&'static str, String)> {
    [
        first_lines(),
        hosts(),
        framing(),
        chunked(),
        fields(),
        paths(),
    ]
    .concat()
}

fn first_lines() -> Vec<(&'static str, String)> {
    vec![
        ("plain GET", path("/")),
        ("lower-case method", line("get / HTTP/1.1")),
        ("unknown method", line("BREW /pot HTTP/1.1")),
        ("TRACE", line("TRACE / HTTP/1.1")),
        ("CONNECT", line("CONNECT a.example:443 HTTP/1.1")),
        ("two spaces in the request line", line("GET  /  HTTP/1.1")),
        ("tab in the request line", line("GET /\tHTTP/1.1")),
        ("space in the target", line("GET /a b HTTP/1.1")),
        ("HTTP/1.2", line("GET / HTTP/1.2")),
        ("HTTP/2.0", line("GET / HTTP/2.0")),
        ("HTTP/1.10", line("GET / HTTP/1.10")),
        ("lower-case http/1.1", line("GET / http/1.1")),
        ("empty line first", format!("\r\n{}", path("/"))),
        (
            "bare LF line ends",
            "GET / HTTP/1.1\nHost: a.example\n\n".into(),
        ),
        ("absolute form", line("GET http://a.example/x HTTP/1.1")),
        (
            "absolute form, another host",
            line("GET http://b.example/x HTTP/1.1"),
        ),
        (
            "absolute form, https",
            line("GET https://a.example/x HTTP/1.1"),
        ),
        (
            "absolute form, userinfo",
            line("GET http://u@a.example/x HTTP/1.1"),
        ),
        ("authority form with GET", line("GET a.example:80 HTTP/1.1")),
        ("OPTIONS *", line("OPTIONS * HTTP/1.1")),
        ("GET *", line("GET * HTTP/1.1")),
    ]
}

fn hosts() -> Vec<(&'static str, String)> {
    vec![
        ("no Host", host("")),
        ("no Host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n".into()),
        ("two Hosts", host("Host: a.example\r\nHost: b.example\r\n")),
        (
            "the same Host twice",
            host("Host: a.example\r\nHost: a.example\r\n"),
        ),
        ("empty Host", host("Host:\r\n")),
        ("space in Host", host("Host: a b\r\n")),
        ("userinfo in Host", host("Host: u@a.example\r\n")),
        ("port 99999 in Host", host("Host: a.example:99999\r\n")),
        ("path in Host", host("Host: a.example/x\r\n")),
        ("underscore in Host", host("Host: a_b.example\r\n")),
        ("list in Host", host("Host: a.example, b.example\r\n")),
    ]
}

fn framing() -> Vec<(&'static str, String)> {
    let both = "Content-Length: 4\r\nTransfer-Encoding: chunked";
    vec![
        ("Content-Length and chunked", body(both, "0\r\n\r\n")),
        (
            "two Content-Lengths that differ",
            body("Content-Length: 4\r\nContent-Length: 5", "abcd"),
        ),
        (
            "two equal Content-Lengths",
            body("Content-Length: 4\r\nContent-Length: 4", "abcd"),
        ),
        ("Content-Length: 4, 4", body("Content-Length: 4, 4", "abcd")),
        ("Content-Length: +4", body("Content-Length: +4", "abcd")),
        ("Content-Length: -1", body("Content-Length: -1", "")),
        ("Content-Length: 0x4", body("Content-Length: 0x4", "abcd")),
        ("empty Content-Length", body("Content-Length:", "")),
        (
            "Content-Length past 64 bits",
            body("Content-Length: 99999999999999999999", ""),
        ),
        (
            "Transfer-Encoding: Chunked",
            body("Transfer-Encoding: Chunked", "0\r\n\r\n"),
        ),
        (
            "Transfer-Encoding: gzip, chunked",
            body("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
        ),
        (
            "Transfer-Encoding: chunked, chunked",
            body("Transfer-Encoding: chunked, chunked", "0\r\n\r\n"),
        ),
        (
            "two Transfer-Encodings",
            body(
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
                "0\r\n\r\n",
            ),
        ),
        (
            "Transfer-Encoding: identity",
            body("Transfer-Encoding: identity", ""),
        ),
        (
            "Transfer-Encoding: xchunked",
            body("Transfer-Encoding: xchunked", "0\r\n\r\n"),
        ),
        (
            "space before the colon of Transfer-Encoding",
            body("Transfer-Encoding : chunked", "0\r\n\r\n"),
        ),
        (
            "chunked in HTTP/1.0",
            chunks("0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"),
        ),
        (
            "GET with a body",
            body("Content-Length: 4", "abcd").replace("POST", "GET"),
        ),
    ]
}

fn chunked() -> Vec<(&'static str, String)> {
    vec![
        ("chunk extension", chunks("3;a=b\r\nabc\r\n0\r\n\r\n")),
        ("trailer fields", chunks("3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n")),
        ("chunk size 0x3", chunks("0x3\r\nabc\r\n0\r\n\r\n")),
        ("chunk size +3", chunks("+3\r\nabc\r\n0\r\n\r\n")),
        (
            "chunk size with a space after it",
            chunks("3 \r\nabc\r\n0\r\n\r\n"),
        ),
        (
            "chunk size with zeros before it",
            chunks("0003\r\nabc\r\n0\r\n\r\n"),
        ),
        (
            "chunk size past 64 bits",
            chunks("10000000000000003\r\nabc\r\n0\r\n\r\n"),
        ),
        ("bare LF after a chunk size", chunks("3\nabc\r\n0\r\n\r\n")),
        (
            "bare LF in a chunk extension",
            chunks("3;a\nb\r\nabc\r\n0\r\n\r\n"),
        ),
        ("no CRLF after a chunk", chunks("3\r\nabc0\r\n\r\n")),
    ]
}

fn fields() -> Vec<(&'static str, String)> {
    vec![
        ("folded field", field("X-A: 1\r\n 2")),
        ("empty field name", field(": 1")),
        ("space before the colon", field("X-A : 1")),
        ("space in a field name", field("X A: 1")),
        ("no colon", field("X-A")),
        ("NUL in a value", field("X-A: a\0b")),
        ("bare CR in a value", field("X-A: a\rb")),
        ("control byte in a value", field("X-A: a\x01b")),
        ("bytes over 127 in a value", field("X-A: é")),
        ("underscore in a field name", field("X_A: 1")),
        ("unknown expectation", field("Expect: tea")),
    ]
}

fn paths() -> Vec<(&'static str, String)> {
    vec![
        ("/a/../b", path("/a/../b")),
        ("/../x", path("/../x")),
        ("/a/%2e%2e/b", path("/a/%2e%2e/b")),
        ("/%2e%2e/x", path("/%2e%2e/x")),
        ("//a//b", path("//a//b")),
        ("/a%2fb", path("/a%2fb")),
        ("/a%5cb", path("/a%5cb")),
        ("/a\\\\b", path("/a\\b")),
        ("/%41", path("/%41")),
        ("/%00", path("/%00")),
        ("/%zz", path("/%zz")),
        ("/..;/x", path("/..;/x")),
        ("/a;b=c", path("/a;b=c")),
        ("/a#f", path("/a#f")),
        ("/a\"b", path("/a\"b")),
        ("/é", path("/é")),
        ("/?a=%zz", path("/?a=%zz")),
        ("/a?b?c", path("/a?b?c")),
    ]
}
