//! A distinguished name as text, much as RFC 4514 writes it.
//!
//! Must hold: different names have different texts: what stands between attributes is escaped inside
//! values, and a value that is no text is hexadecimal. Never: fails, for then all such names were one.

use std::borrow::Cow;
use std::str::from_utf8;

use x509_parser::asn1_rs::{Tag, ToDer};
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::hex;

/// The attributes in the certificate's order: `CN=a, O=b`; those of one set have ` + ` between them.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    for set in name.iter() {
        let mut between = if out.is_empty() { "" } else { ", " };
        for attribute in set.iter() {
            out.push_str(between);
            push(&mut out, attribute);
            between = " + ";
        }
    }
    out
}

fn push(out: &mut String, attribute: &AttributeTypeAndValue<'_>) {
    let kind = attribute.attr_type();
    match oid2abbrev(kind, oid_registry()) {
        Ok(short) => out.push_str(short),
        Err(_) => out.push_str(&kind.to_id_string()),
    }
    out.push('=');
    if let Some(value) = value(attribute) {
        push_escaped(out, &value);
        return;
    }
    let value = attribute.attr_value();
    let der = value.to_der_vec().unwrap_or_else(|_| value.data.to_vec());
    out.push('#');
    out.push_str(&hex(&der));
}

/// The value, if it is text.
fn value<'a>(attribute: &'a AttributeTypeAndValue<'_>) -> Option<Cow<'a, str>> {
    let value = attribute.attr_value();
    match value.tag() {
        Tag::Utf8String
        | Tag::PrintableString
        | Tag::Ia5String
        | Tag::NumericString
        | Tag::VisibleString
        | Tag::GeneralString
        | Tag::T61String => from_utf8(value.data).ok().map(Cow::Borrowed),
        Tag::BmpString if value.data.len().is_multiple_of(2) => {
            let units = value.data.chunks_exact(2);
            let units = units.map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            let decoded: Result<String, _> = char::decode_utf16(units).collect();
            decoded.ok().map(Cow::Owned)
        }
        _ => None,
    }
}

/// RFC 4514, section 2.4; control characters by their octets, too.
fn push_escaped(out: &mut String, value: &str) {
    for (at, c) in value.char_indices() {
        let is_edge = at == 0 || at + 1 == value.len();
        match c {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => out.extend(['\\', c]),
            ' ' if is_edge => out.extend(['\\', c]),
            '#' if at == 0 => out.extend(['\\', c]),
            c if c.is_control() => {
                for octet in c.encode_utf8(&mut [0; 4]).bytes() {
                    out.push('\\');
                    out.push_str(&hex(&[octet]));
                }
            }
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use crate::Identity;

    fn subject(attributes: &[(DnType, DnValue)]) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in attributes {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        Identity::of(cert.der()).unwrap().subject
    }

    fn utf8(text: &str) -> DnValue {
        DnValue::Utf8String(text.into())
    }

    #[test]
    fn a_value_cannot_be_spelt_as_another_attribute() {
        let organization = DnType::OrganizationName;
        let unit = DnType::OrganizationalUnitName;
        let two = [(organization.clone(), utf8("Acme")), (unit, utf8("admins"))];
        assert_eq!(subject(&two), "O=Acme, OU=admins");
        for (value, text) in [
            ("Acme, OU=admins", "O=Acme\\, OU=admins"),
            ("Acme + OU=admins", "O=Acme \\+ OU=admins"),
            ("Acme\\, OU", "O=Acme\\\\\\, OU"),
            (" #1; \"a\" ", "O=\\ #1\\; \\\"a\\\"\\ "),
            ("#04", "O=\\#04"),
            ("a\r\nb", "O=a\\0d\\0ab"),
            ("Müller", "O=Müller"),
        ] {
            assert_eq!(subject(&[(organization.clone(), utf8(value))]), text);
        }
    }

    #[test]
    fn attributes_of_one_set_are_joined_by_a_plus() {
        // `O=Acme` and `OU=ab` in two sets become one set, and the second value two octets longer than it was: as
        // long as the head of a set.
        let two = b"\x31\x0d\x30\x0b\x06\x03\x55\x04\x0a\x0c\x04Acme\x31\x0b\x30\x09\x06\x03\x55\x04\x0b\x0c\x02ab";
        let one = b"\x31\x1a\x30\x0b\x06\x03\x55\x04\x0a\x0c\x04Acme\x30\x0b\x06\x03\x55\x04\x0b\x0c\x04abcd";
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = DistinguishedName::new();
        let names = &mut params.distinguished_name;
        names.push(DnType::OrganizationName, utf8("Acme"));
        names.push(DnType::OrganizationalUnitName, utf8("ab"));
        let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let mut der = cert.der().to_vec();
        assert_eq!(Identity::of(&der).unwrap().subject, "O=Acme, OU=ab");
        // The issuer, then the subject.
        for _ in 0..2 {
            let at = der.windows(two.len()).position(|part| part == two).unwrap();
            der[at..at + two.len()].copy_from_slice(one);
        }
        let identity = Identity::of(&der).unwrap();
        assert_eq!(identity.subject, "O=Acme + OU=abcd");
        assert_eq!(identity.issuer, identity.subject);
    }

    #[test]
    fn values_that_are_no_text_stay_apart() {
        let kind = || DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99999, 1]);
        let wide = DnValue::BmpString("a".try_into().unwrap());
        assert_eq!(subject(&[(DnType::CommonName, wide)]), "CN=a");
        assert_eq!(subject(&[(kind(), utf8("x"))]), "1.3.6.1.4.1.99999.1=x");
        assert_eq!(subject(&[]), "");
        let broken = |octet: u8| {
            // `Acme` in the encoding becomes octets that are no UTF-8.
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, "Acme");
            let cert = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
            let mut der = cert.der().to_vec();
            while let Some(at) = der.windows(4).position(|four| four == b"Acme") {
                der[at..at + 4].copy_from_slice(&[0xff, octet, 0xff, 0xfe]);
            }
            Identity::of(&der).unwrap()
        };
        assert_eq!(broken(1).subject, "CN=#0c04ff01fffe");
        assert_eq!(broken(2).subject, "CN=#0c04ff02fffe");
        assert_eq!(broken(1).common_name, None);
    }
}
