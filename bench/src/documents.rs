//! Config documents of any size, as text.
//!
//! Must hold: the plain document is the one that the harness reloads under load (hosts, prefixes, one
//! upstream), so that the two figures are of the same work; the other one has what a gateway of many
//! teams would write: targets and filters of its own for each route.

use std::fmt::Write;

/// `routes` routes over 100 hosts to one upstream.
#[must_use]
pub fn plain(routes: usize) -> String {
    let mut text = String::from(
        "server: { host: 127.0.0.1, port: 8080 }\n\
         upstreams:\n  - { name: origin, targets: [{ addr: \"http://127.0.0.1:8081\" }] }\n\
         routes:\n  - { name: all, prefix: /, upstream: origin }\n",
    );
    for index in 1..routes {
        let host = index % 100;
        writeln!(
            text,
            "  - {{ name: r{index}, hosts: [h{host}.example.com], prefix: /service{index}/v1, upstream: origin }}"
        )
        .expect("a String takes all");
    }
    text
}

/// `routes` routes, each with a target and three filters of its own.
#[must_use]
pub fn with_filters(routes: usize) -> String {
    let mut text = String::from("server: { host: 127.0.0.1, port: 8080 }\nroutes:\n");
    for index in 0..routes {
        let port = 10_000 + index % 1000; // none that the gateway itself listens on
        writeln!(
            text,
            "  - name: r{index}\n    prefix: /team{}/service{index}\n    strip_prefix: true\n    \
             targets:\n      - addr: http://127.0.0.1:{port}\n        weight: 3\n    filters:\n      \
             - rate_limit: {{ qps: 1000, burst: 2000, key: client_ip }}\n      \
             - headers: {{ request: {{ set: {{ x-team: team{index} }} }} }}\n      \
             - retry: {{ max_retries: 2, retry_on: [502, 503, 504] }}",
            index % 100
        )
        .expect("a String takes all");
    }
    text
}

#[cfg(test)]
mod tests {
    use portway_config::FixedEnv;
    use portway_core::Clock;

    #[test]
    fn every_document_compiles_without_a_problem() {
        let (kinds, clock) = (portway_filters::all(), Clock::system());
        for text in [super::plain(2_000), super::with_filters(2_000)] {
            let (document, problems) = portway_config::parse("bench.yaml", &text, &FixedEnv::new());
            assert!(problems.is_empty(), "{problems:?}");
            let (plan, problems) = portway_plan::compile(&document.unwrap(), &kinds, &clock);
            assert!(problems.is_empty(), "{problems:?}");
            assert_eq!(plan.unwrap().routes.len(), 2_000);
        }
    }
}
