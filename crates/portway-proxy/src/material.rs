//! What a plan names and files hold: certificates, keys, CAs, revocation lists; and whether its logs have
//! a folder to be in.
//!
//! Must hold: read whole and checked before anything changes; what did not change is the same object
//! as before, so that its sessions go on. Blocks: to be called from where that is allowed.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portway_acme::Wanted;
use portway_core::{Clock, Diagnostic, Diagnostics};
use portway_discovery::reflect::{self, Patience};
use portway_filter::{Files, Service};
use portway_plan::Plan;
use portway_telemetry::access_log::LogOutput;
use portway_tls::{Acceptor, Connector, Slot, Slots};

use crate::snapshot::Snapshot;

/// The TLS of a plan, ready to be used. Its places for certificates are held by the acceptors.
pub(crate) struct Material {
    /// By `ListenerId`.
    pub(crate) acceptors: Vec<Option<Arc<Acceptor>>>,
    /// By `UpstreamId`.
    pub(crate) connectors: Vec<Option<Arc<Connector>>>,
    /// Certificates to obtain.
    pub(crate) wanted: Option<Wanted>,
}

/// Reads all files that the plan names. Warnings come back beside it.
///
/// # Errors
/// All problems, warnings included.
pub(crate) fn load(
    plan: &Plan,
    old: Option<&Snapshot>,
    clock: &Clock,
    slots: &Slots,
) -> Result<(Material, Vec<Diagnostic>), Vec<Diagnostic>> {
    let now = clock.wall().as_secs();
    let mut problems = Diagnostics::new();
    let acceptors = plan.listeners.iter().map(|listener| {
        let door = old.and_then(|old| {
            let doors = old.plan.listeners.iter().zip(&old.listeners);
            doors
                .into_iter()
                .find(|(plan, _)| plan.name == listener.name)
        });
        let before = door.and_then(|(_, door)| door.acceptor());
        let spec = listener.tls.as_ref()?;
        let time = (now, clock);
        let loaded = Acceptor::load(spec, slots, before.as_deref(), time, &mut problems)?;
        Some(reuse(before, loaded, |a, b| a.is(b)))
    });
    let acceptors: Vec<_> = acceptors.collect();
    let connectors = plan.upstreams.iter().map(|upstream| {
        let live = old.and_then(|old| {
            let mut all = old.upstreams.iter();
            all.find(|live| live.upstream.spec.name == upstream.name)
        });
        let before = live.and_then(|live| live.upstream.connector());
        let spec = upstream.tls.as_ref()?;
        let loaded = Connector::load(spec, before.as_deref(), now, &mut problems)?;
        Some(reuse(before, loaded, |a, b| a.is(b)))
    });
    let connectors = connectors.collect();
    let material = Material {
        connectors,
        wanted: wanted(plan, &acceptors, now, &mut problems),
        acceptors,
    };
    check_logs(plan, &mut problems);
    let failed = problems.has_errors();
    let problems = problems.sorted();
    if failed {
        Err(problems)
    } else {
        Ok((material, problems))
    }
}

/// What is to be obtained, for every place of the acceptors.
fn wanted(
    plan: &Plan,
    acceptors: &[Option<Arc<Acceptor>>],
    now: u64,
    problems: &mut Diagnostics,
) -> Option<Wanted> {
    let spec = plan.acme.clone()?;
    if let Some(why) = portway_acme::problem_of(&spec.folder) {
        let what = format!("nothing can be kept in {}: {why}", spec.folder.display());
        problems.error(
            spec.folder.span(),
            what,
            "name a folder that is there or can be made",
        );
    }
    let mut slots: Vec<Arc<Slot>> = Vec::new();
    let acceptors = acceptors.iter().flatten();
    for slot in acceptors
        .flat_map(|a| a.certificates())
        .filter_map(|c| c.slot)
    {
        if !slots.iter().any(|known| Arc::ptr_eq(known, &slot)) {
            slots.push(slot);
        }
    }
    let connector = Arc::new(Connector::load(&spec.connect, None, now, problems)?);
    Some(Wanted {
        spec,
        connector,
        slots,
    })
}

/// Notes files for logs that cannot be made. Nothing is made here: it may be a check only.
fn check_logs(plan: &Plan, problems: &mut Diagnostics) {
    let mut seen = HashSet::new();
    let of_routes = plan.routes.iter().filter_map(|route| route.log.as_ref());
    for output in plan.log.iter().chain(of_routes).map(|log| &log.output) {
        let LogOutput::File(path) = &**output else {
            continue;
        };
        if !seen.insert(path) {
            continue;
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if path.is_dir() {
            let what = format!("the access log `{}` is a folder", path.display());
            problems.error(output.span(), what, "name a file in it");
        } else if !folder.is_dir() {
            let what = format!(
                "the access log `{}` cannot be made: there is no folder `{}`",
                path.display(),
                folder.display()
            );
            problems.error(output.span(), what, "create the folder, or use another one");
        }
    }
}

fn reuse<T>(before: Option<Arc<T>>, loaded: T, is: impl Fn(&T, &T) -> bool) -> Arc<T> {
    match before {
        Some(before) if is(&before, &loaded) => before,
        _ => Arc::new(loaded),
    }
}

/// What is wrong with the files that a plan names, and what its readers should know: for checks
/// without a gateway.
#[must_use]
pub fn check_files(plan: &Plan, clock: &Clock) -> Vec<Diagnostic> {
    match load(plan, None, clock, &Slots::default()) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    }
}

/// Every file that a plan's TLS is made of.
#[must_use]
pub fn files(plan: &Plan) -> Vec<PathBuf> {
    let listeners = plan.listeners.iter().filter_map(|l| l.tls.as_ref());
    let upstreams = plan.upstreams.iter().filter_map(|u| u.tls.as_ref());
    let own = listeners.flat_map(|tls| tls.files().cloned());
    let issuer = plan
        .acme
        .iter()
        .flat_map(|acme| acme.connect.files().cloned());
    own.chain(upstreams.flat_map(|tls| tls.files().cloned()))
        .chain(issuer)
        .collect()
}

/// Files of this machine, and descriptor sets that services tell of themselves. Relative paths start at the
/// working directory.
#[derive(Clone, Copy, Debug)]
pub struct DiskFiles;

impl Files for DiskFiles {
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        if !file.metadata().is_ok_and(|meta| meta.is_file()) {
            return Err("it is not a file".to_owned());
        }
        let mut octets = Vec::new();
        let mut limited = file.take(bytes_max + 1);
        limited
            .read_to_end(&mut octets)
            .map_err(|e| e.to_string())?;
        if octets.len() as u64 > bytes_max {
            return Err(format!("it is larger than {bytes_max} bytes"));
        }
        Ok(octets)
    }

    fn ask(&self, service: &Service) -> Result<Vec<u8>, String> {
        reflect::descriptor_set(service, Patience::Starting)
    }
}
