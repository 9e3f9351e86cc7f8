//! Every broken config of `broken/` gives exactly the diagnostics next to it: `NN-name.yaml` and
//! `NN-name.txt`. With `UPDATE_GOLDEN=1` the `.txt` files are written anew; read the difference.

use std::fs;
use std::path::{Path, PathBuf};

use portway_config::{FixedEnv, parse};
use portway_core::{Clock, Severity};
use portway_filter::Files;
use portway_plan::compile_with;

/// Files beside the configs.
struct Beside;

impl Files for Beside {
    fn read(&self, path: &Path, _: u64) -> Result<Vec<u8>, String> {
        fs::read(folder().join(path)).map_err(|error| error.to_string())
    }
}

/// What a user sees of a config's problems, and whether a plan came out.
fn problems_of(file: &str, text: &str) -> (String, bool) {
    let env = FixedEnv::new()
        .with(
            "JWT_SECRET",
            "hunter2-and-some-more-octets-so-that-it-is-long",
        )
        .with("PORT", "not-a-port")
        .with("EMPTY", "");
    let (clock, _) = Clock::manual();
    let (document, mut problems) = parse(file, text, &env);
    let mut plan = None;
    if let Some(document) = document {
        let (compiled, more) = compile_with(&document, &portway_filters::all(), &clock, &Beside);
        problems.extend(more);
        plan = compiled;
    }
    let broken = problems.has_errors();
    let lines: Vec<String> = problems.sorted().iter().map(ToString::to_string).collect();
    (lines.join("\n") + "\n", plan.is_some() && !broken)
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

fn broken_configs() -> Vec<PathBuf> {
    let files = fs::read_dir(folder()).expect("the folder is there");
    let paths = files.map(|f| f.expect("readable").path());
    let mut configs: Vec<PathBuf> = paths
        .filter(|p| p.extension().is_some_and(|e| e == "yaml"))
        .collect();
    configs.sort();
    configs
}

#[test]
fn every_broken_config_gives_its_golden_diagnostics() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut different = Vec::new();
    for path in broken_configs() {
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("readable");
        let (found, runs) = problems_of(&name, &text);
        assert!(
            !found.contains("hunter2"),
            "{name} shows a secret:\n{found}"
        );
        let only_warns = name.contains("-warns-");
        assert_eq!(runs, only_warns, "{name}: whether it can be run\n{found}");
        let golden = path.with_extension("txt");
        if update {
            fs::write(&golden, &found).expect("writable");
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if found != expected {
            different.push(format!(
                "{name}\n--- expected\n{expected}--- found\n{found}"
            ));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn there_are_enough_broken_configs() {
    assert!(broken_configs().len() >= 45);
}

#[test]
fn no_golden_file_is_left_without_its_config() {
    for file in fs::read_dir(folder()).expect("the folder is there") {
        let path = file.expect("readable").path();
        assert!(path.with_extension("yaml").exists(), "{}", path.display());
    }
}

#[test]
fn every_problem_has_a_place_and_reads_well() {
    for path in broken_configs() {
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let text = fs::read_to_string(&path).expect("readable");
        let (document, mut problems) = parse(&name, &text, &FixedEnv::new());
        if let Some(document) = document {
            let kinds = portway_filters::all();
            problems.extend(compile_with(&document, &kinds, &Clock::system(), &Beside).1);
        }
        for problem in problems.sorted() {
            assert!(
                problem.span.line > 0 && problem.span.column > 0,
                "{problem}"
            );
            assert_eq!(&*problem.span.file, name, "{problem}");
            assert!(
                !problem.what.ends_with('.') && !problem.what.is_empty(),
                "{problem}"
            );
            let first = problem.what.chars().next().unwrap_or_default();
            assert!(
                !first.is_uppercase() || problem.what.starts_with("YAML"),
                "{problem}"
            );
            assert!(
                problem.severity == Severity::Error || !problem.hint.is_empty(),
                "{problem}"
            );
        }
    }
}
