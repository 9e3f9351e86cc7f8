use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::fixture::{addrs, found, spec};
use crate::spec::{OutlierSpec, UpstreamSpec};
use crate::target::Unfit;

fn runtime() -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    for _ in 0..2000 {
        if holds() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("never: {what}");
}

fn file(path: &std::path::Path) -> UpstreamSpec {
    let source = portway_discovery::FileSpec {
        path: path.to_owned(),
    };
    UpstreamSpec {
        source: SourceSpec::File(source),
        ..spec(&[])
    }
}

#[test]
fn addresses_are_there_before_spawn_returns() {
    // Not one thread of the runtime runs: only what `spawn` does itself can be seen.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let up = Arc::new(Upstream::new(spec(&addrs(3))));
    let _tasks = spawn(Arc::clone(&up), Clock::system(), runtime.handle(), None);
    let labels: Vec<_> = up
        .targets()
        .targets
        .iter()
        .map(|t| t.label.to_string())
        .collect();
    assert_eq!(labels, ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"]);
}

/// A name that takes long to look up must not leave an upstream empty that has an address.
#[test]
fn addresses_do_not_wait_for_names_beside_them() {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut mixed = spec(&addrs(2));
    if let SourceSpec::Static(named) = &mut mixed.source {
        named[1].host = "no-such-name.invalid".into();
    }
    let up = Arc::new(Upstream::new(mixed));
    let _tasks = spawn(Arc::clone(&up), Clock::system(), runtime.handle(), None);
    let set = up.targets();
    let labels: Vec<&str> = set.targets.iter().map(|t| &*t.label).collect();
    assert_eq!(labels, ["10.0.0.1:80"]);
}

#[test]
fn targets_follow_their_source_and_outlive_its_failures() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("targets.yaml");
    std::fs::write(&path, "- 10.0.0.1:80\n").unwrap();
    let runtime = runtime();
    let up = Arc::new(Upstream::new(file(&path)));
    let _tasks = spawn(Arc::clone(&up), Clock::system(), runtime.handle(), None);
    let count = || up.targets().targets.len();
    eventually("one target", || count() == 1);
    std::fs::write(&path, "- [broken\n").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(count(), 1, "the last good set stays");
    std::fs::write(&path, "- 10.0.0.1:80\n- 10.0.0.2:80\n").unwrap();
    eventually("two targets", || count() == 2);
}

#[test]
fn an_ejected_target_comes_back_by_itself() {
    let up = Arc::new(Upstream::new(UpstreamSpec {
        outlier: Some(OutlierSpec {
            consecutive_failures: 1,
            eject_for: Duration::from_millis(1),
            ejected_max: 1.0,
            success_rate_below: None,
        }),
        ..spec(&addrs(1))
    }));
    let runtime = runtime();
    let clock = Clock::system();
    let _tasks = spawn(Arc::clone(&up), clock.clone(), runtime.handle(), None);
    let target = Arc::clone(&up.targets().targets[0]);
    up.observe(&target, false, clock.now());
    eventually("fit again", || !target.is(Unfit::Ejected));
}

#[test]
fn tasks_end_with_their_handle() {
    let runtime = runtime();
    let up = Arc::new(Upstream::new(spec(&addrs(1))));
    let tasks = spawn(Arc::clone(&up), Clock::system(), runtime.handle(), None);
    drop(tasks);
    eventually("nobody else holds it", || Arc::strong_count(&up) == 1);
}

#[test]
fn a_long_list_of_changes_is_cut() {
    let up = Upstream::new(spec(&[]));
    up.set_targets(&found(&addrs(12)), Mono(1));
    let now = up.targets();
    let said = labels(&not_in(&now, &Targets::default()));
    assert!(said.starts_with("10.0.0.1:80 10.0.0.2:80 "), "{said}");
    assert!(said.ends_with("10.0.0.10:80 2 more"), "{said}");
    assert_eq!(labels(&not_in(&now, &now)), "");
}
