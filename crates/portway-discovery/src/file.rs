//! `file`: a list of targets in a watched file, in YAML or JSON.
//!
//! ```yaml
//! - 127.0.0.1:8081
//! - { addr: "users.internal:8080", weight: 2 }
//! ```
//!
//! Must hold: a file that is missing, broken or empty keeps the last good set in use, and the error
//! says where and what; `[]` is a good set without targets. Host names are looked up as those of
//! the `static` source are. Replaces no `${…}`: the file is data.

use std::path::{Path, PathBuf};

use portway_config::decode::{unknown_key, wrong};
use portway_config::{Address, Decode, FixedEnv, Node, Scalar, Scheme, parse_node};
use portway_core::Diagnostics;

use crate::lookup::Lookup;
use crate::refresh::{Question, Refresh, Sets};
use crate::source::{
    BoxFuture, FileSpec, NamedTarget, REFRESH_MAX, REFRESH_MIN, Source, SourceError, TargetSet,
};
use crate::watch::Watch;

/// Problems of one file that an error tells of.
const PROBLEMS_MAX: usize = 5;
/// The largest weight, as in nginx and Envoy.
const WEIGHT_MAX: i64 = 65_535;

/// See the module.
pub struct File {
    path: PathBuf,
    watch: Watch,
    /// `None` until the file was good once.
    refresh: Option<Refresh>,
    sets: Sets,
}

impl File {
    /// The file that `spec` names.
    #[must_use]
    pub fn new(spec: &FileSpec) -> File {
        File {
            path: spec.path.clone(),
            watch: Watch::new(&spec.path),
            refresh: None,
            sets: Sets::default(),
        }
    }

    async fn next_set(&mut self) -> Result<TargetSet, SourceError> {
        loop {
            let refresh = async {
                match &mut self.refresh {
                    Some(refresh) => refresh.next_set(&mut self.sets).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                found = refresh => return found,
                text = self.watch.changed() => {
                    let text = text.map_err(|what| SourceError { what })?;
                    let targets = parse(&self.path, &text)?;
                    self.take(targets);
                }
            }
        }
    }

    fn take(&mut self, targets: Vec<NamedTarget>) {
        let question = Question::Hosts(targets);
        match &mut self.refresh {
            Some(refresh) => refresh.ask(question),
            None => {
                let lookup = Lookup::new(None);
                self.refresh = Some(Refresh::new(question, lookup, REFRESH_MIN, REFRESH_MAX));
            }
        }
    }
}

impl Source for File {
    fn next(&mut self) -> BoxFuture<'_, Result<TargetSet, SourceError>> {
        Box::pin(self.next_set())
    }
}

/// The targets that a file lists, or what is wrong with it: `file:line:col: what (hint)`.
pub fn parse(path: &Path, text: &str) -> Result<Vec<NamedTarget>, SourceError> {
    let mut problems = Diagnostics::new();
    let file = path.display().to_string();
    let targets = parse_node(&file, text, &FixedEnv::new(), &mut problems)
        .and_then(|node| list(&node, &mut problems));
    match targets {
        Some(targets) if !problems.has_errors() => Ok(targets),
        _ => Err(SourceError {
            what: describe(problems),
        }),
    }
}

fn describe(problems: Diagnostics) -> String {
    let sorted = problems.sorted();
    let mut lines: Vec<String> = sorted
        .iter()
        .take(PROBLEMS_MAX)
        .map(|p| match p.hint.as_str() {
            "" => format!("{}: {}", p.span, p.what),
            hint => format!("{}: {} ({hint})", p.span, p.what),
        })
        .collect();
    if sorted.len() > PROBLEMS_MAX {
        lines.push(format!("and {} more", sorted.len() - PROBLEMS_MAX));
    }
    lines.join("; ")
}

fn list(node: &Node, problems: &mut Diagnostics) -> Option<Vec<NamedTarget>> {
    let Some(items) = node.items() else {
        wrong(node, "a list of targets", problems);
        return None;
    };
    Some(items.iter().filter_map(|i| target(i, problems)).collect())
}

fn target(node: &Node, problems: &mut Diagnostics) -> Option<NamedTarget> {
    let Some(entries) = node.entries() else {
        return Some(named(address(node, problems)?, 1));
    };
    for entry in entries
        .iter()
        .filter(|e| !matches!(&*e.key, "addr" | "weight"))
    {
        unknown_key(entry, &["addr", "weight"], &[], problems);
    }
    let Some(addr) = node.find("addr") else {
        problems.error(
            &node.span,
            "the target has no `addr`",
            "add `addr: host:port`",
        );
        return None;
    };
    let address = address(addr, problems)?;
    let weight = match node.find("weight") {
        None => 1,
        Some(node) => weight(node, problems)?,
    };
    Some(named(address, weight))
}

/// Whether there is TLS, or HTTP/2, is the upstream's to say, for all of its targets.
fn address(node: &Node, problems: &mut Diagnostics) -> Option<Address> {
    let address = Address::decode(node, problems)?;
    let scheme = address
        .scheme
        .filter(|s| !matches!(s, Scheme::Http | Scheme::Tcp));
    if let Some(scheme) = scheme {
        let what = format!(
            "a target of a file has no {}:// of its own",
            scheme.as_str()
        );
        let hint = if scheme.is_secure() == Some(true) {
            "write host:port, and `tls: {}` at the upstream"
        } else {
            "write host:port, and `protocol: h2c` at the upstream"
        };
        problems.error(&node.span, what, hint);
        return None;
    }
    Some(address)
}

fn weight(node: &Node, problems: &mut Diagnostics) -> Option<u32> {
    match node.scalar() {
        Some(Scalar::Int(weight @ 0..=WEIGHT_MAX)) => u32::try_from(weight).ok(),
        _ => {
            wrong(node, "a whole number from 0 to 65535", problems);
            None
        }
    }
}

fn named(address: Address, weight: u32) -> NamedTarget {
    NamedTarget {
        host: address.host.into(),
        port: address.port,
        weight,
    }
}
