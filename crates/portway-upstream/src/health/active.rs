//! Active checks: each target is asked at its own times whether it works.
//!
//! Must hold: a verdict takes as many results in a row as the config says; targets of one upstream are
//! not asked all at once; a check never outlives its timeout, and reads no more than a head.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use portway_core::Clock;
use portway_http::h1::parse::{head_end, reply_head};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::spec::{HealthSpec, Probe};
use crate::target::{Target, Unfit};
use crate::upstream::Upstream;

/// A reply's head is no larger than this, bytes; the body is not read.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// How often the set of targets is looked at for new and removed ones.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// The first checks of an upstream are spread over this time at most.
const SPREAD_MAX: Duration = Duration::from_millis(100);

/// Checks the upstream's targets until it is dropped.
pub async fn check(upstream: Arc<Upstream>, spec: HealthSpec, clock: Clock) {
    let mut running: HashMap<SocketAddr, tokio::task::AbortHandle> = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut epoch = None;
    loop {
        if epoch != Some(upstream.epoch()) {
            epoch = Some(upstream.epoch());
            let set = upstream.targets();
            running.retain(|addr, task| {
                let stays = set.targets.iter().any(|t| t.addr == *addr);
                if !stays {
                    task.abort();
                }
                stays
            });
            for target in &set.targets {
                running.entry(target.addr).or_insert_with(|| {
                    let one = check_target(
                        Arc::clone(&upstream),
                        target.addr,
                        spec.clone(),
                        clock.clone(),
                    );
                    tasks.spawn(one)
                });
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
        while tasks.try_join_next().is_some() {}
    }
}

/// Checks one address; the target behind it may be replaced by one of another weight meanwhile.
async fn check_target(upstream: Arc<Upstream>, addr: SocketAddr, spec: HealthSpec, clock: Clock) {
    tokio::time::sleep(SPREAD_MAX.min(spec.interval / 10).mul_f64(fastrand::f64())).await;
    let (mut good, mut bad) = (0u32, 0u32);
    loop {
        let result = match tokio::time::timeout(spec.timeout, probe(addr, &spec.probe)).await {
            Ok(result) => result,
            Err(_) => Err(format!("no answer in {:?}", spec.timeout)),
        };
        let set = upstream.targets();
        if let Some(target) = set.targets.iter().find(|t| t.addr == addr) {
            match &result {
                Ok(()) => (good, bad) = (good.saturating_add(1), 0),
                Err(_) => (good, bad) = (0, bad.saturating_add(1)),
            }
            judge(&upstream, target, &spec, (good, bad), &result, &clock);
        }
        tokio::time::sleep(jittered(spec.interval, fastrand::f64())).await;
    }
}

fn judge(
    upstream: &Upstream,
    target: &Target,
    spec: &HealthSpec,
    (good, bad): (u32, u32),
    result: &Result<(), String>,
    clock: &Clock,
) {
    let (name, label) = (&upstream.spec.name, &target.label);
    target.note_check(result.as_ref().err().map(String::as_str));
    match result {
        Ok(()) if good >= spec.healthy_after => {
            if upstream.mark(target, Unfit::Unhealthy, false, clock.now()) {
                tracing::info!(upstream = %name, target = %label, "target is healthy again");
            }
        }
        Err(why) if bad >= spec.unhealthy_after => {
            if upstream.mark(target, Unfit::Unhealthy, true, clock.now()) {
                tracing::warn!(upstream = %name, target = %label, why, "target is unhealthy");
            }
        }
        _ => {}
    }
}

/// The interval, moved by up to 10 % either way, so that many gateways do not ask in step.
fn jittered(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.9 + 0.2 * random.clamp(0.0, 1.0))
}

async fn probe(addr: SocketAddr, probe: &Probe) -> Result<(), String> {
    let mut stream = TcpStream::connect(addr)
        .await
        .map_err(|error| format!("connect: {error}"))?;
    let Probe::Http { path, host, expect } = probe else {
        return Ok(());
    };
    let host = host.clone().unwrap_or_else(|| addr.to_string());
    let request = format!(
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nuser-agent: portway-health\r\nconnection: close\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| format!("send: {error}"))?;
    let head = read_head(&mut stream).await?;
    let head =
        reply_head(&head, false, HeaderMap::new()).map_err(|error| error.detail.to_string())?;
    let status = head.status.as_u16();
    if expect
        .iter()
        .any(|(first, last)| (*first..=*last).contains(&status))
    {
        return Ok(());
    }
    let wanted: Vec<_> = expect
        .iter()
        .map(|(first, last)| format!("{first}-{last}"))
        .collect();
    Err(format!("status {status}, wanted {}", wanted.join(", ")))
}

async fn read_head(stream: &mut TcpStream) -> Result<Bytes, String> {
    let mut read = BytesMut::with_capacity(4096);
    let mut scanned = 0;
    loop {
        if let Some(end) = head_end(&read, &mut scanned)? {
            return Ok(read.split_to(end).freeze());
        }
        if read.len() > HEAD_BYTES_MAX {
            return Err("the reply's head is too large".into());
        }
        match stream.read_buf(&mut read).await {
            Ok(0) => return Err("closed before it answered".into()),
            Ok(_) => {}
            Err(error) => return Err(format!("read: {error}")),
        }
    }
}

impl Target {
    /// Notes the last active check; `None` if it was good.
    fn note_check(&self, failure: Option<&str>) {
        self.checked.store(true, Ordering::Relaxed);
        let mut last = self
            .last_failure
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if last.as_deref() != failure {
            *last = failure.map(Into::into);
        }
    }
}

#[cfg(test)]
mod tests;
