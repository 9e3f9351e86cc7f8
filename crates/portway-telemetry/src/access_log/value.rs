//! Numbers and addresses as every format writes them.

use std::io::Write;
use std::net::IpAddr;

#[inline]
pub(crate) fn push_number(out: &mut Vec<u8>, number: impl itoa::Integer) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Nanoseconds as milliseconds with three decimals, `12.345`; the rest is cut off.
#[inline]
pub(crate) fn push_millis(out: &mut Vec<u8>, nanos: u64) {
    let micros = nanos / 1000;
    let rest = (micros % 1000) as u16;
    push_number(out, micros / 1000);
    let digit = |n: u16| b'0' + (n % 10) as u8;
    out.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

#[inline]
pub(crate) fn push_ip(out: &mut Vec<u8>, ip: IpAddr) {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            for octet in [a, b, c] {
                push_number(out, octet);
                out.push(b'.');
            }
            push_number(out, d);
        }
        IpAddr::V6(ip) => write!(out, "{ip}").expect("writing to a Vec cannot fail"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn writes_milliseconds_to_the_microsecond() {
        assert_eq!(written(|out| push_millis(out, 0)), "0.000");
        assert_eq!(written(|out| push_millis(out, 1_045_999)), "1.045");
        assert_eq!(
            written(|out| push_millis(out, u64::MAX)),
            "18446744073709.551"
        );
    }

    #[test]
    fn writes_addresses_as_the_standard_library_does() {
        for ip in ["0.0.0.0", "10.20.0.255", "::1", "2001:db8::ff00:42:8329"] {
            let address: IpAddr = ip.parse().unwrap();
            assert_eq!(written(|out| push_ip(out, address)), ip);
        }
    }
}
