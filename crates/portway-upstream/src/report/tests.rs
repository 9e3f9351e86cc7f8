use super::*;
use crate::fixture::{addrs, found, spec};
use crate::spec::{LimitSpec, OutlierSpec, UpstreamSpec};

use std::time::Duration;

fn at(seconds: u64) -> Mono {
    Mono(seconds * 1_000_000_000)
}

#[test]
fn tells_who_is_left_out_since_when_and_why() {
    let addrs = addrs(3);
    let up = Upstream::new(UpstreamSpec {
        outlier: Some(OutlierSpec {
            consecutive_failures: 1,
            eject_for: Duration::from_secs(30),
            ejected_max: 1.0,
            success_rate_below: None,
        }),
        ..spec(&addrs)
    });
    up.set_targets(&found(&addrs), at(1));
    let set = up.targets();
    set.targets[0].note_check(at(5), Some("connect refused".into()));
    up.mark(&set.targets[0], Unfit::Unhealthy, true, at(5));
    up.observe(&set.targets[1], false, at(6));
    let report = report(&up, at(12));
    assert_eq!((&*report.name, &*report.source), ("users", "static"));
    assert_eq!((report.generation, report.breaker), (1, None));

    let unhealthy = &report.targets[0];
    assert_eq!(unhealthy.address, "10.0.0.1:80");
    assert_eq!(unhealthy.health, "unhealthy");
    assert_eq!(unhealthy.reason.as_deref(), Some("connect refused"));
    assert_eq!(unhealthy.since_seconds, Some(7));
    assert_eq!(unhealthy.checked_seconds_ago, Some(7));

    let ejected = &report.targets[1];
    assert_eq!(ejected.health, "ejected");
    assert!(ejected.reason.is_some());
    assert_eq!(ejected.since_seconds, Some(6));
    assert_eq!(ejected.ejected_for_seconds, Some(24));

    let healthy = &report.targets[2];
    assert_eq!(healthy.health, "healthy");
    assert_eq!((healthy.since_seconds, &healthy.reason), (None, &None));
}

#[test]
fn a_target_that_is_well_again_says_for_how_long() {
    let addrs = addrs(1);
    let up = Upstream::new(spec(&addrs));
    up.set_targets(&found(&addrs), at(1));
    let set = up.targets();
    up.mark(&set.targets[0], Unfit::Unhealthy, true, at(2));
    set.targets[0].note_check(at(9), None);
    up.mark(&set.targets[0], Unfit::Unhealthy, false, at(9));
    let report = report(&up, at(12));
    assert_eq!(report.targets[0].health, "healthy");
    assert_eq!(report.targets[0].since_seconds, Some(3));
    assert_eq!(report.targets[0].reason, None);
}

#[test]
fn shows_what_is_under_way_beside_its_limit() {
    let addrs = addrs(1);
    let up = Upstream::new(UpstreamSpec {
        limits: LimitSpec {
            connections_max: 7,
            ..LimitSpec::default()
        },
        ..spec(&addrs)
    });
    assert!(up.usage.connections.try_begin(7));
    let report = report(&up, at(1));
    assert_eq!((report.connections, report.connections_max), (1, Some(7)));
    assert_eq!((report.pending, report.pending_max), (0, None));
}
