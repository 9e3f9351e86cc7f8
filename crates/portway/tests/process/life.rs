//! From start to end: changes of the config, drain, successors.

use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::time::Duration;

use portway_testkit::ports::reserve;
use portway_testkit::process::Signal;
use portway_testkit::raw::get;
use portway_testkit::{Folder, Origin, Process, RawClient, eventually};

use crate::support::{PORTWAY, Running};

const APPLIED: &str = "portway_config_reloads_total{result=\"applied\"}";
const REFUSED: &str = "portway_config_reloads_total{result=\"refused\"}";

#[test]
fn a_file_that_is_written_or_replaced_is_loaded() {
    let running = Running::start();
    assert_eq!(running.says(), "first");
    std::fs::write(running.file(), running.config("written")).unwrap();
    running.wait_says("written");
    running
        .folder
        .replace("gateway.yaml", running.config("replaced"));
    running.wait_says("replaced");
    eventually("two reloads", || running.metric(APPLIED) == 2);
    assert_eq!(running.metric("portway_config_generation"), 3);
}

#[test]
fn it_takes_no_huge_pages() {
    let running = Running::start();
    let status = format!("/proc/{}/status", running.process.pid());
    let status = std::fs::read_to_string(status).unwrap();
    assert!(status.contains("\nTHP_enabled:\t0\n"), "{status}");
}

#[test]
fn a_certificate_is_watched_and_a_bad_one_is_named_in_the_status() {
    let (files, secure) = (Folder::new(), reserve());
    let issue = || {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
        files.replace("a.key", made.signing_key.serialize_pem());
        files.replace("a.pem", made.cert.pem());
    };
    issue();
    let at = files.path().display();
    let running = Running::start_with(&format!(
        "listeners: [ {{ name: secure, bind: \"{}\", protocol: https, tls: {{ certificates: [ \
         {{ cert: {at}/a.pem, key: {at}/a.key }} ] }} }} ]\n",
        secure.addr()
    ));
    files.replace("a.pem", "no certificate");
    let status = || running.operators("GET", "/config/status", "").text();
    eventually("the status says why", || {
        status().contains("BEGIN CERTIFICATE")
    });
    assert!(status().contains("a.pem"), "{}", status());
    let applied = running.metric(APPLIED);
    issue();
    eventually("it is loaded", || running.metric(APPLIED) > applied);
    assert_eq!(running.says(), "first");
}

