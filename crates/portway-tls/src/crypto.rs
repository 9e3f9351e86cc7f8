//! The one provider of cryptography: aws-lc-rs, with X25519MLKEM768 offered first.
//!
//! Must hold: passed to every builder by hand, so that no other crate's choice of a process-wide
//! provider changes what this gateway speaks.

use std::sync::{Arc, OnceLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

use crate::spec::MinVersion;

pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider())))
}

static SINCE_12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];
static SINCE_13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

pub(crate) fn versions(min: MinVersion) -> &'static [&'static SupportedProtocolVersion] {
    match min {
        MinVersion::Tls12 => SINCE_12,
        MinVersion::Tls13 => SINCE_13,
    }
}
