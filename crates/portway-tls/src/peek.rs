//! Reading the server name from a connection that is passed on, not ended here.
//!
//! Must hold: nothing is answered and nothing is kept: whoever feeds the bytes forwards them as they
//! came. A ClientHello may come in any number of pieces and records; post-quantum key shares no longer
//! fit one packet. Never: decrypts, or judges whether the handshake could succeed.

use std::fmt;

use portway_core::limits::CLIENT_HELLO_BYTES_MAX;
use rustls::server::Acceptor;

/// The name that a client asks for (RFC 6066, section 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// In lower case, without a final dot; `None` if the client names none.
    pub server_name: Option<String>,
}

/// Why bytes are no ClientHello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoHello(String);

impl fmt::Display for NoHello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoHello {}

/// Takes bytes until there is a whole ClientHello.
#[derive(Default)]
pub struct Peek {
    acceptor: Acceptor,
    fed: usize,
}

impl Peek {
    /// Takes the next bytes; gives the ClientHello once it is whole.
    ///
    /// # Errors
    /// If no bytes to come could make it one, or there are too many.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<Option<Hello>, NoHello> {
        while !bytes.is_empty() {
            if self.fed >= CLIENT_HELLO_BYTES_MAX {
                return Err(NoHello("the ClientHello has no end".into()));
            }
            // In small pieces: what is behind the ClientHello is not to be read.
            let piece = &bytes[..bytes.len().min(PIECE_BYTES)];
            let mut rest = piece;
            let read = self.acceptor.read_tls(&mut rest);
            let taken = read.map_err(|error| NoHello(error.to_string()))?;
            if taken == 0 {
                return Err(NoHello("the ClientHello has no end".into()));
            }
            self.fed += taken;
            bytes = &bytes[taken..];
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(canonical);
                    return Ok(Some(Hello { server_name: name }));
                }
                Err((error, _)) => return Err(NoHello(error.to_string())),
            }
        }
        Ok(None)
    }
}

const PIECE_BYTES: usize = 4 * 1024;

fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn hello(name: &str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn reads_the_name_in_one_piece_and_byte_by_byte() {
        let bytes = hello("API.Example.com");
        assert!(bytes.len() > 1_400, "a post-quantum key share is in it");
        let expected = Some("api.example.com".to_owned());
        let found = Peek::default().feed(&bytes).unwrap();
        assert_eq!(found.unwrap().server_name, expected);
        let mut peek = Peek::default();
        let (last, first) = bytes.split_last().unwrap();
        for byte in first {
            assert_eq!(peek.feed(&[*byte]), Ok(None));
        }
        let found = peek.feed(&[*last]).unwrap();
        assert_eq!(found.unwrap().server_name, expected);
    }

    #[test]
    fn a_client_may_name_nothing() {
        let found = Peek::default().feed(&hello("192.0.2.1")).unwrap();
        assert_eq!(found.unwrap().server_name, None);
    }

    #[test]
    fn refuses_what_is_not_tls() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"\x16\x03\x01\xff\xff\x01",
            b"SSH-2.0-OpenSSH_9.2\r\n",
        ] {
            assert!(Peek::default().feed(bytes).is_err(), "{bytes:?}");
        }
    }
}
