use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use portway_discovery::{FileSpec, Source, SourceSpec, build, parse_file};

use crate::{addresses, is_silent, next};

fn watch(path: &Path) -> Box<dyn Source> {
    build(&SourceSpec::File(FileSpec { path: path.into() }))
}

/// Writes as most editors and tools do: another file, renamed over the old one.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).expect("a temporary folder");
    fs::rename(&new, path).expect("a temporary folder");
}

#[tokio::test]
async fn a_list_is_read_and_followed_however_it_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("targets.yaml");
    let text = "- 127.0.0.1:8081\n- {addr: \"127.0.0.1:8082\", weight: 2}\n";
    fs::write(&path, text).expect("a temporary folder");
    let mut source = watch(&path);
    let set = next(&mut *source).await.expect("is good");
    assert_eq!(addresses(&set), ["127.0.0.1:8081", "127.0.0.1:8082"]);
    let weights: Vec<_> = set.targets.iter().map(|t| t.weight).collect();
    assert_eq!((set.generation, weights), (1, vec![1, 2]));

    replace(&path, r#"["127.0.0.1:8083"]"#);
    let set = next(&mut *source).await.expect("JSON is good too");
    assert_eq!(addresses(&set), ["127.0.0.1:8083"]);

    fs::write(&path, "- 127.0.0.1:8084\n").expect("a temporary folder");
    let mut said = next(&mut *source).await;
    while said.is_err() {
        // Caught between truncation and writing.
        said = next(&mut *source).await;
    }
    assert_eq!(addresses(&said.expect("is good")), ["127.0.0.1:8084"]);
}

#[tokio::test]
async fn a_swapped_link_is_noticed_as_kubernetes_makes_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    for (version, text) in [("one", "[127.0.0.1:81]"), ("two", "[127.0.0.1:82]")] {
        fs::create_dir(at(version)).expect("a temporary folder");
        fs::write(at(version).join("targets.yaml"), text).expect("a temporary folder");
    }
    symlink("one", at("..data")).expect("a temporary folder");
    symlink("..data/targets.yaml", at("targets.yaml")).expect("a temporary folder");
    let mut source = watch(&at("targets.yaml"));
    let set = next(&mut *source).await.expect("is good");
    assert_eq!(addresses(&set), ["127.0.0.1:81"]);

    symlink("two", at("..data_tmp")).expect("a temporary folder");
    fs::rename(at("..data_tmp"), at("..data")).expect("a temporary folder");
    let set = next(&mut *source).await.expect("is good");
    assert_eq!(addresses(&set), ["127.0.0.1:82"]);
}

#[tokio::test]
async fn a_broken_file_keeps_the_last_set_and_says_where() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("targets.yaml");
    replace(&path, "- 127.0.0.1:8081\n");
    let mut source = watch(&path);
    next(&mut *source).await.expect("is good");

    replace(&path, "- 127.0.0.1:8081\n- {adr: x}\n");
    let error = next(&mut *source).await.expect_err("is broken");
    assert!(error.what.contains("targets.yaml:2:4: "), "{error}");
    assert!(is_silent(&mut *source).await, "once is enough");

    replace(&path, "- 127.0.0.1:8081\n");
    assert!(is_silent(&mut *source).await, "mended, and as before");
    replace(&path, "- 127.0.0.1:8082\n");
    let set = next(&mut *source).await.expect("is good");
    assert_eq!(set.generation, 2);
}

#[tokio::test]
async fn a_missing_file_is_an_error_until_it_is_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("later/targets.yaml");
    let mut source = watch(&path);
    let error = next(&mut *source).await.expect_err("is missing");
    assert!(error.what.contains("targets.yaml"), "{error}");
    fs::create_dir(folder.path().join("later")).expect("a temporary folder");
    fs::write(&path, "[]").expect("a temporary folder");
    let mut said = next(&mut *source).await;
    while said.is_err() {
        said = next(&mut *source).await;
    }
    assert!(said.expect("is good").targets.is_empty());
}

/// Well before the next slow look, which comes every two seconds.
#[tokio::test]
async fn a_file_that_appears_is_noticed_at_once() {
    for path in ["targets.yaml", "later/deeper/targets.yaml"] {
        let mut noticed = false;
        for _ in 0..3 {
            noticed = noticed || is_noticed_at_once(path).await; // a busy machine may be slow once
        }
        assert!(noticed, "{path}");
    }
}

async fn is_noticed_at_once(path: &str) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(path);
    let mut source = watch(&path);
    next(&mut *source).await.expect_err("is missing");
    fs::create_dir_all(path.parent().expect("is in a folder")).expect("a temporary folder");
    fs::write(&path, "[127.0.0.1:81]").expect("a temporary folder");
    let found = async {
        loop {
            if let Ok(set) = source.next().await {
                return set;
            }
        }
    };
    let set = tokio::time::timeout(Duration::from_millis(1500), found).await;
    set.is_ok_and(|set| addresses(&set) == ["127.0.0.1:81"])
}

#[test]
fn problems_are_all_told_with_their_place() {
    let wrong = |text: &str| {
        let error = parse_file(Path::new("t.yaml"), text).expect_err("is broken");
        error.what
    };
    assert!(wrong("").starts_with("t.yaml:1:1: "));
    assert!(wrong("targets: []").contains("a list of targets"));
    assert!(wrong("- {weight: 1}").contains("no `addr`"));
    assert!(wrong("- 127.0.0.1").starts_with("t.yaml:1:3: "));
    assert!(wrong("- {addr: 127.0.0.1:1, weight: -1}").contains("0 to 65535"));
    assert!(wrong("- [").starts_with("t.yaml:"));
    let both = wrong("- {addr: 127.0.0.1:1, wight: 2}\n- nothing\n");
    assert!(
        both.contains("t.yaml:1:23: ") && both.contains("weight"),
        "{both}"
    );
    assert!(both.contains("t.yaml:2:3: "), "{both}");
    assert!(wrong(&"- x\n".repeat(9)).ends_with("and 4 more"));
}
