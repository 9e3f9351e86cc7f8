//! Every committed seed through its check: what fuzzing once found stays found, without a fuzzer.

use std::fs;
use std::path::Path;

#[test]
fn every_seed_holds() {
    for (name, check) in portway_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("seeds")
            .join(name);
        let mut seeds = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("the folder can be listed").path();
            println!("{}", path.display());
            check(&fs::read(&path).expect("the seed can be read"));
            seeds += 1;
        }
        assert!(seeds > 0, "{name} has no seeds");
    }
}

#[test]
fn every_target_has_a_binary_that_is_listed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz_targets");
    let mut binaries: Vec<String> = fs::read_dir(&folder)
        .expect("fuzz_targets can be listed")
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    let mut targets: Vec<&str> = portway_fuzz::TARGETS
        .iter()
        .map(|(name, _)| *name)
        .collect();
    binaries.sort_unstable();
    targets.sort_unstable();
    assert_eq!(binaries, targets);
}
