//! A gateway in the test's own process: from config text to listening sockets.
//!
//! Must hold: it is made of the parts that the binary is made of, and of no others; what it listens on
//! are ports nobody chose; dropping it ends all its threads. Never: runs discovery or filters that the
//! config does not name.

use std::net::SocketAddr;
use std::time::Duration;

use portway_config::{FixedEnv, document};
use portway_core::Clock;
use portway_core::clock::ManualClock;
use portway_plan::{AdminBind, Plan};
use portway_proxy::GatewayOptions;
use portway_telemetry::metrics::{Format, Registry};

use crate::wait::eventually;

/// A running gateway; dropping it stops it.
pub struct Gateway {
    inner: portway_proxy::Gateway,
    registry: Registry,
    clock: Clock,
}

impl Gateway {
    /// Starts one from a config.
    ///
    /// # Panics
    /// If the config has errors, all of which are shown, or cannot be made to serve.
    #[must_use]
    #[track_caller]
    pub fn start(yaml: &str) -> Gateway {
        let started = Gateway::try_start(yaml, Clock::system());
        started.unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// Starts one whose time stands still until the hand moves it. Its timers notice within
    /// 10 ms of real time.
    ///
    /// # Panics
    /// As [`Gateway::start`].
    #[must_use]
    #[track_caller]
    pub fn with_manual_clock(yaml: &str) -> (Gateway, ManualClock) {
        let (clock, hand) = Clock::manual();
        let started = Gateway::try_start(yaml, clock);
        let gateway = started.unwrap_or_else(|problems| panic!("{problems}"));
        (gateway, hand)
    }

    /// Starts one.
    ///
    /// # Errors
    /// Everything that is wrong with the config, or why it cannot be made to serve.
    pub fn try_start(yaml: &str, clock: Clock) -> Result<Gateway, String> {
        let plan = plan(yaml, &clock)?;
        let registry = Registry::new();
        let operators = match plan.admin.bind {
            AdminBind::Tcp(addr) => Some(addr),
            AdminBind::Unix(_) => None,
        };
        let options = GatewayOptions {
            operators,
            clock: Some(clock.clone()),
            registry: registry.clone(),
            ..GatewayOptions::default()
        };
        let inner = portway_proxy::Gateway::start(options, plan);
        Ok(Gateway {
            inner: inner.map_err(|error| error.to_string())?,
            registry,
            clock,
        })
    }

    /// Where a listener listens.
    ///
    /// # Panics
    /// If there is no listener of this name.
    #[must_use]
    #[track_caller]
    pub fn addr_of(&self, listener: &str) -> SocketAddr {
        let snapshot = self.inner.snapshot();
        let door = snapshot
            .listeners
            .iter()
            .find(|door| &*door.name == listener);
        door.map_or_else(|| panic!("no listener `{listener}`"), |door| door.addr)
    }

    /// Where its first listener listens.
    ///
    /// # Panics
    /// If it has none.
    #[must_use]
    #[track_caller]
    pub fn addr(&self) -> SocketAddr {
        self.inner.snapshot().listeners[0].addr
    }

    /// Makes another config the one that new exchanges use.
    ///
    /// # Errors
    /// As [`Gateway::try_start`]; the old one goes on then.
    pub fn reload(&self, yaml: &str) -> Result<u64, String> {
        let plan = plan(yaml, &self.clock)?;
        let applied = self.inner.apply(plan).map_err(|error| error.to_string())?;
        Ok(applied.generation)
    }

    /// All metrics as text.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.registry.encode(Format::Text)
    }

    /// Client connections open now.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.inner.open_connections()
    }

    /// Waits until so many client connections are open.
    ///
    /// # Panics
    /// After 5 s.
    #[track_caller]
    pub fn wait_connections(&self, count: usize) {
        eventually(&format!("{count} open connections"), || {
            self.open_connections() == count
        });
    }

    /// Stops accepting and lets what runs finish.
    pub fn drain(&self, within: Duration) {
        self.inner.drain(within);
    }

    /// The gateway itself, for what is not offered here.
    #[must_use]
    pub fn inner(&self) -> &portway_proxy::Gateway {
        &self.inner
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.inner.stop();
    }
}

fn plan(yaml: &str, clock: &Clock) -> Result<Plan, String> {
    let (document, mut problems) = document::parse("test.yaml", yaml, &FixedEnv::new());
    let mut plan = None;
    if let Some(document) = &document {
        let (compiled, more) = portway_plan::compile_with(
            document,
            &portway_filters::all(),
            clock,
            &portway_proxy::DiskFiles,
        );
        plan = compiled;
        problems.extend(more);
    }
    match plan {
        Some(plan) if !problems.has_errors() => Ok(plan),
        _ => {
            let shown: Vec<String> = problems.sorted().iter().map(ToString::to_string).collect();
            Err(format!("{}\n{yaml}", shown.join("\n")))
        }
    }
}
