//! The transition table of a pattern that must match a whole value, copied out of a general automaton.
//!
//! Must hold: state 0 never leads anywhere and never accepts; every entry is the start of a row.
//! A general automaton also knows starts in the middle, several patterns and where a match ends; a
//! route asks none of it, and its own rows take a quarter of the memory and of the time.

use regex_automata::dfa::{Automaton, dense};
use regex_automata::util::primitives::StateID;
use regex_automata::util::start;
use regex_automata::{Anchored, dfa};

/// Two octets per class and state, and which states accept.
pub(super) struct Table {
    /// Octets that no state tells apart have one class.
    classes: Box<[u8; 256]>,
    /// One row per state: for each class the offset of the next row, then 1 if the state accepts.
    rows: Box<[u16]>,
    /// The column that says whether a state accepts.
    accepts: usize,
    start: u16,
}

impl Table {
    /// `None` if the automaton has too many states or may give up on some octets.
    pub(super) fn of(dfa: &dense::DFA<Vec<u32>>) -> Option<Self> {
        let mut classes = Box::new([0; 256]);
        for octet in 0..=u8::MAX {
            classes[usize::from(octet)] = dfa.byte_classes().get(octet);
        }
        let accepts = 1 + usize::from(*classes.iter().max()?);
        let width = accepts + 1;
        let mut octets = vec![0; accepts];
        for octet in 0..=u8::MAX {
            octets[usize::from(classes[usize::from(octet)])] = octet;
        }

        let config = start::Config::new().anchored(Anchored::Yes);
        let first = dfa.start_state(&config).ok()?;
        let mut states = States::default();
        let dead = vec![0; width];
        let mut rows = dead;
        let start = states.row(dfa, first, width)?;
        let mut done = 0;
        while let Some(state) = states.found.get(done).copied() {
            done += 1;
            for octet in &octets {
                rows.push(states.row(dfa, dfa.next_state(state, *octet), width)?);
            }
            rows.push(u16::from(dfa.is_match_state(dfa.next_eoi_state(state))));
        }
        Some(Self {
            classes,
            rows: rows.into(),
            accepts,
            start,
        })
    }

    pub(super) fn is_match(&self, value: &[u8]) -> bool {
        let mut row = usize::from(self.start);
        for octet in value {
            row = usize::from(self.rows[row + usize::from(self.classes[usize::from(*octet)])]);
            if row == 0 {
                return false;
            }
        }
        self.rows[row + self.accepts] == 1
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.classes) + size_of_val(&*self.rows)
    }
}

/// States in the order in which they were first seen, which is the order of their rows.
#[derive(Default)]
struct States {
    found: Vec<StateID>,
    rows: std::collections::HashMap<StateID, u16>,
}

impl States {
    fn row(&mut self, dfa: &impl dfa::Automaton, state: StateID, width: usize) -> Option<u16> {
        if dfa.is_quit_state(state) {
            return None;
        }
        if dfa.is_dead_state(state) {
            return Some(0);
        }
        if let Some(row) = self.rows.get(&state) {
            return Some(*row);
        }
        self.found.push(state);
        let row = u16::try_from(self.found.len() * width).ok()?;
        self.rows.insert(state, row);
        Some(row)
    }
}
