//! A set of targets with a balancer before it, and a view that tests can bend.

use std::time::Duration;

use portway_balance::{
    Balancer, Load, Outcome, PolicyKind, SideBySide, TargetInfo, View, WEIGHT_SCALE, build, hash,
};
use portway_core::Mono;

pub struct Fleet {
    pub targets: Vec<TargetInfo>,
    pub usable: Vec<u32>,
    pub weights: Vec<u32>,
    pub loads: Vec<Load>,
    pub tried: Vec<u32>,
    pub now: Mono,
    pub balancer: Box<dyn Balancer>,
    version: u64,
    /// What the last pick saw: tests bend the lists above as they like.
    seen: (Vec<u32>, Vec<u32>),
}

impl Fleet {
    pub fn new(kind: PolicyKind, weights: &[u32]) -> Fleet {
        let targets: Vec<TargetInfo> = (0..weights.len()).map(|i| info(i, weights[i])).collect();
        Fleet::of(kind, &targets)
    }

    pub fn of(kind: PolicyKind, targets: &[TargetInfo]) -> Fleet {
        Fleet {
            targets: targets.to_vec(),
            usable: (0..targets.len() as u32).collect(),
            weights: targets.iter().map(|t| t.weight * WEIGHT_SCALE).collect(),
            loads: loads(kind, targets.len()),
            tried: Vec::new(),
            now: Mono(1_000_000_000),
            balancer: build(kind, targets, 42),
            version: 0,
            seen: Default::default(),
        }
    }

    pub fn pick(&mut self, hash: Option<u64>) -> Option<usize> {
        if self.seen.0 != self.usable || self.seen.1 != self.weights {
            self.version += 1;
            self.seen = (self.usable.clone(), self.weights.clone());
        }
        let view = View {
            version: self.version,
            usable: &self.usable,
            weights: &self.weights,
            loads: &self.loads,
            tried: &self.tried,
            now: self.now,
        };
        self.balancer.pick(&view, hash)
    }

    pub fn done(&mut self, target: usize, latency: Duration, ok: bool) {
        self.balancer
            .done(target, Outcome { latency, ok }, self.now);
    }

    /// How often each target was picked in `picks` picks, each with another hash.
    pub fn shares(&mut self, picks: u64) -> Vec<u64> {
        let mut shares = vec![0; self.targets.len()];
        for n in 0..picks {
            let target = self.pick(Some(key(n))).expect("something is usable");
            shares[target] += 1;
        }
        shares
    }
}

/// Counts as an upstream lays them out for the policy.
pub fn loads(kind: PolicyKind, count: usize) -> Vec<Load> {
    let mut side_by_side = SideBySide::with([]);
    let load = |_| match kind.reads_all_loads() {
        true => side_by_side.take(),
        false => Load::alone(),
    };
    (0..count).map(load).collect()
}

pub fn info(index: usize, weight: u32) -> TargetInfo {
    TargetInfo {
        key: hash(format!("10.0.0.{index}:80").as_bytes()),
        weight,
    }
}

pub fn key(n: u64) -> u64 {
    hash(format!("user-{n}").as_bytes())
}

/// Whether each share is within `percent` of the whole of what the weights ask for.
pub fn follows(shares: &[u64], weights: &[u32], percent: f64) -> bool {
    let picks: u64 = shares.iter().sum();
    let weight: u32 = weights.iter().sum();
    shares.iter().zip(weights).all(|(share, w)| {
        let wanted = f64::from(*w) / f64::from(weight);
        let got = *share as f64 / picks as f64;
        (got - wanted).abs() * 100.0 <= percent
    })
}