#[test]
fn a_folder_swapped_by_a_symlink_is_loaded() {
    // As Kubernetes mounts a ConfigMap: gateway.yaml → ..data/gateway.yaml, ..data → ..one.
    let (folder, gateway, admin) = (Folder::new(), reserve(), reserve());
    let config = |says: &str| {
        format!(
            "server: {{ host: 127.0.0.1, port: {} }}\nadmin: {{ bind: \"{}\" }}\n\
             routes: [ {{ name: all, prefix: /, respond: {{ status: 200, body: {says} }} }} ]\n",
            gateway.port(),
            admin.addr()
        )
    };
    let at = |name: &str| folder.path().join(name);
    folder.write("..one/gateway.yaml", config("one"));
    symlink("..one", at("..data")).unwrap();
    symlink("..data/gateway.yaml", at("gateway.yaml")).unwrap();
    let mut process = Process::start(
        PORTWAY,
        &["run", "-c", at("gateway.yaml").to_str().unwrap()],
    );
    process.wait_port(gateway.addr());
    let says = || RawClient::get(gateway.addr(), "/").text();
    assert_eq!(says(), "one");
    for name in ["two", "three"] {
        folder.write(&format!("..{name}/gateway.yaml"), config(name));
        symlink(format!("..{name}"), at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
        eventually(name, || says() == name);
    }
}

#[test]
fn a_refused_config_leaves_the_old_one_and_says_why() {
    let mut running = Running::start();
    std::fs::write(running.file(), running.config("first") + "routs: []\n").unwrap();
    let line = running.process.wait_output("unknown key `routs`");
    assert!(line.contains("gateway.yaml:5:1: error:"), "{line}");
    running
        .process
        .wait_output("config refused, the old one stays");
    assert_eq!(running.says(), "first");
    eventually("it is counted", || running.metric(REFUSED) == 1);
    assert_eq!(running.metric(APPLIED), 0);
    let status = running.operators("GET", "/config/status", "").text();
    for part in [
        "\"result\": \"failed\"",
        "\"line\": 5",
        "\"column\": 1",
        "did you mean `routes`?",
        "\"generation\": 1",
    ] {
        assert!(status.contains(part), "{part}: {status}");
    }
    std::fs::write(running.file(), running.config("mended")).unwrap();
    running.wait_says("mended");
    eventually("the status says so", || {
        let status = running.operators("GET", "/config/status", "").text();
        status.contains("\"result\": \"ok\"")
    });
}

#[test]
fn an_empty_file_is_refused_when_it_stays_empty() {
    let mut running = Running::start();
    for text in ["", "# nothing\n"] {
        std::fs::write(running.file(), text).unwrap();
        running.operators("POST", "/reload", "").expect_status(422);
        let status = running.operators("GET", "/config/status", "").text();
        assert!(status.contains("the file is empty"), "{text:?}: {status}");
        assert_eq!(running.says(), "first", "{text:?}");
    }
    running.process.wait_output("the file is empty");
}

#[test]
fn a_signal_right_after_a_change_is_one_reload() {
    let running = Running::start();
    for round in 1..=5 {
        let says = format!("round {round}");
        std::fs::write(running.file(), running.config(&says)).unwrap();
        running.process.signal(Signal::HUP);
        running.wait_says(&says);
        eventually("it is counted, once", || running.metric(APPLIED) == round);
    }
}

#[test]
fn a_file_that_was_only_touched_is_not_loaded_again() {
    let running = Running::start();
    for _ in 0..3 {
        std::fs::write(running.file(), running.config("first")).unwrap();
    }
    // The next real change comes after these in the queue.
    std::fs::write(running.file(), running.config("second")).unwrap();
    running.wait_says("second");
    eventually("it is counted", || running.metric(APPLIED) > 0);
    assert_eq!(running.metric(APPLIED), 1);
}

#[test]
fn what_only_a_restart_changes_is_said() {
    let mut running = Running::start();
    let changed = running.config("second").replace("workers: 2", "workers: 3");
    std::fs::write(running.file(), changed).unwrap();
    running.process.wait_output("`server.workers` changed");
    running.wait_says("second");
}

#[test]
fn an_address_that_is_taken_refuses_the_reload() {
    let mut running = Running::start();
    let taken = reserve();
    let _held = taken.listen().unwrap();
    let more = format!(
        "listeners: [ {{ name: second, bind: \"{}\" }} ]\n",
        taken.addr()
    );
    std::fs::write(running.file(), running.config("second") + &more).unwrap();
    running
        .process
        .wait_output("config refused, the old one stays");
    assert_eq!(running.says(), "first");
    let status = running.operators("GET", "/config/status", "").text();
    assert!(status.contains("cannot listen on"), "{status}");
}

#[test]
fn terminate_finishes_what_runs_and_exits_0() {
    let origin = Origin::start(|_, conn| {
        std::thread::sleep(Duration::from_millis(300));
        conn.reply(200, &[], "late");
    });
    let (folder, gateway, admin) = (Folder::new(), reserve(), reserve());
    let file = folder.write(
        "gateway.yaml",
        format!(
            "server: {{ host: 127.0.0.1, port: {} }}\nadmin: {{ bind: \"{}\" }}\n\
             routes: [ {{ name: all, prefix: /, targets: [ {{ addr: \"{}\" }} ] }} ]\n",
            gateway.port(),
            admin.addr(),
            origin.url()
        ),
    );
    let mut process = Process::start(PORTWAY, &["run", "-c", file.to_str().unwrap()]);
    process.wait_port(gateway.addr());
    let mut client = RawClient::connect(gateway.addr());
    client.send(get("/"));
    eventually("the request is at the origin", || {
        origin.request_count() == 1
    });
    process.signal(Signal::TERM);
    assert_eq!(client.reply().text(), "late");
    client.expect_closed();
    assert_eq!(process.wait(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut running = Running::start();
    // A request that never ends holds the drain up.
    let mut client = RawClient::connect(running.gateway.addr());
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Le");
    eventually("it is seen", || {
        running.metric("portway_active_connections{listener=\"default\"}") >= 1
    });
    running.process.signal(Signal::INT);
    running.process.wait_output("draining");
    running.process.signal(Signal::INT);
    running.process.wait_output("told to end again");
    assert_eq!(running.process.wait(Duration::from_secs(2)).code(), Some(0));
}

#[test]
fn a_drain_that_an_operator_began_goes_on_past_the_first_signal() {
    let mut running = Running::start();
    let mut client = RawClient::connect(running.gateway.addr());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    eventually("it is seen", || {
        running.metric("portway_active_connections{listener=\"default\"}") >= 1
    });
    running.operators("POST", "/drain", "").expect_status(202);
    running.process.signal(Signal::TERM);
    running.process.wait_output("draining already");
    assert_eq!(client.send("\r\n").reply().text(), "first");
    assert_eq!(running.process.wait(Duration::from_secs(5)).code(), Some(0));
}

#[test]
fn a_successor_takes_over_without_a_refused_connection() {
    let mut running = Running::start();
    let before = running.process.pid();
    std::fs::write(running.file(), running.config("second")).unwrap();
    running.wait_says("second");
    running.process.signal(Signal::USR2);
    // Every connection gets an answer while the processes swap.
    eventually("the predecessor has ended", || {
        assert_eq!(running.says(), "second");
        running.process.output().contains("ended\n")
    });
    let line = running.process.wait_output("the successor serves");
    let successor = line.rsplit_once("pid=").unwrap().1.trim().to_owned();
    assert_ne!(successor, before.to_string());
    for _ in 0..20 {
        assert_eq!(running.says(), "second");
    }
    // It can be changed, and ended, like any other.
    std::fs::write(running.file(), running.config("third")).unwrap();
    running.wait_says("third");
    running.operators("POST", "/drain", "").expect_status(202);
    eventually("the successor has ended", || {
        RawClient::try_connect(running.gateway.addr()).is_err()
    });
}

/// How many sockets of any process listen on a port of the loopback interface.
fn listening(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{port:04X}");
    let listens = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1) == Some(&&*local) && fields.get(3) == Some(&"0A")
    };
    table.lines().filter(listens).count()
}

/// With more workers than it had, each gets a socket; with fewer, they share those that are there, since
/// connections keep coming to every one of them.
#[test]
fn a_successor_may_have_more_workers_or_fewer() {
    let running = Running::start();
    let port = running.gateway.port();
    assert_eq!(listening(port), 2);
    // Another one ends each time, as the child of the one before.
    for (workers, sockets) in [(5, 5), (1, 5)] {
        let config = running.config("again");
        let config = config.replace("workers: 2", &format!("workers: {workers}"));
        let says = format!("{workers} of them");
        std::fs::write(running.file(), config.replace("again", &says)).unwrap();
        running.wait_says(&says);
        let told = |running: &Running| {
            let output = running.process.output();
            output.matches("the successor serves").count()
        };
        let before = told(&running);
        running.signal_latest(Signal::USR2);
        eventually("its successor serves", || told(&running) == before + 1);
        let ended = || running.process.output().matches("ended\n").count();
        eventually("it has ended", || ended() == before + 1);
        assert_eq!(listening(port), sockets);
        for _ in 0..50 {
            assert_eq!(running.says(), says);
        }
    }
    assert!(
        !running
            .process
            .output()
            .contains("not every worker accepts")
    );
    running.operators("POST", "/drain", "").expect_status(202);
}

/// The sockets for datagrams of a port of the loopback interface, by their numbers.
fn datagrams(port: u16) -> Vec<String> {
    let table = std::fs::read_to_string("/proc/net/udp").unwrap();
    let local = format!("0100007F:{port:04X}");
    let fields = table.lines().map(|line| line.split_whitespace());
    let here = fields.filter(|fields| fields.clone().nth(1) == Some(&*local));
    here.filter_map(|mut fields| fields.nth(9).map(str::to_owned))
        .collect()
}

/// Whether somebody speaks QUIC there: who is asked for a version that there is not says which there are
/// (RFC 9000, section 6.1).
fn speaks_quic(port: u16) -> bool {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let mut hello = [0; 1200];
    hello[..7].copy_from_slice(&[0xc0, 0x1a, 0x2a, 0x3a, 0x4a, 8, b'x']);
    hello[14] = 8;
    let mut answer = [0; 1500];
    let asked = socket.send(&hello).and_then(|_| socket.recv(&mut answer));
    asked.is_ok_and(|length| length > 7 && answer[1..5] == [0; 4])
}

/// Those of two processes never share a port: each would get the other's clients.
#[test]
fn a_successor_opens_its_own_sockets_for_http3() {
    let (files, secure) = (Folder::new(), reserve());
    let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap();
    files.write("a.key", made.signing_key.serialize_pem());
    files.write("a.pem", made.cert.pem());
    let at = files.path().display();
    let mut running = Running::start_with(&format!(
        "listeners: [ {{ name: secure, bind: \"{}\", protocol: https, \
         http: {{ versions: [h1, h3] }}, \
         tls: {{ certificates: [ {{ cert: {at}/a.pem, key: {at}/a.key }} ] }} }} ]\n",
        secure.addr()
    ));
    let port = secure.port();
    let before = datagrams(port);
    assert_eq!(before.len(), 2, "one for each worker");
    assert!(speaks_quic(port));
    running.process.signal(Signal::USR2);
    running.process.wait_output("the successor serves");
    eventually("the successor has its own", || {
        let now = datagrams(port);
        let kept = now.iter().filter(|number| before.contains(number)).count();
        assert!(kept == 0 || now.len() == kept, "{before:?} beside {now:?}");
        kept == 0 && now.len() == 2
    });
    eventually("it answers", || speaks_quic(port));
    running.operators("POST", "/drain", "").expect_status(202);
}

#[test]
fn a_successor_that_fails_changes_nothing() {
    let mut running = Running::start();
    std::fs::write(running.file(), "not: a config\n").unwrap();
    running.process.wait_output("config refused");
    running.process.signal(Signal::USR2);
    running.process.wait_output("this process goes on");
    assert_eq!(running.says(), "first");
}
