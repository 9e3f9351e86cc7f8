//! Every source, by the name it has in a config. A new source is a file, a variant of
//! [`SourceSpec`] and a line in each list here.

use crate::dns::Dns;
use crate::file::File;
use crate::source::{Source, SourceSpec};
use crate::static_::Static;

/// The names of all sources; `static` is what a config means by `targets`.
pub const NAMES: &[&str] = &["static", "dns", "file"];

impl SourceSpec {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            SourceSpec::Static(_) => "static",
            SourceSpec::Dns(_) => "dns",
            SourceSpec::File(_) => "file",
        }
    }
}

/// The source that a spec describes. Does no I/O yet: that begins with the first `next`, which
/// needs a tokio runtime with time and I/O.
#[must_use]
pub fn build(spec: &SourceSpec) -> Box<dyn Source> {
    match spec {
        SourceSpec::Static(targets) => Box::new(Static::new(targets)),
        SourceSpec::Dns(spec) => Box::new(Dns::new(spec)),
        SourceSpec::File(spec) => Box::new(File::new(spec)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{DnsSpec, FileSpec};

    #[test]
    fn every_source_is_in_the_list() {
        let specs = [
            SourceSpec::Static(Vec::new()),
            SourceSpec::Dns(DnsSpec::host("a", 1)),
            SourceSpec::File(FileSpec { path: "a".into() }),
        ];
        let names: Vec<_> = specs.iter().map(SourceSpec::name).collect();
        assert_eq!(names, NAMES);
    }
}
