//! Arrows between crates: each uses only crates that come before it.
//!
//! Must hold: what tests alone use (dev-dependencies) is free.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The order. A crate that is missing here is a complaint: a new one is placed on purpose.
const ORDER: &[&str] = &[
    "portway-core",
    "portway-config",
    "portway-telemetry",
    "portway-net",
    "portway-tls",
    "portway-acme",
    "portway-http",
    "portway-route",
    "portway-filter",
    "portway-filters",
    "portway-balance",
    "portway-discovery",
    "portway-upstream",
    "portway-plan",
    "portway-proxy",
    "portway-admin",
    "portway",
    "portway-testkit",
];
/// Crates that nothing uses: they may use everything.
const ENDS: &[&str] = &["portway-e2e", "portway-bench", "xtask"];
/// Crates without sockets, tasks or clocks, and what they may not use for it.
const PURE: &[&str] = &[
    "portway-core",
    "portway-config",
    "portway-route",
    "portway-balance",
    "portway-plan",
];
const IMPURE: &[&str] = &[
    "tokio",
    "socket2",
    "rustix",
    "notify",
    "hyper",
    "hickory-resolver",
    "mio",
];
/// Crates that only one of ours names.
const OWNED: &[(&str, &str)] = &[
    ("httparse", "portway-http"),
    ("h2", "portway-http"),
    ("rustls", "portway-tls"),
    ("tokio-rustls", "portway-tls"),
    ("instant-acme", "portway-acme"),
];

/// Complaints about every dependency that goes the wrong way.
pub fn check(root: &Path) -> Result<Vec<String>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(root)
        .output()
        .map_err(|e| format!("cargo metadata in {}: {e}", root.display()))?;
    if !output.status.success() {
        return Err(format!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    let metadata: Value =
        serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    let mut complaints = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        package_arrows(package, &mut complaints);
    }
    Ok(complaints)
}

fn package_arrows(package: &Value, complaints: &mut Vec<String>) {
    let name = package["name"].as_str().unwrap_or_default();
    let place = ORDER.iter().position(|known| *known == name);
    if place.is_none() && !ENDS.contains(&name) {
        complaints.push(format!(
            "{name}: its place among the crates is not in xtask/src/arrows.rs"
        ));
    }
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        if dependency["kind"].as_str() == Some("dev") {
            continue;
        }
        let used = dependency["name"].as_str().unwrap_or_default();
        if let Some(complaint) = arrow(name, place, used) {
            complaints.push(complaint);
        }
    }
}

fn arrow(name: &str, place: Option<usize>, used: &str) -> Option<String> {
    let their_place = ORDER.iter().position(|known| *known == used);
    if let (Some(place), Some(theirs)) = (place, their_place)
        && theirs >= place
    {
        return Some(format!(
            "{name} uses {used}: arrows go to crates that come before (xtask/src/arrows.rs)"
        ));
    }
    if PURE.contains(&name) && IMPURE.contains(&used) {
        return Some(format!("{name} uses {used}: it is a pure crate"));
    }
    let owner = OWNED
        .iter()
        .find(|(owned, _)| *owned == used)
        .map(|(_, owner)| *owner)?;
    (place.is_some() && name != owner).then(|| format!("{name} uses {used}: only {owner} does"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complains(name: &str, used: &str) -> bool {
        arrow(name, ORDER.iter().position(|known| *known == name), used).is_some()
    }

    #[test]
    fn arrows_go_one_way() {
        assert!(!complains("portway-http", "portway-core"));
        assert!(complains("portway-core", "portway-http"));
        assert!(complains("portway-core", "portway-core"));
        assert!(!complains("portway-e2e", "portway-testkit"));
    }

    #[test]
    fn pure_crates_stay_pure_and_parsers_have_one_owner() {
        assert!(complains("portway-route", "tokio"));
        assert!(!complains("portway-net", "tokio"));
        assert!(complains("portway-proxy", "httparse"));
        assert!(!complains("portway-http", "httparse"));
        assert!(!complains("portway-bench", "httparse"));
    }
}
