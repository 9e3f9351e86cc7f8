//! Checks of targets, active and passive.
//!
//! Must hold: what a check asks for is one well-formed request, whatever the config's writer typed.

use portway_config::Spanned;
use portway_config::document::{CheckType, HealthCheck, OutlierDetection};
use portway_core::Diagnostics;
use portway_http::hygiene::host::parse_authority;
use portway_http::hygiene::path::{EncodedSlashes, PathRules, canonicalize};
use portway_upstream::spec::{HealthSpec, OutlierSpec, Probe};

use super::upstreams::{at_least_one, positive};

/// Active checks.
pub(super) fn health(check: &HealthCheck, problems: &mut Diagnostics) -> HealthSpec {
    positive(&check.interval, problems);
    positive(&check.timeout, problems);
    at_least_one(&check.healthy_after, problems);
    at_least_one(&check.unhealthy_after, problems);
    if check.timeout.value() > check.interval.value() {
        problems.warn(
            check.timeout.span(),
            "a check may take longer than the time to the next one, which is then late",
            "make `timeout` shorter than `interval`",
        );
    }
    let probe = match check.kind {
        CheckType::Tcp => Probe::Tcp,
        CheckType::Grpc => Probe::Grpc {
            service: check
                .service
                .as_ref()
                .map_or_else(String::new, |service| service.to_string()),
        },
        CheckType::Http => Probe::Http {
            path: check
                .path
                .as_ref()
                .map_or_else(|| "/".to_owned(), |path| self::path(path, problems)),
            host: check.host.as_ref().map(|host| self::host(host, problems)),
            expect: check.expect.0.iter().map(|r| (r.first, r.last)).collect(),
        },
    };
    HealthSpec {
        probe,
        interval: check.interval.value(),
        timeout: check.timeout.value(),
        healthy_after: check.healthy_after.value(),
        unhealthy_after: check.unhealthy_after.value(),
    }
}

/// A path, perhaps with a query, in the form in which it is asked for.
fn path(text: &Spanned<String>, problems: &mut Diagnostics) -> String {
    let rules = PathRules {
        encoded_slashes: EncodedSlashes::Keep,
        ..PathRules::default()
    };
    let (path, query) = match text.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text.as_str(), None),
    };
    let mut canonical = String::new();
    if !text.starts_with('/') {
        problems.error(
            text.span(),
            format!(
                "the path `{}` does not start with `/`",
                text.escape_default()
            ),
            format!("write `/{}`", text.escape_default()),
        );
    } else if let Err(error) = canonicalize(path.as_bytes(), rules, &mut canonical) {
        problems.error(
            text.span(),
            format!(
                "`{}` is not a path: {}",
                text.escape_default(),
                error.detail
            ),
            "encode other characters, as in %20",
        );
    }
    if let Some(query) = query {
        if !query.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
            problems.error(
                text.span(),
                format!(
                    "`{}` has a query with a character that it cannot have",
                    text.escape_default()
                ),
                "encode other characters, as in %20",
            );
        }
        canonical.push('?');
        canonical.push_str(query);
    }
    canonical
}

fn host(text: &Spanned<String>, problems: &mut Diagnostics) -> String {
    let mut canonical = String::new();
    match parse_authority(text.as_bytes(), &mut canonical) {
        Ok(Some(port)) => format!("{canonical}:{port}"),
        Ok(None) => canonical,
        Err(error) => {
            problems.error(
                text.span(),
                format!(
                    "`{}` is not a host: {}",
                    text.escape_default(),
                    error.detail
                ),
                "write a name like users.internal, with a port if needed",
            );
            canonical
        }
    }
}

/// Passive checks.
pub(super) fn outlier(
    config: &Spanned<OutlierDetection>,
    problems: &mut Diagnostics,
) -> OutlierSpec {
    positive(&config.eject_for, problems);
    if config.consecutive_5xx == 0 && config.success_rate_below.is_none() {
        problems.warn(
            config.span(),
            "`outlier_detection` without `consecutive_5xx` and `success_rate_below` looks at nothing",
            "set one of the two, or remove it",
        );
    }
    if config.max_ejected.fraction() == 0.0 {
        problems.warn(
            config.span(),
            "`max_ejected: 0%` leaves no target out, however much it fails",
            "set more than 0%, or remove `outlier_detection`",
        );
    }
    OutlierSpec {
        consecutive_failures: config.consecutive_5xx,
        eject_for: config.eject_for.value(),
        ejected_max: config.max_ejected.fraction(),
        success_rate_below: config
            .success_rate_below
            .map(portway_config::Percent::fraction),
    }
}
