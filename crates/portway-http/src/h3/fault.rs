//! What is wrong with a stream, as the sieve finds it and as it is told.
//!
//! Must hold: says nothing of what the client sent. Pure.

/// What is wrong with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A frame that is larger than what its kind may have, or a section that unpacks to more.
    TooLarge,
    /// The stream ends inside a frame.
    Truncated,
    /// A field section with names that it must not have.
    Names(&'static str),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::TooLarge => "a frame is too large",
            Fault::Truncated => "the stream ended inside a frame",
            Fault::Names(what) => what,
        })
    }
}

impl std::error::Error for Fault {}
