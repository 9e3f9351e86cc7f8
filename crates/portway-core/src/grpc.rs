//! gRPC status codes (<https://grpc.github.io/grpc/core/md_doc_statuscodes.html>) and sets of them.
//!
//! Must hold: only the 17 codes that gRPC defines exist here, so each can be a metric label. Pure.

use std::fmt;

/// How a gRPC call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GrpcStatus(u8);

const NAMES: [&str; GrpcStatus::COUNT] = [
    "ok",
    "cancelled",
    "unknown",
    "invalid-argument",
    "deadline-exceeded",
    "not-found",
    "already-exists",
    "permission-denied",
    "resource-exhausted",
    "failed-precondition",
    "aborted",
    "out-of-range",
    "unimplemented",
    "internal",
    "unavailable",
    "data-loss",
    "unauthenticated",
];

impl GrpcStatus {
    /// How many there are.
    pub const COUNT: usize = 17;
    /// What a reply that does not say stands for.
    pub const UNKNOWN: GrpcStatus = GrpcStatus(2);

    /// The status with this code.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<GrpcStatus> {
        if (code as usize) < GrpcStatus::COUNT {
            Some(GrpcStatus(code))
        } else {
            None
        }
    }

    /// From the field `grpc-status`; a code that gRPC does not define is [`GrpcStatus::UNKNOWN`], as it
    /// is to every client.
    #[must_use]
    pub fn parse(value: &[u8]) -> GrpcStatus {
        let code = std::str::from_utf8(value).ok().and_then(|v| v.parse().ok());
        code.and_then(GrpcStatus::from_code)
            .unwrap_or(GrpcStatus::UNKNOWN)
    }

    /// The status of this name, lower case with hyphens.
    #[must_use]
    pub fn find(name: &str) -> Option<GrpcStatus> {
        let code = NAMES.iter().position(|known| *known == name)?;
        GrpcStatus::from_code(code as u8)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = GrpcStatus> {
        (0..GrpcStatus::COUNT as u8).map(GrpcStatus)
    }

    /// Its number.
    #[must_use]
    pub const fn code(self) -> u8 {
        self.0
    }

    /// Its name, lower case with hyphens: metric label, `retry_on`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        NAMES[self.0 as usize]
    }

    /// Whether it says that the server failed, as a 5xx does: unknown, deadline-exceeded, internal,
    /// unavailable and data-loss. The others are the caller's doing or a plain answer.
    #[must_use]
    pub const fn is_failure(self) -> bool {
        matches!(self.0, 2 | 4 | 13 | 14 | 15)
    }
}

impl fmt::Display for GrpcStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of gRPC status codes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct GrpcStatuses(u32);

impl GrpcStatuses {
    /// Adds one.
    pub fn insert(&mut self, status: GrpcStatus) {
        self.0 |= 1 << status.0;
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn contains(self, status: GrpcStatus) -> bool {
        self.0 & (1 << status.0) != 0
    }

    /// Whether none is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_find_the_same() {
        for status in GrpcStatus::all() {
            assert_eq!(GrpcStatus::find(status.name()), Some(status));
            let text = status.code().to_string();
            assert_eq!(GrpcStatus::parse(text.as_bytes()), status);
        }
        assert_eq!(
            GrpcStatus::find("unavailable").map(GrpcStatus::code),
            Some(14)
        );
        for unknown in [&b"17"[..], b"-1", b"", b"x", b"999999999999"] {
            assert_eq!(GrpcStatus::parse(unknown), GrpcStatus::UNKNOWN);
        }
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set = GrpcStatuses::default();
        assert!(set.is_empty());
        for status in GrpcStatus::all().filter(|s| s.is_failure()) {
            set.insert(status);
        }
        for status in GrpcStatus::all() {
            assert_eq!(set.contains(status), status.is_failure());
        }
    }
}
