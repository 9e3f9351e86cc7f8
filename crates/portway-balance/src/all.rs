//! Every policy, by the name it has in a config. A new policy is a file and a line in each list here.

use crate::balancer::{Balancer, TargetInfo};
use crate::ewma::Ewma;
use crate::least_connections::LeastConnections;
use crate::maglev::Maglev;
use crate::p2c::P2c;
use crate::random::Random;
use crate::ring_hash::RingHash;
use crate::round_robin::RoundRobin;
use crate::weighted_round_robin::WeightedRoundRobin;

/// How an upstream shares its exchanges among its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// One after the other, whatever they weigh.
    RoundRobin,
    /// One after the other by weight, smoothly.
    WeightedRoundRobin,
    /// Any, by weight.
    Random,
    /// The one with the fewest exchanges under way per weight.
    LeastConnections,
    /// The less busy of two random ones.
    P2c,
    /// The faster of two random ones.
    Ewma,
    /// By the hash of something, on a ring.
    RingHash,
    /// By the hash of something, in a table.
    Maglev,
}

/// The names of all policies, as a config spells them.
pub const NAMES: &[&str] = &[
    "round_robin",
    "weighted_round_robin",
    "random",
    "least_connections",
    "p2c",
    "ewma",
    "ring_hash",
    "maglev",
];

impl PolicyKind {
    /// Every policy, in the order of [`NAMES`].
    pub const ALL: &'static [PolicyKind] = &[
        PolicyKind::RoundRobin,
        PolicyKind::WeightedRoundRobin,
        PolicyKind::Random,
        PolicyKind::LeastConnections,
        PolicyKind::P2c,
        PolicyKind::Ewma,
        PolicyKind::RingHash,
        PolicyKind::Maglev,
    ];

    /// The policy of a name; `None` for one that is not in [`NAMES`].
    #[must_use]
    pub fn parse(name: &str) -> Option<PolicyKind> {
        let at = NAMES.iter().position(|n| *n == name)?;
        PolicyKind::ALL.get(at).copied()
    }

    /// Its name in a config.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            PolicyKind::RoundRobin => "round_robin",
            PolicyKind::WeightedRoundRobin => "weighted_round_robin",
            PolicyKind::Random => "random",
            PolicyKind::LeastConnections => "least_connections",
            PolicyKind::P2c => "p2c",
            PolicyKind::Ewma => "ewma",
            PolicyKind::RingHash => "ring_hash",
            PolicyKind::Maglev => "maglev",
        }
    }

    /// Whether it places exchanges by a hash, so that `hash_on` means something.
    #[must_use]
    pub fn uses_hash(self) -> bool {
        matches!(self, PolicyKind::RingHash | PolicyKind::Maglev)
    }

    /// Whether a pick looks at the load of every target, which is faster when they lie
    /// [`SideBySide`](crate::SideBySide).
    #[must_use]
    pub fn reads_all_loads(self) -> bool {
        matches!(self, PolicyKind::LeastConnections)
    }
}

/// A balancer for one worker. Give each worker another `seed`, or all of them pick alike.
#[must_use]
pub fn build(kind: PolicyKind, targets: &[TargetInfo], seed: u64) -> Box<dyn Balancer> {
    match kind {
        PolicyKind::RoundRobin => Box::new(RoundRobin::new(targets, seed)),
        PolicyKind::WeightedRoundRobin => Box::new(WeightedRoundRobin::new(targets, seed)),
        PolicyKind::Random => Box::new(Random::new(seed)),
        PolicyKind::LeastConnections => Box::new(LeastConnections::new(seed)),
        PolicyKind::P2c => Box::new(P2c::new(seed)),
        PolicyKind::Ewma => Box::new(Ewma::new(targets, seed)),
        PolicyKind::RingHash => Box::new(RingHash::new(targets, seed)),
        PolicyKind::Maglev => Box::new(Maglev::new(targets, seed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_has_its_name_in_the_list() {
        assert_eq!(NAMES.len(), PolicyKind::ALL.len());
        for (name, kind) in NAMES.iter().zip(PolicyKind::ALL) {
            assert_eq!(kind.name(), *name);
            assert_eq!(PolicyKind::parse(name), Some(*kind));
        }
        assert_eq!(PolicyKind::parse("Round_Robin"), None);
    }
}
