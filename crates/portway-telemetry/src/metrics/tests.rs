//! The exposition as a scraper sees it.

use super::*;
use portway_core::Code;
use std::thread;

fn seen(method: MethodLabel, status: u16, duration_ns: u64) -> Observation {
    Observation {
        method,
        status,
        duration_ns,
        bytes_in: 100,
        bytes_out: 1000,
    }
}

/// The value of the sample with this name and labels.
fn sample(exposition: &str, series: &str) -> Option<f64> {
    exposition.lines().find_map(|line| {
        let value = line.strip_prefix(series)?.strip_prefix(' ')?;
        value.parse().ok()
    })
}

#[test]
fn sums_what_all_workers_counted() {
    let registry = Registry::new();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let shard = registry.worker();
                let route = shard.route("users");
                for _ in 0..1000 {
                    shard.observe(&route, seen(MethodLabel::Get, 200, 2_000_000));
                }
                shard.observe(&route, seen(MethodLabel::Post, 503, 20_000_000_000));
                route.error(Code::CircuitOpen);
                route.rate_limit_hit();
                let upstream = shard.upstream("users");
                upstream.observe(1_500_000);
                upstream.retried(2);
                shard.mirror_dropped();
            });
        }
    });
    let text = registry.encode(Format::Text);
    let expect = [
        (
            r#"portway_requests_total{route="users",method="GET",status="200"}"#,
            4000.0,
        ),
        (
            r#"portway_requests_total{route="users",method="POST",status="503"}"#,
            4.0,
        ),
        (
            r#"portway_request_duration_seconds_sum{route="users",method="GET"}"#,
            8.0,
        ),
        (
            r#"portway_request_duration_seconds_bucket{le="0.001",route="users",method="GET"}"#,
            0.0,
        ),
        (
            r#"portway_request_duration_seconds_bucket{le="0.0025",route="users",method="GET"}"#,
            4000.0,
        ),
        (
            r#"portway_request_duration_seconds_bucket{le="10.0",route="users",method="POST"}"#,
            0.0,
        ),
        (
            r#"portway_request_duration_seconds_bucket{le="+Inf",route="users",method="POST"}"#,
            4.0,
        ),
        (
            r#"portway_request_errors_total{route="users",code="circuit_open"}"#,
            4.0,
        ),
        (r#"portway_rate_limit_hits_total{route="users"}"#, 4.0),
        (r#"portway_retries_total{upstream="users"}"#, 8.0),
        (
            r#"portway_upstream_duration_seconds_count{upstream="users"}"#,
            4.0,
        ),
        ("portway_request_size_bytes_sum", 400_400.0),
        ("portway_response_size_bytes_count", 4004.0),
        ("portway_mirror_dropped_total", 4.0),
    ];
    for (series, value) in expect {
        assert_eq!(sample(&text, series), Some(value), "{series}\n{text}");
    }
}

#[test]
fn gauges_follow_what_is_alive() {
    let registry = Registry::new();
    let shard = registry.worker();
    let other = registry.worker();
    let listener = shard.listener("public");
    let first = listener.connection_opened();
    let second = other.listener("public").connection_opened();
    let request = shard.request_started();
    let series = r#"portway_active_connections{listener="public"}"#;
    let text = registry.encode(Format::Text);
    assert_eq!(sample(&text, series), Some(2.0));
    assert_eq!(sample(&text, "portway_active_requests"), Some(1.0));
    drop((first, request));
    let text = registry.encode(Format::Text);
    assert_eq!(sample(&text, series), Some(1.0));
    assert_eq!(sample(&text, "portway_active_requests"), Some(0.0));
    drop(second);
}

#[test]
fn a_series_survives_a_reload_and_goes_with_its_name() {
    let registry = Registry::new();
    let shard = registry.worker();
    let ok = seen(MethodLabel::Get, 200, 1);
    shard.observe(&shard.route("stays"), ok);
    shard.observe(&shard.route("goes"), ok);
    let open = shard.listener("draining").connection_opened();

    registry.retain(|subject, name| subject == Subject::Route && name == "stays");
    shard.observe(&shard.route("stays"), ok);
    let text = registry.encode(Format::Text);
    let stays = r#"portway_requests_total{route="stays",method="GET",status="200"}"#;
    assert_eq!(sample(&text, stays), Some(2.0));
    assert!(!text.contains("goes"), "{text}");
    assert!(text.contains("draining"), "{text}");

    drop(open);
    registry.retain(|subject, _| subject == Subject::Route);
    assert!(!registry.encode(Format::Text).contains("draining"));
}

#[test]
fn asks_collectors_at_every_scrape_and_escapes_what_they_say() {
    let registry = Registry::new();
    registry.collect_with(|out| {
        out.gauge(Metric::TargetHealth, &["a\"b\\c\nd", "10.0.0.1:80"], 1.0);
        out.counter(Metric::AccessLogDropped, &[], 3);
        out.counter(Metric::AccessLogDropped, &[], 4);
        out.gauge(Metric::BreakerState, &["too", "many"], 1.0);
        out.gauge(Metric::Requests, &["a", "b", "c"], 1.0);
    });
    let text = registry.encode(Format::Text);
    assert!(
        text.contains(r#"portway_target_health{upstream="a\"b\\c\nd",target="10.0.0.1:80"} 1"#),
        "{text}"
    );
    assert_eq!(sample(&text, "portway_access_log_dropped_total"), Some(7.0));
    assert!(!text.contains("circuit_breaker_state"), "{text}");
    assert!(!text.contains("portway_requests_total"), "{text}");
}

#[test]
fn counts_reloads_and_names_the_config_in_use() {
    let registry = Registry::new();
    registry.set_namespace(Namespace::parse("edge").unwrap());
    registry.config_reloaded(ReloadResult::Applied);
    registry.config_reloaded(ReloadResult::Refused);
    registry.config_reloaded(ReloadResult::Refused);
    registry.set_config_generation(7);
    let text = registry.encode(Format::Text);
    let refused = r#"edge_config_reloads_total{result="refused"}"#;
    assert_eq!(sample(&text, refused), Some(2.0));
    assert_eq!(sample(&text, "edge_config_generation"), Some(7.0));
}

#[test]
fn refuses_a_namespace_prometheus_would_refuse() {
    for bad in ["", "9a", "a-b", "a b", "a:b", "é"] {
        assert!(Namespace::parse(bad).is_none(), "{bad}");
    }
    assert!(Namespace::parse("_my_Gateway2").is_some());
}

#[test]
fn openmetrics_names_the_family_without_total_and_ends_in_eof() {
    let registry = Registry::new();
    let shard = registry.worker();
    shard.observe(&shard.route(NO_ROUTE), seen(MethodLabel::Other, 404, 1));
    let text = registry.encode(Format::OpenMetrics);
    assert!(text.contains("# TYPE portway_requests counter\n"), "{text}");
    assert!(
        text.contains(r#"portway_requests_total{route="-",method="OTHER",status="404"} 1"#),
        "{text}"
    );
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn the_text_format_is_well_formed() {
    let registry = Registry::new();
    let shard = registry.worker();
    for route in ["a", "b"] {
        let route = shard.route(route);
        shard.observe(&route, seen(MethodLabel::Get, 200, 1));
        route.error(Code::NoRoute);
    }
    let text = registry.encode(Format::Text);
    let mut family = "";
    let mut families = Vec::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            family = help.split(' ').next().unwrap();
            assert!(!families.contains(&family), "{family} appears twice");
            families.push(family);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            assert!(kind.starts_with(family), "{line}");
        } else {
            assert!(line.starts_with(family), "{line} is not of {family}");
            let (_, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
        }
    }
    assert!(families.len() > 10);
}

#[cfg(target_os = "linux")]
#[test]
fn knows_the_process_it_is_in() {
    let text = Registry::new().encode(Format::Text);
    let rss = sample(&text, "portway_process_resident_memory_bytes").unwrap();
    assert!(rss > 100_000.0);
    let start = sample(&text, "portway_process_start_time_seconds").unwrap();
    assert!(start > 1.0e9);
    assert!(sample(&text, "portway_process_open_fds").unwrap() >= 3.0);
    assert!(sample(&text, "portway_process_cpu_seconds_total").is_some());
}

#[test]
fn slots_intern_once_and_refuse_ids_of_another_snapshot() {
    let slots = Slots::new(2);
    let mut made = 0;
    for _ in 0..3 {
        let made = &mut made;
        assert_eq!(
            slots.find(1, || {
                *made += 1;
                "handle"
            }),
            Some(&"handle")
        );
    }
    assert_eq!(made, 1);
    assert_eq!(slots.find(2, || "other"), None);
}
