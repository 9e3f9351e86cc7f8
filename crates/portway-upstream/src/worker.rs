//! One worker's part of an upstream: its balancer and its connection pools.
//!
//! Must hold: nothing here is shared with another thread; what it knows of targets is derived anew when
//! the shared upstream's epoch moves. A pick allocates nothing unless the targets changed.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portway_balance::{
    Balancer, Load, Outcome, TargetInfo, View, build, slow_start_weight, usable,
};
use portway_core::Mono;
use portway_net::timer::Wheel;

use crate::either::Either;
use crate::multiplex::Multiplex;
use crate::pool::Pool;
use crate::spec::Protocol;
use crate::target::Target;
use crate::upstream::{TargetSet, Upstream};

/// One worker's part of an upstream.
pub struct WorkerUpstream {
    /// What all workers share.
    pub shared: Arc<Upstream>,
    wheel: Wheel,
    view: RefCell<WorkerView>,
    /// The weights still ramp up; looked at again then.
    ramp_at: Cell<Mono>,
}

struct WorkerView {
    epoch: Option<u64>,
    /// Counts what the balancer must hear of: other targets, health or weights.
    version: u64,
    set: Arc<TargetSet>,
    balancer: Box<dyn Balancer>,
    usable: Vec<u32>,
    weights: Vec<u32>,
    loads: Vec<Load>,
    places: Vec<Rc<Place>>,
}

/// A picked target.
#[derive(Clone)]
pub struct Picked {
    /// Its place in the set of that generation.
    pub index: u32,
    /// The set it was picked from.
    pub generation: u64,
    place: Rc<Place>,
}

/// A target as one worker knows it. Counted without atomics: it never leaves its thread.
struct Place {
    target: Arc<Target>,
    label: Rc<str>,
    way: Way,
}

/// How a worker gets to a target.
#[derive(Clone)]
pub enum Way {
    /// HTTP/1: a connection per exchange.
    H1(Rc<Pool>),
    /// HTTP/2: a stream per exchange.
    H2(Rc<Multiplex>),
    /// The one or the other, as the target picks.
    Either(Rc<Either>),
}

impl Way {
    fn new(upstream: &Arc<Upstream>, wheel: &Wheel) -> Way {
        let (upstream, wheel) = (Arc::clone(upstream), wheel.clone());
        match upstream.spec.protocol {
            Protocol::H1 => Way::H1(Rc::new(Pool::new(upstream, wheel))),
            Protocol::H2 | Protocol::H2Only => Way::H2(Rc::new(Multiplex::new(upstream, wheel))),
            Protocol::Either => Way::Either(Rc::new(Either::new(upstream, wheel))),
        }
    }

    fn idle_since(&self) -> Option<Mono> {
        match self {
            Way::H1(pool) => pool.idle_since(),
            Way::H2(streams) => streams.idle_since(),
            Way::Either(either) => either.idle_since(),
        }
    }

    fn evict(&self) -> bool {
        match self {
            Way::H1(pool) => pool.evict(),
            Way::H2(streams) => streams.evict(),
            Way::Either(either) => either.evict(),
        }
    }

    fn reap(&self) {
        match self {
            Way::H1(pool) => pool.reap(),
            Way::H2(streams) => streams.reap(),
            Way::Either(either) => either.reap(),
        }
    }

    fn idle(&self) -> usize {
        match self {
            Way::H1(pool) => pool.len(),
            Way::H2(streams) => streams.idle(),
            Way::Either(either) => either.idle(),
        }
    }

    fn close(&self) {
        match self {
            Way::H1(pool) => pool.close(),
            Way::H2(streams) => streams.close(),
            Way::Either(either) => either.close(),
        }
    }
}

impl Picked {
    /// The target.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.place.target
    }

    /// Its address as text.
    #[must_use]
    pub fn label(&self) -> &Rc<str> {
        &self.place.label
    }

    /// This worker's connections to it.
    #[must_use]
    pub fn way(&self) -> &Way {
        &self.place.way
    }
}

/// While weights ramp up they are looked at this often.
const RAMP_STEP: Duration = Duration::from_millis(100);

impl WorkerUpstream {
    /// This worker's part of `shared`. `seed` makes workers pick differently.
    #[must_use]
    pub fn new(shared: Arc<Upstream>, wheel: Wheel, seed: u64) -> WorkerUpstream {
        let view = WorkerView {
            epoch: None,
            version: 0,
            set: Arc::default(),
            balancer: build(shared.spec.balance.policy, &[], seed),
            usable: Vec::new(),
            weights: Vec::new(),
            loads: Vec::new(),
            places: Vec::new(),
        };
        WorkerUpstream {
            shared,
            wheel,
            view: RefCell::new(view),
            ramp_at: Cell::new(Mono::NEVER),
        }
    }

