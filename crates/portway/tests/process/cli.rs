//! Exit codes and what is printed: a contract with scripts.

use portway_testkit::{Folder, ports};

use crate::support::{portway, text};

#[test]
fn check_tells_every_problem_with_its_place() {
    let folder = Folder::new();
    let file = folder.write("bad.yaml", "routs: []\nserver: { port: 99999 }\n");
    let file = file.to_str().unwrap();
    let output = portway(&["check", "-c", file]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    assert!(
        told.contains(&format!(
            "{file}:1:1: error: unknown key `routs`\n  hint: did you mean `routes`?\n"
        )),
        "{told}"
    );
    assert!(told.contains(&format!("{file}:2:17: error: ")), "{told}");
    assert!(output.stdout.is_empty());
}

#[test]
fn check_says_fine_and_exits_0() {
    let folder = Folder::new();
    let file = folder.write(
        "good.yaml",
        "routes: [ { name: a, path: /a, respond: { status: 204 } } ]\n",
    );
    let output = portway(&["check", "-c", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains(": fine: 1 route, 0 upstreams;"));
}

/// What would keep it from running is told with its place, by a check as well.
#[test]
fn an_access_log_without_a_folder_is_told_with_its_place() {
    let folder = Folder::new();
    let log = folder.path().join("logs/access.log");
    let file = folder.write(
        "log.yaml",
        format!(
            "global_filters: [ {{ logging: {{ output: \"{}\" }} }} ]\n\
             server: {{ host: 127.0.0.1, port: 0 }}\n\
             routes: [ {{ name: a, path: /a, respond: {{ status: 204 }} }} ]\n",
            log.display()
        ),
    );
    let file = file.to_str().unwrap();
    for command in ["check", "run"] {
        let output = portway(&[command, "-c", file]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let told = text(&output.stderr);
        assert!(
            told.contains(&format!("{file}:1:40: error: the access log")),
            "{told}"
        );
        assert!(told.contains("\n  hint: create the folder"), "{told}");
    }
    assert!(
        !log.parent().is_some_and(|logs| logs.exists()),
        "nothing was made"
    );
}

#[test]
fn the_built_in_config_is_fine() {
    let output = portway(&["check"]);
    assert_eq!(
        (output.status.code(), text(&output.stderr)),
        (Some(0), String::new())
    );
}

#[test]
fn usage_problems_exit_1_and_help_exits_0() {
    for wrong in [
        &["bogus"][..],
        &["run", "--nonsense"],
        &[],
        &["run", "--log-level", "loud"],
        &["convert"],
    ] {
        assert_eq!(portway(wrong).status.code(), Some(1), "{wrong:?}");
    }
    for fine in ["--help", "--version"] {
        assert_eq!(portway(&[fine]).status.code(), Some(0), "{fine}");
    }
}

#[test]
fn a_missing_config_exits_1() {
    for command in ["check", "run"] {
        let output = portway(&[command, "-c", "nowhere.yaml"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output.stderr).contains("nowhere.yaml: error: cannot read the config"));
    }
}

#[test]
fn an_empty_config_exits_1_and_says_so() {
    let folder = Folder::new();
    for config in ["", "# routes: []\n"] {
        let file = folder.write("empty.yaml", config);
        for command in ["check", "run"] {
            let output = portway(&[command, "-c", file.to_str().unwrap()]);
            assert_eq!(output.status.code(), Some(1), "{command} {config:?}");
            let told = text(&output.stderr);
            assert!(
                told.contains("error: the file is empty\n  hint: write"),
                "{told}"
            );
        }
    }
}

#[test]
fn check_warns_of_a_gateway_that_answers_nothing() {
    let folder = Folder::new();
    let file = folder.write("idle.yaml", "server: { port: 8080 }\n");
    let output = portway(&["check", "-c", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0));
    let told = text(&output.stderr);
    assert!(
        told.contains("idle.yaml:1:17: warning: there are no routes"),
        "{told}"
    );
}

#[test]
fn an_address_that_is_taken_exits_2() {
    let (port, admin) = (ports::reserve(), ports::reserve());
    let _taken = port.listen().unwrap();
    let folder = Folder::new();
    let config = format!(
        "server: {{ host: 127.0.0.1, port: {} }}\nadmin: {{ bind: \"{}\" }}\n",
        port.port(),
        admin.addr()
    );
    let routes = "routes: [ { name: a, path: /a, respond: { status: 204 } } ]\n";
    let file = folder.write("taken.yaml", config + routes);
    let output = portway(&["run", "-c", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains(&format!("cannot listen on 127.0.0.1:{}", port.port())));
}

#[test]
fn explain_says_who_won_and_why_the_others_did_not() {
    let folder = Folder::new();
    let file = folder.write(
        "gateway.yaml",
        "upstreams: [ { name: u, targets: [ { addr: \"http://127.0.0.1:1\", weight: 3 } ] } ]\n\
         routes:\n\
         \x20 - { name: long, prefix: /a/b, upstream: u }\n\
         \x20 - { name: short, prefix: /a, methods: [POST], upstream: u }\n\
         \x20 - { name: tenant, prefix: /a/b, headers: { X-T: acme }, upstream: u }\n",
    );
    let file = file.to_str().unwrap();
    let answer = |args: &[&str]| {
        let output = portway(&[&["explain", "-c", file], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let told = answer(&["http://x/a//b/../b/c?q"]);
    assert!(told.contains("request:  GET x/a/b/c?q"), "{told}");
    assert!(
        told.contains("route:    long\n") && told.contains("127.0.0.1:1 weight 3"),
        "{told}"
    );
    assert!(told.contains("short: no match, method is `GET`"), "{told}");
    let told = answer(&["-X", "POST", "-H", "X-T: acme", "x/a/b"]);
    assert!(
        told.contains("route:    tenant\n") && told.contains("long: lost"),
        "{told}"
    );
    let told = answer(&["/a"]);
    assert!(
        told.contains("405 method_not_allowed") && told.contains("allowed:  POST"),
        "{told}"
    );
    let output = portway(&["explain", "-c", file, "http://x/a/%2f"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_committed_schema_is_the_one_that_is_printed() {
    let output = portway(&["schema"]);
    assert_eq!(output.status.code(), Some(0));
    let committed = include_str!("../../../../api/config.schema.json");
    assert!(text(&output.stdout) == committed, "run `make schema`");
}

#[test]
fn convert_gives_yaml_that_is_the_same_config() {
    let folder = Folder::new();
    let json = r#"{"routes":[{"name":"a","path":"/a","respond":{"status":204}}],"admin":{"token":"${T:-x}"}}"#;
    let file = folder.write("config.json", json);
    let output = portway(&["convert", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        text(&output.stdout).contains("${T:-x}"),
        "substitutions stay"
    );
    let file = folder.write("config.yaml", &output.stdout);
    assert_eq!(
        portway(&["check", "-c", file.to_str().unwrap()])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(portway(&["convert", "nowhere"]).status.code(), Some(1));
}

#[test]
fn the_demo_does_all_it_tells() {
    let output = portway(&["demo", "--tour"]);
    let told = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(told.contains("11 of 11 steps were as told"), "{told}");
}
