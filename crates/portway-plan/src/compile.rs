//! From a document to a plan: names become ids, references are checked, filters and routes compiled.
//!
//! Must hold: pure; every problem is noted with its place and the rest is checked all the same; a plan
//! comes out only if no problem is an error.

mod acme;
mod action;
mod filters;
mod health;
mod listeners;
mod passthrough;
mod replies;
mod rewrite;
mod routes;
mod services;
mod tls;
mod upstreams;
mod warnings;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use portway_config::document::{Admin, Document, Listener, ListenerProtocol, Workers};
use portway_config::{Address, Bind, Spanned};
use portway_core::diagnostic::nearest;
use portway_core::{Clock, Diagnostics};
use portway_filter::{Files, FilterKind, NoFiles};
use portway_route::RouteTable;
use portway_upstream::leads_to;

use crate::plan::{AdminBind, AdminPlan, Plan, ProcessPlan};

/// What compiling needs besides the document.
#[derive(Clone, Copy)]
pub struct Compiler<'a> {
    /// The filters there are.
    pub kinds: &'a [FilterKind],
    /// For filters that measure time.
    pub clock: &'a Clock,
    /// For filters that are made of files.
    pub files: &'a dyn Files,
    /// Whether the document had no problem so far.
    pub sound: bool,
}

/// Compiles a document. `None` if there are errors; all of them are in the diagnostics, which may hold
/// warnings in any case.
#[must_use]
pub fn compile(
    document: &Document,
    kinds: &[FilterKind],
    clock: &Clock,
) -> (Option<Plan>, Diagnostics) {
    compile_with(document, kinds, clock, &NoFiles)
}

/// The same, with the files that its filters are made of.
#[must_use]
pub fn compile_with(
    document: &Document,
    kinds: &[FilterKind],
    clock: &Clock,
    files: &dyn Files,
) -> (Option<Plan>, Diagnostics) {
    let mut problems = Diagnostics::new();
    let compiler = Compiler {
        kinds,
        clock,
        files,
        sound: document.sound,
    };
    let plan = plan(document, &compiler, &mut problems);
    let problems = document.hidden.scrub(problems);
    (plan.filter(|_| !problems.has_errors()), problems)
}

/// The plan, as good as it can be made: `None` or with problems noted it is of no use.
fn plan(document: &Document, compiler: &Compiler<'_>, problems: &mut Diagnostics) -> Option<Plan> {
    let services = services::Services {
        files: compiler.files,
        upstreams: &document.upstreams,
    };
    let compiler = &Compiler {
        files: &services,
        ..*compiler
    };
    let listener_names = listeners::names(document, problems);
    let (upstreams, upstream_names) = upstreams::upstreams(document, problems);
    let globals = filters::globals(compiler, &document.global_filters, problems);
    let names = routes::Names {
        listeners: &listener_names,
        upstreams: &upstream_names,
        document,
    };
    let listeners = listeners::listeners(compiler, &names, &globals, problems);
    let (routes, specs) = routes::routes(compiler, &names, &globals, problems);
    let acme = acme::acme(document, problems);
    let admin = admin(&document.admin, problems);
    refuse_admin_as_target(document, &admin, problems);
    refuse_admin_as_listener(document, &admin, problems);
    for time in [
        &document.process.read_timeout,
        &document.process.write_timeout,
        &document.process.idle_timeout,
        &document.process.header_timeout,
    ] {
        upstreams::positive(time, problems);
    }
    let table = match RouteTable::build(&specs) {
        Ok(table) => table,
        Err(wrong) => {
            routes::note_table_problems(document, &wrong, problems);
            return None;
        }
    };
    // A route with a problem may seem to take more, or less, than it will.
    if document.sound && !problems.has_errors() {
        routes::warn_of_shadows(document, &table, problems);
        warn_of_no_routes(document, problems);
        warnings::warn(document, &table, problems);
    }
    Some(Plan {
        process: ProcessPlan {
            workers: match document.process.workers.value() {
                Workers::Auto => None,
                Workers::Exactly(count) => Some(usize::from(count)),
            },
            drain_timeout: document.process.drain_timeout.value(),
        },
        acme,
        admin,
        listeners,
        upstreams,
        routes,
        table,
        no_route: globals.chain(),
        log: globals.log.clone(),
        metrics: globals.metrics.clone(),
    })
}

