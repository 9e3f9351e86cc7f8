//! Buckets by key, in bounded memory: at most [`RATE_LIMIT_KEYS_MAX`] of them, 16 bytes each.
//!
//! Must hold: a flood of keys cannot grow the table past its bound. Where there is no room for a new
//! key, the bucket nearest to full gives way: its caller gains the least. Each key has two places to
//! be in ("the power of two choices", Azar et al. 1994), and a key whose other place has room moves
//! there for a new one ("cuckoo hashing", Pagh and Rodler 2001), so that this begins only near the
//! bound: at nine tenths of it, as the median of 3,000 tables.
//! Never: keeps a key, only its keyed hash, so it holds nobody's address.

use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, PoisonError};

use portway_core::Mono;
use portway_core::limits::RATE_LIMIT_KEYS_MAX;

use super::gcra::{Quota, Verdict};

/// Locks: enough that workers seldom meet, few enough that an idle table stays near 2 KiB.
const SHARDS: usize = 16;
/// Buckets of a set: their keys fill a cache line.
const WAYS: usize = 8;
const SETS_MAX: usize = RATE_LIMIT_KEYS_MAX / SHARDS / WAYS;

/// One bucket per key.
#[derive(Default)]
pub struct Table {
    /// SipHash with a random key: a client cannot choose which keys meet in a set.
    hasher: RandomState,
    shards: [Shard; SHARDS],
}

#[derive(Default)]
#[repr(align(64))]
struct Shard(Mutex<Sets>);

#[derive(Default)]
struct Sets {
    /// A power of two of them, or none yet.
    sets: Vec<Set>,
    /// New keys that take over a bucket without a search for room, after a search in vain.
    resting: u32,
}

/// Some buckets: keys in one cache line, where a search looks, and states in the next.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Set {
    /// [`NOBODY`] for a bucket that no one has taken from.
    keys: [u64; WAYS],
    /// See [`Quota::decide`].
    tats: [u64; WAYS],
}

const NOBODY: u64 = 0;

/// A search reads up to 16 more sets, which a flood of keys would pay for each of them, in vain.
const REST: u32 = 127;

const EMPTY: Set = Set {
    keys: [NOBODY; WAYS],
    tats: [0; WAYS],
};

impl Table {
    /// Takes a token from the key's bucket if there is one.
    pub fn take(&self, key: impl Hash, quota: &Quota, now: Mono) -> Verdict {
        let key = self.hasher.hash_one(key).max(NOBODY + 1);
        let shard = &self.shards[key as usize % SHARDS];
        // A poisoned lock guards plain numbers: whatever they are, they are valid.
        let mut shard = shard.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, way) = shard.bucket_for(key, now);
        let set = &mut shard.sets[at];
        let (verdict, next) = quota.decide(set.tats[way], now);
        if let Some(next) = next {
            (set.keys[way], set.tats[way]) = (key, next);
        }
        verdict
    }

    /// Buckets there is room for now.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        let of = |s: &Shard| s.0.lock().unwrap().sets.len() * WAYS;
        self.shards.iter().map(of).sum()
    }
}

impl Set {
    /// Where a key is; [`WAYS`] if it is not here. Looks at all of them: where it is found cannot be
    /// guessed, so stopping there would cost more.
    #[inline]
    fn find(&self, key: u64) -> usize {
        let mut found = WAYS;
        for (way, known) in self.keys.iter().enumerate() {
            found = if *known == key { way } else { found };
        }
        found
    }

    /// Buckets that are not full again, and which is nearest to it.
    #[inline]
    fn room(&self, now: Mono) -> (usize, usize) {
        let (mut taken, mut nearest) = (0, 0);
        for (way, tat) in self.tats.iter().enumerate() {
            taken += usize::from(*tat > now.0);
            nearest = if *tat < self.tats[nearest] {
                way
            } else {
                nearest
            };
        }
        (taken, nearest)
    }
}

impl Sets {
    /// The key's bucket, or one that it takes over: the set and the place in it.
    fn bucket_for(&mut self, key: u64, now: Mono) -> (usize, usize) {
        if self.sets.is_empty() {
            self.sets.push(EMPTY);
        }
        loop {
            let sets = &mut self.sets;
            let places = places(key, sets.len());
            let [a, b] = places.map(|at| (at, sets[at].find(key)));
            let (at, way) = if a.1 < WAYS { a } else { b };
            if way < WAYS {
                return (at, way);
            }
            let (mut at, mut way) = room(sets, places, now);
            if sets[at].tats[way] > now.0 {
                if sets.len() < SETS_MAX {
                    grow(sets, now);
                    continue;
                }
                (at, way) = self.make_room(places, now).unwrap_or((at, way));
            }
            let set = &mut self.sets[at];
            // A bucket that is full again and one that never was are the same.
            (set.keys[way], set.tats[way]) = (NOBODY, 0);
            return (at, way);
        }
    }

    /// See [`make_room`]; does not search each time where the last search was in vain.
    fn make_room(&mut self, places: [usize; 2], now: Mono) -> Option<(usize, usize)> {
        if self.resting > 0 {
            self.resting -= 1;
            return None;
        }
        let made = make_room(&mut self.sets, places, now);
        if made.is_none() {
            self.resting = REST;
        }
        made
    }
}

