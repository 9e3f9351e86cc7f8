//! `/certificates`: what listeners present, until when, and how obtaining it goes.

use std::time::Duration;

use portway_proxy::CertificateReport;
use portway_telemetry::rfc3339;
use serde_json::{Value, json};

pub(crate) fn certificates(reports: &[CertificateReport]) -> Value {
    let list: Vec<Value> = reports.iter().map(certificate).collect();
    json!({ "certificates": list })
}

fn certificate(report: &CertificateReport) -> Value {
    let info = report.info.as_ref();
    let mut value = json!({
        "listener": &*report.listener,
        "certificate": &*report.certificate,
        "source": if report.acme.is_some() { "acme" } else { "file" },
        "names": report.names,
        "state": match (info, &report.acme) {
            (None, _) => "stand_in",
            (Some(_), Some(acme)) if acme.failures > 0 => "renewal_failed",
            (Some(_), _) => "valid",
        },
        "issuer": info.map(|info| &info.issuer),
        "serial": info.map(|info| &info.serial),
        "fingerprint": info.map(|info| &info.fingerprint),
        "not_before": info.map(|info| seconds(info.not_before)),
        "not_after": info.map(|info| seconds(info.not_after)),
    });
    if let Some(acme) = &report.acme {
        value["acme"] = json!({
            "orders_here": acme.leads,
            "last_try": acme.last_try.map(rfc3339),
            "next_try": acme.next_try.map(rfc3339),
            "failures": acme.failures,
            "last_error": acme.last_error.as_ref().map(|(at, what)| {
                json!({ "time": rfc3339(*at), "what": what })
            }),
        });
    }
    value
}

/// Seconds since the Unix epoch.
fn seconds(at: i64) -> String {
    rfc3339(Duration::from_secs(u64::try_from(at).unwrap_or(0)))
}
