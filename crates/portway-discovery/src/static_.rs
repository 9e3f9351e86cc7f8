//! `static`: the targets that the config lists.
//!
//! Must hold: with addresses only there is one set and then nothing more; host names are looked up
//! as often as their TTL asks, and one that cannot be looked up takes no other target away.

use crate::lookup::Lookup;
use crate::refresh::{Question, Refresh, Sets};
use crate::source::{
    BoxFuture, NamedTarget, REFRESH_MAX, REFRESH_MIN, Source, SourceError, TargetSet,
};

/// See the module.
pub struct Static {
    refresh: Refresh,
    sets: Sets,
}

impl Static {
    /// These targets.
    #[must_use]
    pub fn new(targets: &[NamedTarget]) -> Static {
        let question = Question::Hosts(targets.to_vec());
        Static {
            refresh: Refresh::new(question, Lookup::new(None), REFRESH_MIN, REFRESH_MAX),
            sets: Sets::default(),
        }
    }
}

impl Source for Static {
    fn next(&mut self) -> BoxFuture<'_, Result<TargetSet, SourceError>> {
        Box::pin(self.refresh.next_set(&mut self.sets))
    }
}