/// The two sets in which a key may be: two different ones, if there are two. The low bits of its
/// hash chose the shard.
fn places(key: u64, sets: usize) -> [usize; 2] {
    let mask = sets - 1;
    let (a, b) = ((key >> 48) as usize & mask, (key >> 24) as usize & mask);
    [a, (b ^ usize::from(a == b)) & mask]
}

/// The bucket to give to a new key: in the set with more room, the one nearest to full.
fn room(sets: &[Set], places: [usize; 2], now: Mono) -> (usize, usize) {
    let [a, b] = places;
    let [(in_a, way_a), (in_b, way_b)] = places.map(|at| sets[at].room(now));
    let both_full = in_a == WAYS && in_b == WAYS;
    let choose_a = if both_full {
        sets[a].tats[way_a] <= sets[b].tats[way_b]
    } else {
        in_a <= in_b
    };
    if choose_a { (a, way_a) } else { (b, way_b) }
}

/// Moves one key of these sets to its other place if there is room, and gives what that key left.
fn make_room(sets: &mut [Set], places: [usize; 2], now: Mono) -> Option<(usize, usize)> {
    let moves = places
        .into_iter()
        .flat_map(|at| (0..WAYS).map(move |way| (at, way)));
    for (at, way) in moves {
        let (key, tat) = (sets[at].keys[way], sets[at].tats[way]);
        let [a, b] = self::places(key, sets.len());
        let other = if a == at { b } else { a };
        let (taken, free) = sets[other].room(now);
        if taken < WAYS {
            (sets[other].keys[free], sets[other].tats[free]) = (key, tat);
            return Some((at, way));
        }
    }
    None
}

/// Doubles the sets, leaving behind the buckets that are full again.
fn grow(sets: &mut Vec<Set>, now: Mono) {
    let mut doubled = vec![EMPTY; sets.len() * 2];
    for set in sets.iter() {
        for (key, tat) in set
            .keys
            .iter()
            .zip(set.tats)
            .filter(|(_, tat)| *tat > now.0)
        {
            let places = places(*key, doubled.len());
            let mut place = room(&doubled, places, now);
            if doubled[place.0].tats[place.1] > now.0 {
                place = make_room(&mut doubled, places, now).unwrap_or(place);
            }
            let (at, way) = place;
            (doubled[at].keys[way], doubled[at].tats[way]) = (*key, tat);
        }
    }
    *sets = doubled;
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(1_000_000_000);

    fn passes(table: &Table, key: u64, quota: &Quota, now: Mono) -> bool {
        matches!(table.take(key, quota, now), Verdict::Pass { .. })
    }

    #[test]
    fn keeps_each_key_to_its_own_bucket() {
        let quota = Quota::new(1.0, 2).unwrap();
        let table = Table::default();
        for key in 0..1000 {
            assert!(passes(&table, key, &quota, NOW));
            assert!(passes(&table, key, &quota, NOW));
        }
        assert!((0..1000).all(|key| !passes(&table, key, &quota, NOW)));
    }

    #[test]
    fn stays_bounded_under_a_flood_of_keys() {
        let quota = Quota::new(0.01, 1).unwrap();
        let table = Table::default();
        for key in 0..300_000 {
            assert!(passes(&table, key, &quota, NOW));
        }
        assert_eq!(table.capacity(), RATE_LIMIT_KEYS_MAX);
    }

    #[test]
    fn forgets_no_key_below_four_fifths_of_its_bound() {
        let quota = Quota::new(0.01, 1).unwrap();
        let table = Table::default();
        let keys = RATE_LIMIT_KEYS_MAX as u64 * 4 / 5;
        assert!((0..keys).all(|key| passes(&table, key, &quota, NOW)));
        assert!((0..keys).all(|key| !passes(&table, key, &quota, NOW)));
    }

    #[test]
    fn reuses_the_room_of_buckets_that_are_full_again() {
        let quota = Quota::new(1000.0, 1).unwrap();
        let table = Table::default();
        for round in 0..1000 {
            let now = Mono(NOW.0 + round * 2_000_000);
            assert!((0..10).all(|key| passes(&table, round * 10 + key, &quota, now)));
        }
        assert!(table.capacity() <= 2 * SHARDS * WAYS);
    }

    #[test]
    fn gives_up_the_bucket_nearest_to_full_first() {
        let quota = Quota::new(0.01, 100).unwrap();
        let table = Table::default();
        while passes(&table, 7, &quota, NOW) {} // as empty as can be
        for key in 1000..400_000 {
            table.take(key, &quota, NOW);
        }
        assert!(!passes(&table, 7, &quota, NOW));
    }

    #[test]
    fn lets_two_threads_take_exactly_the_burst_of_each_key() {
        let quota = Quota::new(0.001, 50).unwrap();
        let table = Table::default();
        let take = || {
            (0..100_000u64)
                .filter(|i| passes(&table, i % 100, &quota, NOW))
                .count()
        };
        let passed = std::thread::scope(|scope| {
            let other = scope.spawn(take);
            take() + other.join().unwrap()
        });
        assert_eq!(passed, 100 * 50);
    }
}
