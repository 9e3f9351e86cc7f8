//! Programs that people have at hand, as clients: curl, h2load, grpcurl, httpwg.
//!
//! Must hold: a program that is not there is said to be missing, and its test passes, unless programs are
//! required; one that this machine cannot have or run is said to be that, and its test passes. Each one has a
//! time by which it must be done.

mod curl;
mod grpcurl;
mod h2load;
mod httpwg;

use std::path::Path;
use std::process::{Command, Stdio};

use portway_testkit::{Folder, Gateway, Origin};

use crate::support::missing;
use crate::tls::Authority;

/// A gateway with a plain and an https listener, before one origin, with files under `/files`.
struct Stage {
    ca: Authority,
    files: Folder,
    gateway: Gateway,
}

impl Stage {
    fn before(origin: &Origin) -> Stage {
        let (ca, files) = (Authority::new(), Folder::new());
        let a = ca.issue("a", &["a.example", "127.0.0.1"]);
        let yaml = format!(
            "server: {{ workers: 1 }}\n\
             listeners:\n\
             \x20 - {{ name: plain, bind: \"127.0.0.1:0\" }}\n\
             \x20 - {{ name: secure, bind: \"127.0.0.1:0\", protocol: https, tls: {{ certificates: [ {a} ] }} }}\n\
             upstreams: [ {{ name: pool, targets: [ {{ addr: \"{}\" }} ] }} ]\n\
             routes:\n\
             \x20 - {{ name: files, prefix: /files, static: {{ root: '{}' }} }}\n\
             \x20 - {{ name: all, prefix: /, upstream: pool }}\n",
            origin.url(),
            files.path().display(),
        );
        Stage {
            gateway: Gateway::start(&yaml),
            ca,
            files,
        }
    }

    fn plain(&self) -> String {
        format!("http://{}", self.gateway.addr_of("plain"))
    }

    fn secure(&self) -> String {
        format!("https://{}", self.gateway.addr_of("secure"))
    }
}

/// What a program came to.
struct Ran {
    well: bool,
    out: Vec<u8>,
    errors: String,
}

impl Ran {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

/// Runs a program to its end; `None`, and a line that says so, if it is not there.
fn run(program: impl AsRef<Path>, args: &[&str]) -> Option<Ran> {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(args)
        // It would have the program go through somebody else.
        .env("no_proxy", "127.0.0.1,localhost,a.example")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        missing(&name);
        return None;
    };
    Some(Ran {
        well: output.status.success(),
        out: output.stdout,
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
