//! The contract between an upstream and a balancing policy.
//!
//! Must hold: indices in [`View`] mean the targets last given to `set_targets`, in that order; a
//! policy keeps its state by [`TargetInfo::key`], so a target that stays in a new set stays known.
//! Never: trusts the caller's slices to be of equal length; what is missing counts as weight 0 and
//! load 0, so that a wrong view costs a poor pick and not a panic.

use std::net::SocketAddr;
use std::time::Duration;

use portway_core::Mono;

use crate::load::Load;

/// Effective weights are configured weights times this, so that a slow-start ramp has steps.
pub const WEIGHT_SCALE: u32 = 100;
/// The largest configured weight that still fits an effective weight; larger ones count as this.
pub const WEIGHT_MAX: u32 = u32::MAX / WEIGHT_SCALE;

/// What a policy knows of a target before it has picked it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TargetInfo {
    /// A stable hash of the address ([`target_key`]): equal on every node and after a restart,
    /// because ring_hash and maglev place targets by it.
    pub key: u64,
    /// The configured weight, not scaled. 0 means: only if there is nothing else.
    pub weight: u32,
}

/// What a pick may look at. All indices are positions in the set last given to `set_targets`.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// Another number whenever `usable`, `weights` or `loads` are not what they were: what a policy
    /// works out from them it keeps until then.
    pub version: u64,
    /// Targets that may be picked, ascending: health and panic threshold are already applied.
    pub usable: &'a [u32],
    /// Effective weight of each target by index: configured × [`WEIGHT_SCALE`], less during slow
    /// start.
    pub weights: &'a [u32],
    /// Exchanges under way by target index.
    pub loads: &'a [Load],
    /// Targets this exchange has already tried: avoided while others remain.
    pub tried: &'a [u32],
    /// Now.
    pub now: Mono,
}

impl View<'_> {
    /// The effective weight of a target; 0 if there is none.
    #[must_use]
    #[inline]
    pub fn weight(&self, target: u32) -> u32 {
        self.weights.get(target as usize).copied().unwrap_or(0)
    }

    /// Exchanges under way to a target.
    #[must_use]
    #[inline]
    pub fn active(&self, target: u32) -> u32 {
        self.loads.get(target as usize).map_or(0, Load::active)
    }

    /// Whether this exchange has tried the target before.
    #[must_use]
    #[inline]
    pub fn is_tried(&self, target: u32) -> bool {
        self.tried.contains(&target)
    }

    /// Whether a target is among the usable ones.
    #[must_use]
    #[inline]
    pub fn is_usable(&self, target: u32) -> bool {
        // The common case, all of them usable, costs one comparison.
        self.usable.get(target as usize) == Some(&target)
            || self.usable.binary_search(&target).is_ok()
    }
}

/// How an exchange with a target ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// From the pick to the reply's head, or to the failure.
    pub latency: Duration,
    /// Whether the target did its work. The caller decides what counts as a failure.
    pub ok: bool,
}

/// A balancing policy with its state, owned by one worker.
pub trait Balancer: Send {
    /// The target for the next exchange: `None` only if `view.usable` is empty. `hash` is what
    /// ring_hash and maglev place by; without it they pick at random by weight.
    fn pick(&mut self, view: &View<'_>, hash: Option<u64>) -> Option<usize>;

    /// Learns how an exchange with `target` ended. Called once per pick that reached the target,
    /// and not after `set_targets` has changed what the index means.
    fn done(&mut self, _target: usize, _outcome: Outcome, _now: Mono) {}

    /// Takes a new set; what is known of targets that stay (by key) is kept.
    fn set_targets(&mut self, targets: &[TargetInfo]);
}

/// XXH64 with seed 0: the hash by which keys and targets are placed. Part of the contract between
/// nodes, so it never changes.
#[must_use]
pub fn hash(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh64::xxh64(bytes, 0)
}

/// The key of a target: [`hash`] of its address as text (`127.0.0.1:8081`, `[::1]:8081`).
#[must_use]
pub fn target_key(addr: &SocketAddr) -> u64 {
    hash(addr.to_string().as_bytes())
}

/// Rebuilds per-target state for a new set: what `old` knew by key, else `fresh`.
pub(crate) fn carry_over<T: Clone>(
    old_keys: &[u64],
    old: &[T],
    new: &[TargetInfo],
    fresh: &T,
) -> Vec<T> {
    let known: std::collections::HashMap<u64, &T> = old_keys.iter().copied().zip(old).collect();
    new.iter()
        .map(|t| {
            known
                .get(&t.key)
                .map_or_else(|| fresh.clone(), |s| (*s).clone())
        })
        .collect()
}

/// The effective weight that a target reaches after its slow start.
pub(crate) fn full_weight(target: &TargetInfo) -> u32 {
    target.weight.min(WEIGHT_MAX) * WEIGHT_SCALE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_the_reference_implementation_does() {
        // Test vectors of the xxHash specification, seed 0.
        assert_eq!(hash(b""), 0xef46_db37_51d8_e999);
        assert_eq!(hash(b"a"), 0xd24e_c4f1_a98c_6e5b);
    }

    #[test]
    fn a_view_with_short_slices_is_no_panic() {
        let view = View {
            version: 1,
            usable: &[0, 5],
            weights: &[],
            loads: &[],
            tried: &[],
            now: Mono(1),
        };
        assert_eq!(view.weight(5), 0);
        assert_eq!(view.active(5), 0);
        assert!(view.is_usable(5) && !view.is_usable(1));
    }
}
