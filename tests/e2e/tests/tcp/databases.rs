//! Real servers and their own clients, through a tcp listener.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use portway_testkit::wait::within;
use portway_testkit::{Folder, Process, ports};

use super::Config;
use crate::support::missing;

/// Where a program is, among the places where Debian puts those of services.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin:/usr/local/bin";
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let versions = versions.flatten().map(|version| version.path().join("bin"));
    let mut folders: Vec<PathBuf> = versions.collect();
    folders.extend(path.split(':').map(PathBuf::from));
    let files = folders.into_iter().map(|folder| folder.join(program));
    files.into_iter().find(|file| file.is_file())
}

/// All of them, or a line that says what is missing.
fn need<const N: usize>(programs: [&str; N]) -> Option<[PathBuf; N]> {
    let found = programs.map(|program| (program, find(program)));
    for (program, file) in &found {
        if file.is_none() {
            missing(program);
            return None;
        }
    }
    Some(found.map(|(_, file)| file.expect("just looked")))
}

fn output(mut command: Command) -> String {
    let output = command.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}{errors}");
    text
}

#[test]
fn redis_works_through_a_tcp_listener() {
    let Some([server, client]) = need(["redis-server", "redis-cli"]) else {
        return;
    };
    let (folder, port) = (Folder::new(), ports::free());
    let mut command = Command::new(server);
    command.current_dir(folder.path());
    command.args([
        "--port",
        &port.to_string(),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
    ]);
    let mut redis = Process::spawn(command);
    redis.wait_port(([127, 0, 0, 1], port).into());
    let mut config = Config::to(&[]);
    config.targets.push(format!("tcp://127.0.0.1:{port}"));
    config.upstream = "health_check: { type: tcp, interval: 1s }";
    let gateway = config.start();
    let cli = |args: &[&str]| {
        let mut command = Command::new(&client);
        command.args(["-h", "127.0.0.1", "-p", &gateway.addr().port().to_string()]);
        command.args(args);
        output(command)
    };
    assert_eq!(cli(&["PING"]), "PONG\n");
    let long = "v".repeat(100_000);
    assert_eq!(cli(&["SET", "key", &long]), "OK\n");
    assert_eq!(cli(&["GET", "key"]).trim_end(), long);
    assert_eq!(
        cli(&["-r", "200", "INCR", "count"]).lines().last(),
        Some("200")
    );
}

#[test]
fn postgresql_works_through_a_tcp_listener() {
    let Some([initdb, postgres, psql]) = need(["initdb", "postgres", "psql"]) else {
        return;
    };
    let (folder, port) = (Folder::new(), ports::free());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    give_to_nobody(folder.path());
    give_to_nobody(&data);
    let mut command = as_nobody(&initdb);
    command.args(["-A", "trust", "-U", "postgres", "--no-sync", "-D"]);
    output({
        command.arg(&data);
        command
    });
    let mut command = as_nobody(&postgres);
    command.arg("-D").arg(&data).args(["-p", &port.to_string()]);
    command.args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
    command
        .arg("-c")
        .arg(format!("unix_socket_directories={}", data.display()));
    let mut server = Process::spawn(command);
    server.wait_output("ready to accept connections");
    let mut config = Config::to(&[]);
    config.targets.push(format!("tcp://127.0.0.1:{port}"));
    let gateway = config.start();
    let sql = |text: &str| {
        let mut command = Command::new(&psql);
        let port = gateway.addr().port().to_string();
        command.args([
            "-h",
            "127.0.0.1",
            "-p",
            &port,
            "-U",
            "postgres",
            "-At",
            "-c",
            text,
        ]);
        output(command)
    };
    let table = [
        "create table t (n int, text text)",
        "insert into t select n, repeat('x', 1000) from generate_series(1, 20000) n",
        "select n, text from t order by n",
    ];
    expect_twenty_megabytes(&config, sql, table);
    server.signal(portway_testkit::process::Signal::INT);
    server.wait(Duration::from_secs(10));
}

/// A protocol in which the server speaks first.
#[test]
fn mariadb_works_through_a_tcp_listener() {
    let Some([install, mariadbd, mariadb]) = need(["mariadb-install-db", "mariadbd", "mariadb"])
    else {
        return;
    };
    let (folder, port) = (Folder::new(), ports::free());
    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    give_to_nobody(folder.path());
    give_to_nobody(&data);
    let of = |key: &str, value: &Path| format!("--{key}={}", value.display());
    let mut command = as_nobody(&install);
    command.args(["--no-defaults", "--auth-root-authentication-method=normal"]);
    command.args(["--skip-test-db", "--skip-log-bin"]);
    command.arg(of("datadir", &data));
    output(command);
    let mut command = as_nobody(&mariadbd);
    command.args([
        "--no-defaults",
        "--bind-address=127.0.0.1",
        "--skip-log-bin",
    ]);
    command.args(["--innodb-flush-log-at-trx-commit=0", "--skip-name-resolve"]);
    command
        .arg(of("datadir", &data))
        .arg(format!("--port={port}"));
    command.arg(of("socket", &folder.path().join("socket")));
    let mut server = Process::spawn(command);
    let ready = || server.output().contains("ready for connections");
    assert!(
        within(Duration::from_secs(60), ready),
        "{}",
        server.output()
    );
    let mut config = Config::to(&[]);
    config.targets.push(format!("tcp://127.0.0.1:{port}"));
    let gateway = config.start();
    let sql = |text: &str| {
        let mut command = Command::new(&mariadb);
        let port = gateway.addr().port().to_string();
        command.args([
            "--no-defaults",
            "-h",
            "127.0.0.1",
            "-P",
            &port,
            "-u",
            "root",
        ]);
        command.args(["--protocol=tcp", "-N", "-B", "-e", text]);
        output(command)
    };
    let table = [
        "create database d; create table d.t (n int, text text)",
        "insert into d.t select seq, repeat('x', 1000) from d.seq_1_to_20000",
        "select n, text from d.t order by n",
    ];
    expect_twenty_megabytes(&config, sql, table);
    server.signal(portway_testkit::process::Signal::TERM);
    server.wait(Duration::from_secs(20));
}

/// A question, and a table of 20,000 rows: made, filled, and read again.
#[track_caller]
fn expect_twenty_megabytes(config: &Config, sql: impl Fn(&str) -> String, table: [&str; 3]) {
    assert_eq!(sql("select 40 + 2"), "42\n");
    let [_, _, rows] = table.map(sql);
    assert_eq!(
        (rows.lines().count(), rows.len() > 20_000_000),
        (20_000, true)
    );
    let records = config.records(4);
    assert!(
        records.iter().all(|record| record["code"].is_null()),
        "{records:?}"
    );
    assert!(records[3]["bytes_out"].as_u64().unwrap() > 20_000_000);
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// Databases refuse to run as root.
fn as_nobody(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"]);
    command.arg(program);
    command
}

fn give_to_nobody(path: &Path) {
    if is_root() {
        let mut command = Command::new("chown");
        command.arg("nobody:nogroup").arg(path);
        output(command);
    }
}
