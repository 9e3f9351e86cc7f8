//! Where a config comes from, and the way from there to a plan.
//!
//! Must hold: reading has no effect on what runs. What was read is remembered by hash, so that a file
//! that was touched but not changed is not compiled again.

use std::cell::RefCell;
use std::io::Read;
use std::path::{Path, PathBuf};

use portway_config::document::Document;
use portway_config::{Env, ProcessEnv, Source as Text};
use portway_core::{Clock, Diagnostic, Diagnostics, Severity, Span};
use portway_filter::{Files, FilterKind, Service};
use portway_plan::Plan;
use portway_proxy::DiskFiles;
use portway_tls::file::{Print as FilePrint, print_of};
use xxhash_rust::xxh64::xxh64;

use crate::told::{Answers, Told};

/// What a config file may hold, bytes: 100,000 routes of 640 bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The file that is used if none is named.
const USUAL: &str = "portway.yaml";

/// Where a config comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file.
    File(PathBuf),
    /// A text in this program, with the name that problems show.
    BuiltIn(&'static str, String),
}

/// What came of reading a config.
pub struct Loaded {
    /// The plan, if there was no error.
    pub plan: Option<Plan>,
    /// The text, if there was one.
    pub text: Option<Text>,
    /// Errors and warnings, in the order of the file.
    pub diagnostics: Vec<Diagnostic>,
    /// What was read.
    pub print: Print,
}

/// Hashes of what was read: the config, each file that it names in a substitution, each file of its TLS
/// and of its filters; and what services told of themselves.
#[derive(Clone, Debug, Default)]
pub struct Print {
    config: Option<u64>,
    files: Vec<(String, Option<u64>)>,
    named: Vec<Named>,
    services: Vec<Told>,
}

/// What came of compiling.
type Compiled = (Option<Document>, Option<Plan>, Diagnostics);

/// A file that a setting names, with what it held.
type Named = (PathBuf, Option<FilePrint>);

impl Source {
    /// The file that was named, else the usual one, else the demo's config.
    pub fn choose(named: Option<&Path>) -> Source {
        match named {
            Some(path) => Source::File(path.to_owned()),
            None if Path::new(USUAL).exists() => Source::File(PathBuf::from(USUAL)),
            None => Source::BuiltIn("built-in demo config", crate::role::demo::config::usual()),
        }
    }

    /// Its name, as the user gave it.
    pub fn name(&self) -> String {
        match self {
            Source::File(path) => path.display().to_string(),
            Source::BuiltIn(name, _) => (*name).to_owned(),
        }
    }

