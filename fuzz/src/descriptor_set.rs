//! Descriptor sets as services tell them: whatever they say, they are read or refused, what is refused is said in some
//! words, and of what is read the bindings come out, each for a path of its own template.

use portway_filters::grpc_json::rules::{Selection, compile};
use portway_filters::grpc_json::set;

/// Checks the octets as a descriptor set.
pub fn check(data: &[u8]) {
    let pool = match set::read(data) {
        Ok(pool) => pool,
        Err(why) => {
            assert!(!why.is_empty() && why.len() <= 1000, "{why}");
            return;
        }
    };
    let wanted = Selection {
        services: Vec::new(),
        unbound: true,
    };
    let mut problems = Vec::new();
    compile(&pool, &wanted, &mut problems);
    for message in pool.all_messages() {
        // What is read by it comes to an end, too.
        let _ = prost_reflect::DynamicMessage::decode(message, data);
    }
}
