//! Kinds of HTTP/2 frames that cost a client nothing and us something, if there is no end of them.
//!
//! Must hold: the label of a kind is stable (dashboards and alerts match on it).

/// A kind of flood; also the label it is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flood {
    /// Requests that are cancelled as soon as they are made.
    Resets,
    /// SETTINGS, each of which wants an answer.
    Settings,
    /// PING, each of which wants an answer.
    Pings,
    /// WINDOW_UPDATE without anything having been sent.
    WindowUpdates,
    /// DATA without octets, or with next to none.
    EmptyFrames,
    /// Heads in very many pieces.
    Continuations,
    /// Heads far over the limit (HPACK bombs).
    Headers,
    /// Frames that make us reset streams (MadeYouReset).
    ForcedResets,
    /// PRIORITY and frames of unknown types.
    OtherFrames,
}

impl Flood {
    /// Every kind, in index order.
    pub const ALL: [Flood; 9] = [
        Flood::Resets,
        Flood::Settings,
        Flood::Pings,
        Flood::WindowUpdates,
        Flood::EmptyFrames,
        Flood::Continuations,
        Flood::Headers,
        Flood::ForcedResets,
        Flood::OtherFrames,
    ];

    /// The metric's label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Flood::Resets => "resets",
            Flood::Settings => "settings",
            Flood::Pings => "pings",
            Flood::WindowUpdates => "window_updates",
            Flood::EmptyFrames => "empty_frames",
            Flood::Continuations => "continuations",
            Flood::Headers => "headers",
            Flood::ForcedResets => "forced_resets",
            Flood::OtherFrames => "other_frames",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_stand_in_index_order_under_names_of_their_own() {
        for (at, flood) in Flood::ALL.into_iter().enumerate() {
            assert_eq!(flood as usize, at);
            let same = Flood::ALL.iter().filter(|f| f.as_str() == flood.as_str());
            assert_eq!(same.count(), 1);
        }
    }
}