    /// The target for a try. `hash` is what hashing policies place by; `sticky` the key of the target
    /// that the client wants back to; `tried` are the keys of targets that this exchange has tried.
    #[must_use]
    pub fn pick(
        &self,
        hash: Option<u64>,
        sticky: Option<u64>,
        tried: &[u64],
        now: Mono,
    ) -> Option<Picked> {
        let mut view = self.view.borrow_mut();
        if view.epoch != Some(self.shared.epoch()) {
            self.derive(&mut view);
        }
        if now >= self.ramp_at.get() {
            self.weigh(&mut view, now);
        }
        let view = &mut *view;
        // By key, since the set may be another one by now. Empty, and so without an allocation, at first.
        let place = |key: &u64| view.set.targets.iter().position(|t| t.key == *key);
        let tried: Vec<u32> = tried.iter().filter_map(place).map(|i| i as u32).collect();
        let stuck = sticky
            .and_then(|key| view.set.targets.iter().position(|t| t.key == key))
            .filter(|i| view.usable.contains(&(*i as u32)) && !tried.contains(&(*i as u32)));
        let seen = View {
            version: view.version,
            usable: &view.usable,
            weights: &view.weights,
            loads: &view.loads,
            tried: &tried,
            now,
        };
        let index = stuck.or_else(|| view.balancer.pick(&seen, hash))?;
        Some(Picked {
            index: index as u32,
            generation: view.set.generation,
            place: Rc::clone(view.places.get(index)?),
        })
    }

    /// Tells the balancer how a try ended.
    pub fn done(&self, picked: &Picked, outcome: Outcome, now: Mono) {
        let mut view = self.view.borrow_mut();
        if view.set.generation == picked.generation {
            view.balancer.done(picked.index as usize, outcome, now);
        }
    }

    /// How many targets there are.
    #[must_use]
    pub fn target_count(&self) -> usize {
        self.shared.targets().targets.len()
    }

    /// Closes pooled connections that were idle too long. Called by the worker now and then.
    pub fn reap(&self) {
        self.view
            .borrow()
            .places
            .iter()
            .for_each(|place| place.way.reap());
    }

    /// Closes the connection of this worker that has been idle for longest; whether there was one.
    pub(crate) fn evict(&self) -> bool {
        let view = self.view.borrow();
        let idle = view
            .places
            .iter()
            .filter_map(|place| Some((place.way.idle_since()?, &place.way)));
        let oldest = idle.min_by_key(|(since, _)| *since);
        oldest.is_some_and(|(_, way)| way.evict())
    }

    /// Whether there is a limit of connections, so that [`WorkerUpstream::make_room`] may have to.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        self.shared.spec.limits.connections_max != 0
    }

    /// Closes idle connections for exchanges of other workers. Called by the worker many times a second.
    pub fn make_room(&self) {
        let max = self.shared.spec.limits.connections_max;
        while self.shared.usage.is_room_wanted(max) && self.evict() {}
    }

    /// Idle connections of this worker.
    #[must_use]
    pub fn idle_connections(&self) -> usize {
        self.view
            .borrow()
            .places
            .iter()
            .map(|place| place.way.idle())
            .sum()
    }

    fn derive(&self, view: &mut WorkerView) {
        // The epoch first: what changes after it was read is seen at the next pick.
        view.epoch = Some(self.shared.epoch());
        let set = self.shared.targets();
        if !Arc::ptr_eq(&set, &view.set) {
            self.take_set(view, set);
        }
        let fit: Vec<bool> = view.set.targets.iter().map(|t| t.is_fit()).collect();
        usable(
            &fit,
            self.shared.spec.balance.panic_threshold_percent,
            &mut view.usable,
        );
        self.weigh(view, self.wheel.now());
    }

    fn take_set(&self, view: &mut WorkerView, set: Arc<TargetSet>) {
        let infos: Vec<_> = set
            .targets
            .iter()
            .map(|t| TargetInfo {
                key: t.key,
                weight: t.weight,
            })
            .collect();
        view.balancer.set_targets(&infos);
        view.loads = set.targets.iter().map(|t| t.load.clone()).collect();
        let mut old = std::mem::take(&mut view.places);
        view.places = set
            .targets
            .iter()
            .map(|t| {
                let way = match old.iter().position(|place| place.target.addr == t.addr) {
                    Some(i) => old.swap_remove(i).way.clone(),
                    None => Way::new(&self.shared, &self.wheel),
                };
                Rc::new(Place {
                    target: Arc::clone(t),
                    label: Rc::from(&*t.label),
                    way,
                })
            })
            .collect();
        old.iter().for_each(|place| place.way.close());
        view.set = set;
    }

    fn weigh(&self, view: &mut WorkerView, now: Mono) {
        let window = self.shared.spec.balance.slow_start;
        let mut ramping = false;
        view.version += 1;
        view.weights.clear();
        for target in &view.set.targets {
            let since = target.fit_since().map_or(Duration::MAX, |at| now.since(at));
            ramping |= since < window;
            view.weights
                .push(slow_start_weight(target.weight, since, window));
        }
        self.ramp_at.set(if ramping {
            now + RAMP_STEP
        } else {
            Mono::NEVER
        });
    }
}
