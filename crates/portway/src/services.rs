//! Asking again the services that tell parts of the config (server reflection).
//!
//! Must hold: each is asked at its own interval, one after the other; only what it tells anew is a reload, and
//! one that does not answer changes nothing. Never: blocks a runtime's thread.

use std::sync::Arc;
use std::time::Duration;

use portway_core::Mono;
use portway_discovery::reflect::{Patience, descriptor_set};
use portway_filter::Service;
use tokio::sync::mpsc;

use crate::process::Process;
use crate::reload::Cause;
use crate::told::Told;

/// From one look at who is due to the next: the least interval that a config may set.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Asks for as long as it runs.
pub async fn refresh(process: Arc<Process>, causes: mpsc::Sender<Cause>) {
    let mut asked: Vec<(Service, Mono)> = Vec::new();
    let mut every = tokio::time::interval(LOOK_EVERY);
    loop {
        every.tick().await;
        if process.gateway.shared.drain.is_ending() {
            return; // no other config is taken any more
        }
        let services = process.made_of().services;
        let now = process.clock.now();
        asked.retain(|(service, _)| services.iter().any(|told| told.is_of(service)));
        for told in services {
            let Some((_, last)) = asked.iter_mut().find(|(service, _)| told.is_of(service)) else {
                // Who is new was asked when the config was loaded.
                asked.push((told.service, now));
                continue;
            };
            if now.since(*last) < told.service.refresh {
                continue;
            }
            *last = now;
            let asking = tokio::task::spawn_blocking(move || tells_anew(&told));
            if matches!(asking.await, Ok(true)) {
                // Full means that a reload is due anyway.
                let _ = causes.try_send(Cause::Service);
            }
        }
    }
}

/// Whether a service tells something else than it did.
fn tells_anew(told: &Told) -> bool {
    match descriptor_set(&told.service, Patience::Now) {
        Ok(set) => told.set.as_deref() != Some(&*set),
        Err(error) => {
            let service = &told.service.at;
            match told.set {
                Some(_) => {
                    tracing::warn!(%service, "no descriptors, those it told before go on: {error}");
                }
                None => {
                    tracing::warn!(%service, "no descriptors, the config that asks it waits: {error}");
                }
            }
            false
        }
    }
}
