//! Which messages can hold `google.protobuf.Any`, however deep.
//!
//! Must hold: each field of a pool is looked at once, however many bindings ask. Never: walks a message's graph anew
//! for each of them: of messages that hold one another, a set of some megabytes has thousands of thousands of ways.

use std::collections::{HashMap, HashSet};

use prost_reflect::{DescriptorPool, Kind};

const ANY: &str = "google.protobuf.Any";

/// Their names.
pub fn holders(pool: &DescriptorPool) -> HashSet<String> {
    let mut found = HashSet::new();
    if pool.get_message_by_name(ANY).is_none() {
        return found;
    }
    let mut held_by: HashMap<String, Vec<String>> = HashMap::new();
    for message in pool.all_messages() {
        let fields = message.fields().map(|field| field.kind());
        let kinds = fields.chain(message.extensions().map(|field| field.kind()));
        let held: HashSet<String> = kinds.filter_map(name).collect();
        for held in held {
            let holders = held_by.entry(held).or_default();
            holders.push(message.full_name().to_owned());
        }
    }
    let mut open = vec![ANY.to_owned()];
    while let Some(held) = open.pop() {
        open.extend(held_by.remove(&held).unwrap_or_default());
        found.insert(held);
    }
    found
}

fn name(kind: Kind) -> Option<String> {
    kind.as_message()
        .map(|message| message.full_name().to_owned())
}
