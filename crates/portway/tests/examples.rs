//! Every example compiles, without a warning, and has a page.

use std::path::{Path, PathBuf};

use portway_config::FixedEnv;
use portway_core::Clock;
use portway_filter::Files;

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let entries = std::fs::read_dir(&folder).unwrap();
    let mut folders: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    folders
}

/// Examples are started in their own folder.
struct Inside<'a>(&'a Path);

impl Files for Inside<'_> {
    fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
        portway_proxy::DiskFiles.read(&self.0.join(path), bytes_max)
    }
}

#[test]
fn every_example_compiles_without_a_warning() {
    let kinds = portway_filters::all();
    let env = FixedEnv::new().with("JWT_SECRET", "0123456789abcdef0123456789abcdef");
    let examples = examples();
    assert!(examples.len() >= 6, "{examples:?}");
    for folder in examples {
        let file = folder.join("config.yaml");
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.display().to_string();
        let (document, mut problems) = portway_config::parse(&name, &text, &env);
        let (plan, more) = portway_plan::compile_with(
            &document.unwrap(),
            &kinds,
            &Clock::system(),
            &Inside(&folder),
        );
        problems.extend(more);
        assert!(
            plan.is_some() && problems.is_empty(),
            "{:#?}",
            problems.sorted()
        );
        assert!(
            folder.join("README.md").is_file(),
            "{}: no README.md",
            folder.display()
        );
    }
}

#[test]
fn the_targets_of_the_file_example_are_read() {
    let file = examples()
        .into_iter()
        .find(|folder| folder.ends_with("file-discovery"))
        .unwrap()
        .join("targets.yaml");
    let targets =
        portway_discovery::parse_file(&file, &std::fs::read_to_string(&file).unwrap()).unwrap();
    assert_eq!(targets.len(), 2);
}