    /// Its file, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Source::File(path) => Some(path),
            Source::BuiltIn(..) => None,
        }
    }

    /// The folder from which relative paths in substitutions start.
    fn folder(&self) -> &Path {
        self.path().and_then(Path::parent).unwrap_or(Path::new(""))
    }

    /// The text.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    pub fn read(&self) -> Result<String, String> {
        match self {
            Source::File(path) => read_text(path),
            Source::BuiltIn(_, text) => Ok(text.clone()),
        }
    }

    /// Reads, checks and compiles. `before` is what was read the last time: what services told then goes on
    /// where they say nothing now.
    pub fn load(&self, kinds: &[FilterKind], clock: &Clock, before: &Print) -> Loaded {
        let name = self.name();
        let text = match self.read() {
            Ok(text) => text,
            Err(why) => {
                let mut problems = Diagnostics::new();
                let hint = "name the config with `-c FILE`";
                problems.error(
                    &Span::file(&name),
                    format!("cannot read the config: {why}"),
                    hint,
                );
                return Loaded {
                    plan: None,
                    text: None,
                    diagnostics: problems.sorted(),
                    print: Print::default(),
                };
            }
        };
        // The first time it comes out which services are to be asked; they are asked at once, and then all is there.
        let (mut env, mut compiled) = self.compile(&text, kinds, clock, Answers::default());
        let wanted = env.answers.wanted();
        if !wanted.is_empty() {
            let answers = Answers::ask(wanted, before.services());
            (env, compiled) = self.compile(&text, kinds, clock, answers);
        }
        let (document, mut plan, problems) = compiled;
        let mut diagnostics = problems.sorted();
        if let Some(compiled) = &plan {
            let files = portway_proxy::files(compiled).into_iter();
            let tls = files.map(|path| (path.clone(), print_of(&path)));
            env.named.borrow_mut().extend(tls);
            let found = portway_proxy::check_files(compiled, clock);
            if found.iter().any(|d| d.severity == Severity::Error) {
                plan = None;
            }
            diagnostics.extend(found);
        }
        Loaded {
            plan,
            text: document.map(|document| document.source),
            diagnostics,
            print: Print {
                config: Some(hash(&text)),
                files: env.files.into_inner(),
                named: env.named.into_inner(),
                services: env.answers.told(),
            },
        }
    }

    /// Compiles a text with these answers of services.
    fn compile(
        &self,
        text: &str,
        kinds: &[FilterKind],
        clock: &Clock,
        answers: Answers,
    ) -> (Recorder, Compiled) {
        let env = Recorder {
            inner: ProcessEnv::new(self.folder()),
            files: RefCell::default(),
            named: RefCell::default(),
            answers,
        };
        let (document, mut problems) = portway_config::parse(&self.name(), text, &env);
        let mut plan = None;
        if let Some(document) = &document {
            let (compiled, more) = portway_plan::compile_with(document, kinds, clock, &env);
            problems.extend(more);
            plan = compiled.filter(|_| !problems.has_errors());
        }
        (env, (document, plan, problems))
    }

    /// Whether everything that `print` was made of is still the same.
    pub fn is_still(&self, print: &Print) -> bool {
        let env = ProcessEnv::new(self.folder());
        let config = self.read().ok().map(|text| hash(&text));
        config == print.config
            && print
                .files
                .iter()
                .all(|(path, known)| env.file(path).ok().map(|t| hash(&t)) == *known)
            && print
                .named
                .iter()
                .all(|(path, known)| print_of(path) == *known)
    }

    /// The files that a config read with this print consists of.
    pub fn files(&self, print: &Print) -> Vec<PathBuf> {
        let named = print.files.iter().map(|(path, _)| self.folder().join(path));
        self.path()
            .map(Path::to_owned)
            .into_iter()
            .chain(named)
            .chain(print.named.iter().map(|(path, _)| path.clone()))
            .collect()
    }
}

impl Print {
    /// The services that a config was made of.
    pub fn services(&self) -> &[Told] {
        &self.services
    }

    /// The same, but for the services: they are those of another one.
    pub fn with_services_of(self, other: &Print) -> Print {
        Print {
            services: other.services.clone(),
            ..self
        }
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|e| e.to_string())?;
    if !file.metadata().is_ok_and(|meta| meta.is_file()) {
        return Err("it is not a file".to_owned());
    }
    let mut text = String::new();
    let mut limited = file.take(FILE_BYTES_MAX + 1);
    limited
        .read_to_string(&mut text)
        .map_err(|e| e.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(text)
}

fn hash(text: &str) -> u64 {
    xxh64(text.as_bytes(), 0)
}

/// Remembers which files and services were asked for.
struct Recorder {
    inner: ProcessEnv,
    files: RefCell<Vec<(String, Option<u64>)>>,
    named: RefCell<Vec<Named>>,
    answers: Answers,
}

impl Env for Recorder {
    fn variable(&self, name: &str) -> Option<String> {
        self.inner.variable(name)
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let text = self.inner.file(path);
        let print = (path.to_owned(), text.as_deref().ok().map(hash));
        self.files.borrow_mut().push(print);
        text
    }
}

impl Files for Recorder {
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
        // Before it is read: a change in between is then seen as one.
        let print = print_of(path);
        self.named.borrow_mut().push((path.to_owned(), print));
        DiskFiles.read(path, bytes_max)
    }

    fn ask(&self, service: &Service) -> Result<Vec<u8>, String> {
        self.answers.find(service)
    }
}