fn admin(config: &Admin, problems: &mut Diagnostics) -> AdminPlan {
    let token = config.token.as_ref().filter(|token| !token.is_empty());
    let bind = match &*config.bind {
        Bind::Tcp(addr) => {
            if !addr.ip().is_loopback() && token.is_none() {
                problems.error(
                    config.bind.span(),
                    format!("the operators' API on {addr} can be reached from other machines and has no token"),
                    "set `token: ${PORTWAY_ADMIN_TOKEN}`, or bind 127.0.0.1 or a unix socket",
                );
            }
            AdminBind::Tcp(*addr)
        }
        Bind::Unix(path) => AdminBind::Unix(path.clone()),
    };
    AdminPlan {
        bind,
        token: token.map(|t| (**t).clone()),
    }
}

/// No route may lead to the operators' API: what guards it is that clients cannot reach it
/// (CVE-2022-24112).
fn refuse_admin_as_target(document: &Document, admin: &AdminPlan, problems: &mut Diagnostics) {
    let AdminBind::Tcp(bind) = &admin.bind else {
        return;
    };
    let targets = document.upstreams.iter().filter_map(|u| u.targets.value());
    for target in targets.flat_map(|targets| targets.iter()) {
        if reaches(&target.addr, *bind) {
            problems.error(
                target.addr.span(),
                format!("{} is the operators' API of this gateway", *target.addr),
                "clients must not reach it; use `expose` for /health and /metrics",
            );
        }
    }
}

/// A file of which the end is missing may still be a config.
fn warn_of_no_routes(document: &Document, problems: &mut Diagnostics) {
    let http = |l: &&Listener| l.protocol.value() == ListenerProtocol::Http && l.expose.is_empty();
    if let Some(listener) = document.listeners.iter().find(http)
        && document.routes.is_empty()
    {
        problems.warn(
            listener.bind.span(),
            "there are no routes: every request is answered with 404",
            "add `routes: [ { name: all, prefix: /, targets: [ { addr: \"http://127.0.0.1:8081\" } ] } ]`",
        );
    }
}

/// The operators' API has its address for itself.
fn refuse_admin_as_listener(document: &Document, admin: &AdminPlan, problems: &mut Diagnostics) {
    let AdminBind::Tcp(bind) = &admin.bind else {
        return;
    };
    for listener in &document.listeners {
        let other = listener.bind.value();
        let same_ip = other.ip() == bind.ip();
        let overlaps = same_ip || other.ip().is_unspecified() || bind.ip().is_unspecified();
        if overlaps && other.port() == bind.port() && bind.port() != 0 {
            problems.error(
                listener.bind.span(),
                format!("{other} is where the operators' API listens"),
                "use another port, or move `admin`",
            );
        }
    }
}

/// Whether connecting to `target` leads to what listens on `bind`.
fn reaches(target: &Address, bind: SocketAddr) -> bool {
    match target.socket_addr() {
        Some(addr) => leads_to(addr, bind),
        // What other names mean shows when they are looked up.
        None => {
            let local = bind.ip().is_loopback() || bind.ip().is_unspecified();
            local && &*target.host == "localhost" && target.port == bind.port()
        }
    }
}

/// Ids by name, with the places they come from.
pub(crate) struct Names<I> {
    kind: &'static str,
    ids: HashMap<Arc<str>, I>,
}

impl<I: Copy> Names<I> {
    pub(crate) fn new(kind: &'static str) -> Names<I> {
        Names {
            kind,
            ids: HashMap::new(),
        }
    }

    /// Notes a name; twice is an error.
    pub(crate) fn add(&mut self, name: &Spanned<String>, id: I, problems: &mut Diagnostics) {
        if name.is_empty() {
            problems.error(
                name.span(),
                format!("a {}'s name is empty", self.kind),
                "give it a name",
            );
        } else if self.ids.contains_key(name.as_str()) {
            problems.error(
                name.span(),
                format!("there are two {}s named `{}`", self.kind, **name),
                "give each a name of its own",
            );
        } else {
            self.ids.insert(Arc::from(name.as_str()), id);
        }
    }

    /// The id of a name.
    pub(crate) fn find(&self, name: &str) -> Option<I> {
        self.ids.get(name).copied()
    }

    /// What to say about a name that is not known.
    pub(crate) fn hint(&self, name: &str) -> String {
        match nearest(name, self.ids.keys().map(|k| &**k)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if self.ids.is_empty() => format!("there are no {}s", self.kind),
            None => {
                let mut known: Vec<_> = self.ids.keys().map(|k| format!("`{k}`")).collect();
                known.sort();
                let more = known.len().saturating_sub(8);
                known.truncate(8);
                let more = if more > 0 {
                    format!(" and {more} more")
                } else {
                    String::new()
                };
                format!("known {}s: {}{more}", self.kind, known.join(", "))
            }
        }
    }
}
