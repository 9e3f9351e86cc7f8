//! A set of targets as a worker sees it when it picks.
//!
//! Must hold: weights differ, all targets are usable, and some have exchanges under way, so that no
//! policy takes a short cut that traffic would not give it; counts lie as an upstream of the policy
//! lays them out.

use std::collections::VecDeque;

use portway_balance::{Load, PolicyKind, SideBySide, TargetInfo, View, WEIGHT_SCALE, target_key};
use portway_core::Mono;

/// Targets with their state.
pub struct Targets {
    pub infos: Vec<TargetInfo>,
    usable: Vec<u32>,
    weights: Vec<u32>,
    loads: Vec<Load>,
    under_way: VecDeque<usize>,
}

impl Targets {
    /// `count` targets for a policy, with weights from 1 to 3.
    #[must_use]
    pub fn new(kind: PolicyKind, count: u16) -> Targets {
        let infos: Vec<TargetInfo> = (0..count)
            .map(|index| TargetInfo {
                key: target_key(&([127, 0, 0, 1], 8000 + index).into()),
                weight: u32::from(index % 3 + 1),
            })
            .collect();
        let mut side_by_side = SideBySide::with([]);
        let load = |_| match kind.reads_all_loads() {
            true => side_by_side.take(),
            false => Load::alone(),
        };
        let loads: Vec<Load> = infos.iter().map(load).collect();
        let under_way: VecDeque<usize> = (0..loads.len()).step_by(2).collect();
        under_way.iter().for_each(|target| loads[*target].begin());
        Targets {
            usable: (0..u32::from(count)).collect(),
            weights: infos
                .iter()
                .map(|info| info.weight * WEIGHT_SCALE)
                .collect(),
            infos,
            loads,
            under_way,
        }
    }

    /// What a policy may look at, at `now`.
    #[must_use]
    pub fn view(&self, now: Mono) -> View<'_> {
        View {
            version: 1,
            usable: &self.usable,
            weights: &self.weights,
            loads: &self.loads,
            tried: &[],
            now,
        }
    }

    /// An exchange with `target` begins, and the one that has been under way longest ends.
    pub fn begin_and_end(&mut self, target: usize) {
        self.loads[target].begin();
        self.under_way.push_back(target);
        if let Some(oldest) = self.under_way.pop_front() {
            self.loads[oldest].end();
        }
    }
}
