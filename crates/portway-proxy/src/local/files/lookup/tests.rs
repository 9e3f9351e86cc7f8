use super::*;
use std::os::unix::fs::symlink;
use tempfile::TempDir;

fn asked(rest: &str) -> Option<(String, Kind)> {
    Asked::parse(rest).map(|asked| (asked.names.to_str().unwrap().to_owned(), asked.kind))
}

#[test]
fn decodes_names_once() {
    let cases = [
        ("", "", Kind::Either),
        ("/", "", Kind::Folder),
        ("/a", "a", Kind::Either),
        ("/a/", "a", Kind::Folder),
        ("/a/b.txt", "a/b.txt", Kind::Either),
        ("/a%20b", "a b", Kind::Either),
        ("/%C3%A4.txt", "ä.txt", Kind::Either),
        ("/100%25", "100%", Kind::Either),
        ("/%252e%252e", "%2e%2e", Kind::Either),
        ("/a..b", "a..b", Kind::Either),
        ("/~a", "~a", Kind::Either),
        ("/C:", "C:", Kind::Either),
    ];
    for (rest, names, kind) in cases {
        assert_eq!(asked(rest), Some((names.to_owned(), kind)), "{rest}");
    }
}

/// What attackers send to leave a folder, whether or not the canonical path can still hold it.
#[test]
fn refuses_names_that_could_lead_elsewhere() {
    let attempts = [
        "/..",
        "/../",
        "/../etc/passwd",
        "/a/../../etc/passwd",
        "/a/..",
        "/.",
        "/./a",
        "/a/.",
        "/%2e%2e/etc/passwd",
        "/%2E%2E/etc/passwd",
        "/.%2e/etc/passwd",
        "/%2e./a",
        "/%2e",
        "/..%2fetc%2fpasswd",
        "/..%2Fetc",
        "/a%2fb",
        "/%2fetc%2fpasswd",
        "/%2Fetc",
        "/..%5cwindows",
        "/..\\windows",
        "/a%5Cb",
        "/a\\b",
        "/a%00.txt",
        "/%00",
        "/a%0a",
        "/a%0D%0Ab",
        "/a%7f",
        "/a\tb",
        "/%c0%ae%c0%ae/a",
        "/%c0%afetc",
        "/%e0%80%af",
        "/%ff",
        "/%c2%85",
        "/...",
        "/....//etc",
        "/..;/a",
        "/..;a=b/c",
        "/.;/a",
        "//",
        "//etc/passwd",
        "/a//b",
        "/a//",
        "/%",
        "/%2",
        "/%zz",
        "/a%2",
        "/%+2f",
        "/% 2",
        "/.git",
        "/.git/config",
        "/.env",
        "/a/.htpasswd",
        "/.well-known/",
        "/%2egit/config",
        "etc/passwd",
        "a",
        "..",
    ];
    for attempt in attempts {
        assert_eq!(asked(attempt), None, "{attempt}");
    }
}

/// A root beside a secret, with a folder, a file and links of every kind.
fn tree() -> TempDir {
    let all = TempDir::new().unwrap();
    let at = |name: &str| all.path().join(name);
    for folder in [
        "root/sub",
        "root/bare",
        "root/..data",
        "root-secret",
        "outside",
    ] {
        fs::create_dir_all(at(folder)).unwrap();
    }
    for file in [
        "root/a.txt",
        "root/sub/index.html",
        "root/..data/c.txt",
        "root-secret/s.txt",
        "outside/s.txt",
    ] {
        fs::write(at(file), file).unwrap();
    }
    for (target, link) in [
        ("a.txt", "root/inside.txt"),
        ("..data/c.txt", "root/c.txt"),
        ("sub", "root/sub-link"),
        ("../outside/s.txt", "root/out.txt"),
        ("../outside", "root/out"),
        ("../root-secret/s.txt", "root/twin.txt"),
        ("/etc/passwd", "root/passwd"),
        ("out.txt", "root/indirect.txt"),
        ("loop-b", "root/loop-a"),
        ("loop-a", "root/loop-b"),
        ("gone", "root/dangling"),
        ("..", "root/up"),
    ] {
        symlink(target, at(link)).unwrap();
    }
    symlink(at("root/a.txt"), at("root/absolute.txt")).unwrap();
    symlink("../../outside/s.txt", at("root/bare/index.html")).unwrap();
    symlink("root", at("current")).unwrap();
    all
}

fn look_up(root: &Path, rest: &str) -> Result<String, &'static str> {
    match find(
        root,
        "index.html",
        &Asked::parse(rest).expect("a harmless name"),
    )
    .unwrap()
    {
        Found::File(file, metadata) => {
            let text = io::read_to_string(file).unwrap();
            assert_eq!(metadata.len(), text.len() as u64);
            Ok(text)
        }
        Found::Folder => Err("folder"),
        Found::Nothing(_) => Err("nothing"),
    }
}

#[test]
fn finds_files_folders_and_their_index() {
    let tree = tree();
    for root in ["root", "current", "root/../root"] {
        let root = tree.path().join(root);
        let cases = [
            ("/a.txt", Ok("root/a.txt".to_owned())),
            ("/sub/index.html", Ok("root/sub/index.html".to_owned())),
            ("/sub/", Ok("root/sub/index.html".to_owned())),
            ("/sub", Err("folder")),
            ("", Err("folder")),
            ("/", Err("nothing")),
            ("/a.txt/", Err("nothing")),
            ("/a.txt/b", Err("nothing")),
            ("/missing", Err("nothing")),
        ];
        for (rest, expected) in cases {
            assert_eq!(look_up(&root, rest), expected, "{rest}");
        }
    }
}

#[test]
fn follows_symlinks_inside_the_root_and_never_out_of_it() {
    let tree = tree();
    let root = tree.path().join("root");
    let inside = [
        ("/inside.txt", "root/a.txt"),
        ("/absolute.txt", "root/a.txt"),
        ("/c.txt", "root/..data/c.txt"),
        ("/sub-link/", "root/sub/index.html"),
    ];
    for (rest, text) in inside {
        assert_eq!(look_up(&root, rest).as_deref(), Ok(text), "{rest}");
    }
    let out = [
        "/out.txt",
        "/out/s.txt",
        "/out/",
        "/out",
        "/twin.txt",
        "/passwd",
        "/indirect.txt",
        "/up",
        "/up/",
        "/up/outside/s.txt",
        "/bare/",
        "/loop-a",
        "/dangling",
    ];
    for rest in out {
        assert_eq!(look_up(&root, rest), Err("nothing"), "{rest}");
    }
}

#[test]
fn serves_nothing_but_regular_files() {
    let tree = tree();
    let root = tree.path().join("root");
    let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    assert_eq!(look_up(&root, "/socket"), Err("nothing"));
    fs::create_dir(root.join("odd")).unwrap();
    fs::create_dir(root.join("odd/index.html")).unwrap();
    assert_eq!(look_up(&root, "/odd/"), Err("nothing"));
    let long = format!("/{}", "a".repeat(300));
    assert_eq!(look_up(&root, &long), Err("nothing"));
}

#[test]
fn a_missing_root_is_the_operators_failure() {
    let tree = tree();
    let error = find(
        &tree.path().join("nowhere"),
        "index.html",
        &Asked::parse("/a").unwrap(),
    )
    .unwrap_err();
    assert!(error.to_string().contains("the root folder"), "{error}");
}
