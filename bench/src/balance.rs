//! A set of targets as a worker sees it when it picks.
//!
//! Must hold: weights differ, all targets are usable, and some have exchanges under way, so that no
//! policy takes a short cut that traffic would not give it.

use std::sync::Arc;

use portway_balance::{Load, TargetInfo, View, WEIGHT_SCALE, target_key};
use portway_core::Mono;

/// Targets with their state.
pub struct Targets {
    pub infos: Vec<TargetInfo>,
    usable: Vec<u32>,
    weights: Vec<u32>,
    loads: Vec<Arc<Load>>,
}

impl Targets {
    /// `count` targets with weights from 1 to 3.
    #[must_use]
    pub fn new(count: u16) -> Targets {
        let infos: Vec<TargetInfo> = (0..count)
            .map(|index| TargetInfo {
                key: target_key(&([127, 0, 0, 1], 8000 + index).into()),
                weight: u32::from(index % 3 + 1),
            })
            .collect();
        let loads: Vec<Arc<Load>> = infos.iter().map(|_| Arc::new(Load::new())).collect();
        for load in loads.iter().step_by(2) {
            load.begin();
        }
        Targets {
            usable: (0..u32::from(count)).collect(),
            weights: infos
                .iter()
                .map(|info| info.weight * WEIGHT_SCALE)
                .collect(),
            infos,
            loads,
        }
    }

    /// What a policy may look at, at `now`.
    #[must_use]
    pub fn view(&self, now: Mono) -> View<'_> {
        View {
            usable: &self.usable,
            weights: &self.weights,
            loads: &self.loads,
            tried: &[],
            now,
        }
    }
}
