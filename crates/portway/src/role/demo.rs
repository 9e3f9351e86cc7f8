//! `portway demo`: sample services, a gateway before them, and what to try.
//!
//! Must hold: everything is on loopback; a port that is taken is replaced by a free one, and that is
//! said; the config is a real file, so that changing it shows a reload. With `--tour` it tries all of
//! it by itself, and the exit code says whether everything was as told.

mod client;
pub mod config;
mod services;
mod tour;

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use portway_admin::Operations;
use portway_core::Clock;
use portway_net::Inherited;
use portway_proxy::gateway::STOP_WITHIN;
use portway_telemetry::app_log::{AppLog, LogLevel, init_app_log};

use crate::cli::DemoArgs;
use crate::running::{Running, Start};
use crate::source::{Print, Source};
use crate::{Exit, report};

use config::Ports;
use services::Services;

/// Shows the gateway at work.
pub fn demo(args: &DemoArgs) -> Exit {
    let quiet = if args.tour {
        LogLevel::Off
    } else {
        LogLevel::Warn
    };
    match init_app_log(args.log_level.unwrap_or(quiet)) {
        Ok(log) => {
            let exit = show(args, log.clone());
            log.flush(STOP_WITHIN);
            exit
        }
        Err(error) => failed(&error.to_string()),
    }
}

fn show(args: &DemoArgs, log: AppLog) -> Exit {
    let (services, ports) = match start_services() {
        Ok(started) => started,
        Err(why) => return failed(&why),
    };
    let text = config::yaml(&ports);
    let folder = std::env::temp_dir().join(format!("portway-demo-{}", std::process::id()));
    let file = folder.join("gateway.yaml");
    if let Err(error) = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, &text))
    {
        return failed(&format!("cannot write {}: {error}", file.display()));
    }
    let removed = Removed(folder);
    let source = Source::File(file.clone());
    let (kinds, clock) = (portway_filters::all(), Clock::system());
    let mut loaded = source.load(&kinds, &clock, &Print::default());
    let Some(plan) = loaded.plan.take() else {
        report::write(&mut std::io::stderr().lock(), &loaded.diagnostics);
        return failed("its own config is not fine");
    };
    let start = Start {
        source,
        loaded,
        kinds,
        clock,
        log,
        inherited: Inherited::default(),
    };
    let running = match Running::start(start, plan) {
        Ok(running) => running,
        Err(why) => return failed(&why),
    };
    let toured = args.tour.then(|| {
        let process = Arc::clone(&running.process);
        let file = file.clone();
        std::thread::spawn(move || {
            let as_told = tour::tour(&ports, &file);
            process.drain();
            as_told
        })
    });
    if toured.is_none() {
        print_summary(&ports, &file, &text);
    }
    running.serve();
    drop((services, removed));
    match toured.map(std::thread::JoinHandle::join) {
        None | Some(Ok(true)) => Exit::Fine,
        Some(Ok(false) | Err(_)) => Exit::Problem,
    }
}

fn failed(why: &str) -> Exit {
    eprintln!("portway demo: {why}");
    Exit::NotStarted
}

/// Removes the config's folder at the end.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        // Nothing to do about a folder that somebody removed before.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The sample services on their usual ports, without the rest of the demo: what the built-in config
/// of `portway run` leads to.
pub fn services_for_the_built_in_config() -> Result<Services, String> {
    start_on(&Ports::USUAL, |port| {
        bind(port).map_err(|e| format!("127.0.0.1:{port}: {e}"))
    })
    .map(|(services, _)| services)
}

fn start_services() -> Result<(Services, Ports), String> {
    let free = |port| {
        let socket = bind(port)
            .or_else(|_| bind(0))
            .map_err(|e| format!("no free port: {e}"))?;
        let got = socket.local_addr().map_err(|e| e.to_string())?.port();
        if got != port {
            eprintln!("portway demo: port {port} is taken, using {got}");
        }
        Ok(socket)
    };
    let (services, mut ports) = start_on(&Ports::USUAL, free)?;
    for port in [&mut ports.gateway, &mut ports.admin] {
        // Let go again: the gateway binds it in a moment.
        let socket = free(*port)?;
        *port = socket.local_addr().map_err(|e| e.to_string())?.port();
    }
    Ok((services, ports))
}

fn start_on(
    usual: &Ports,
    socket: impl Fn(u16) -> Result<TcpListener, String>,
) -> Result<(Services, Ports), String> {
    let sockets = services::Sockets {
        users: [socket(usual.users[0])?, socket(usual.users[1])?],
        slow: socket(usual.slow)?,
        flaky: socket(usual.flaky)?,
    };
    let ports = sockets.ports(usual).map_err(|e| e.to_string())?;
    let services =
        Services::start(sockets).map_err(|e| format!("cannot start the services: {e}"))?;
    Ok((services, ports))
}

fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

fn print_summary(ports: &Ports, file: &Path, text: &str) {
    let Ports {
        gateway,
        admin,
        flaky,
        ..
    } = ports;
    let (url, admin, flaky) = (
        format!("http://127.0.0.1:{gateway}"),
        format!("http://127.0.0.1:{admin}"),
        format!("http://127.0.0.1:{flaky}"),
    );
    let token = config::TOKEN;
    let (file, pid) = (file.display(), std::process::id());
    let greeting = config::GREETING;
    let summary = format!(
        r#"Portway demo: two instances of a users service, a slow one, a flaky one, and a gateway before them.

--- {file}
{text}---

Gateway  {url}        Operators' API  {admin}

200, shared 3:1 by two instances    curl -i {url}/users
401 without a token                 curl -i {url}/account
200 with one                        curl -i -H 'Authorization: Bearer {token}' {url}/account
429 after three at once             for i in 1 2 3 4; do curl -s -o /dev/null -w '%{{http_code}}\n' {url}/limited; done
slow, and a 504 when it is too slow curl -i {url}/slow; curl -i '{url}/slow?ms=5000'
a breaker that opens                curl -X POST {flaky}/fail; for i in 1 2 3 4; do curl -s {url}/flaky; done
  and closes after three seconds    curl -X POST {flaky}/heal; sleep 3; curl -i {url}/flaky
a reload                            sed -i 's/{greeting}/good morning/' {file}; curl {url}/greeting
  and one that is refused           echo 'routs: []' >> {file}; curl {admin}/config/status
why a request goes where it goes    curl '{admin}/explain?path=/users/7'
health, load, breakers              curl {admin}/upstreams
metrics                             curl {admin}/metrics

Ctrl-C ends it; `kill -HUP {pid}` reloads; `portway demo --tour` tries all of this by itself.
"#
    );
    // A reader that went away has seen enough.
    let _ = std::io::stdout().lock().write_all(summary.as_bytes());
}
