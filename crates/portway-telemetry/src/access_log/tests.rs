//! The log as its reader sees it, and as its outputs treat it.

use super::record::Field;
use super::sink::{Batch, Sink};
use super::writer::Output;
use super::*;
use crate::stamp::Stamp;
use portway_core::limits::ACCESS_LOG_QUEUE_BUFFERS_MAX;
use portway_core::{Code, GrpcStatus};
use proptest::prelude::*;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

const ENOUGH: Duration = Duration::from_secs(10);

fn record() -> AccessRecord<'static> {
    AccessRecord {
        time: Duration::from_millis(1_795_232_461_050),
        method: "GET",
        host: b"api.example.com",
        path: b"/users/7",
        protocol: "HTTP/1.1",
        status: 200,
        duration_ns: 1_234_567,
        upstream_ns: Some(1_000_000),
        client_ip: Some([203, 0, 113, 9].into()),
        route: Some("users"),
        upstream: Some("users"),
        target: Some("10.0.0.2:8080"),
        request_id: Some(b"0194f6c3"),
        trace_id: None,
        bytes_in: 120,
        bytes_out: 345,
        user_agent: Some(b"curl/8 (x; \"y\")"),
        retries: 1,
        grpc_status: None,
        code: None,
        error: None,
    }
}

fn rendered(format: &LogFormat, record: &AccessRecord<'_>) -> String {
    let mut out = Vec::new();
    let mut stamp = Stamp::new();
    match format {
        LogFormat::Json => json::push_json(&mut out, &mut stamp, record),
        LogFormat::Text => text::push_line(&mut out, &mut stamp, record),
        LogFormat::Template(template) => template.push(&mut out, &mut stamp, record),
    }
    String::from_utf8(out).unwrap()
}

/// A folder of one test's own, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(test: &str) -> Scratch {
        let name = format!("portway-log-{}-{test}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Scratch(folder)
    }

    fn file(&self) -> PathBuf {
        self.0.join("access.log")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn log_to(sink: &Sink) -> AccessLog {
    let template = Template::compile("${path}").unwrap();
    AccessLog::new(
        LogFormat::Template(template),
        LogPolicy::default(),
        sink.clone(),
    )
}

fn write_path(worker: &mut WorkerLog, log: &AccessLog, path: &str) {
    let record = AccessRecord {
        path: path.as_bytes(),
        ..record()
    };
    assert!(worker.wants(log, record.duration_ns));
    worker.write(log, &record);
}

#[test]
fn json_has_every_field_in_order() {
    let line = rendered(&LogFormat::Json, &record());
    assert_eq!(
        line,
        concat!(
            r#"{"timestamp":"2026-11-21T03:41:01.050Z","method":"GET","host":"api.example.com","#,
            r#""path":"/users/7","protocol":"HTTP/1.1","status_code":200,"duration_ms":1.234,"#,
            r#""upstream_ms":1.000,"client_ip":"203.0.113.9","route":"users","upstream":"users","#,
            r#""target":"10.0.0.2:8080","request_id":"0194f6c3","trace_id":null,"bytes_in":120,"#,
            r#""bytes_out":345,"user_agent":"curl/8 (x; \"y\")","retries":1,"code":null,"#,
            r#""error":null}"#,
            "\n"
        )
    );
    let call = AccessRecord {
        grpc_status: GrpcStatus::from_code(14),
        ..record()
    };
    let line = rendered(&LogFormat::Json, &call);
    let mut from = 0;
    for name in Field::NAMES {
        let at = line.find(&format!("\"{name}\":")).unwrap();
        assert!(at >= from, "{name}");
        from = at;
    }
    let empty: Value =
        serde_json::from_str(&rendered(&LogFormat::Json, &AccessRecord::default())).unwrap();
    let but_grpc_status = Field::NAMES.len() - 1;
    assert_eq!(empty.as_object().unwrap().len(), but_grpc_status);
}

#[test]
fn text_leaves_out_what_is_not_known_and_quotes_what_is_odd() {
    let failed = AccessRecord {
        code: Some(Code::ConnectFailure),
        error: Some("connection refused"),
        upstream_ns: None,
        ..record()
    };
    assert_eq!(
        rendered(&LogFormat::Text, &failed),
        concat!(
            r#"2026-11-21T03:41:01.050Z 203.0.113.9 "GET api.example.com/users/7 HTTP/1.1" 200 "#,
            r#"1.234ms bytes_in=120 bytes_out=345 retries=1 route=users upstream=users "#,
            r#"target=10.0.0.2:8080 request_id=0194f6c3 user_agent="curl/8 (x; \"y\")" "#,
            r#"code=connect_failure error="connection refused""#,
            "\n"
        )
    );
}

#[test]
fn a_template_can_use_every_field() {
    let all: Vec<_> = Field::NAMES.iter().map(|n| format!("${{{n}}}")).collect();
    let template = Template::compile(&all.join("|")).unwrap();
    assert_eq!(
        rendered(&LogFormat::Template(template), &record()),
        concat!(
            "2026-11-21T03:41:01.050Z|GET|api.example.com|/users/7|HTTP/1.1|200|1.234|1.000|",
            "203.0.113.9|users|users|10.0.0.2:8080|0194f6c3|-|120|345|curl/8 (x; \\\"y\\\")|1|-|-|-\n"
        )
    );
}

proptest! {
    #[test]
    fn no_client_can_write_a_second_line_or_break_the_object(
        host: Vec<u8>,
        path: Vec<u8>,
        agent: Option<Vec<u8>>,
        id: Option<Vec<u8>>,
        error: Option<String>,
        numbers: (u16, u64, u64),
    ) {
        let odd = AccessRecord {
            host: &host,
            path: &path,
            user_agent: agent.as_deref(),
            request_id: id.as_deref(),
            error: error.as_deref(),
            status: numbers.0,
            duration_ns: numbers.1,
            bytes_in: numbers.2,
            ..record()
        };
        let line = rendered(&LogFormat::Json, &odd);
        prop_assert_eq!(line.find('\n'), Some(line.len() - 1));
        let read: Value = serde_json::from_str(&line).unwrap();
        let lossy = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
        prop_assert_eq!(&read["host"], &lossy(&host));
        prop_assert_eq!(&read["path"], &lossy(&path));
        prop_assert_eq!(&read["user_agent"], &agent.as_deref().map_or(Value::Null, lossy));
        prop_assert_eq!(&read["request_id"], &id.as_deref().map_or(Value::Null, lossy));
        prop_assert_eq!(&read["error"], &Value::from(error.clone()));
        prop_assert_eq!(&read["status_code"], &Value::from(numbers.0));
        prop_assert_eq!(&read["bytes_in"], &Value::from(numbers.2));
        for format in [
            LogFormat::Text,
            LogFormat::Template(Template::compile("${host} ${path} ${user_agent}").unwrap()),
        ] {
            let line = rendered(&format, &odd);
            prop_assert_eq!(line.find(|c: char| c.is_control()), Some(line.len() - 1));
        }
    }
}

#[test]
fn workers_share_one_file_and_no_line_is_lost_or_torn() {
    let scratch = Scratch::new("share");
    let file = scratch.file();
    let sinks = LogSinks::new();
    let log = log_to(&sinks.open(&LogOutput::File(file.clone())).unwrap());
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let log = &log;
            scope.spawn(move || {
                let mut own = WorkerLog::new();
                for n in 0..5000 {
                    write_path(&mut own, log, &format!("/{worker}/{n}"));
                }
            });
        }
    });
    assert!(sinks.flush(ENOUGH));
    let text = fs::read_to_string(&file).unwrap();
    for worker in 0..4 {
        let own = format!("/{worker}/");
        let lines = text.lines().filter_map(|line| line.strip_prefix(&own));
        let numbers: Vec<u32> = lines.map(|n| n.parse().unwrap()).collect();
        assert_eq!(numbers, (0..5000).collect::<Vec<_>>());
    }
    assert_eq!(text.lines().count(), 20_000);
    assert_eq!(sinks.dropped(), 0);
}

#[test]
fn an_output_is_opened_once_and_closed_when_unused() {
    let scratch = Scratch::new("once");
    let output = LogOutput::File(scratch.file());
    let sinks = LogSinks::new();
    let first = sinks.open(&output).unwrap();
    let second = sinks.open(&output).unwrap();
    assert!(first.is(&second));
    let mut worker = WorkerLog::new();
    let log = log_to(&first);
    write_path(&mut worker, &log, "/last");
    drop((first, second, log));
    // The worker still holds a record for it.
    let again = sinks.open(&output).unwrap();
    worker.flush();
    assert!(sinks.flush(ENOUGH));
    let LogOutput::File(file) = &output else {
        unreachable!()
    };
    assert_eq!(fs::read_to_string(file).unwrap(), "/last\n");
    drop(again);
    for _ in 0..100 {
        worker.flush();
    }
    assert!(format!("{sinks:?}").contains("(Weak)"));
    let fresh = LogSinks::new();
    assert!(fresh.flush(Duration::ZERO));
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_at_once() {
    let missing = LogOutput::File("/nonexistent/folder/access.log".into());
    assert!(LogSinks::new().open(&missing).is_err());
    assert_eq!(LogOutput::parse("stdout"), LogOutput::Stdout);
    assert_eq!(LogOutput::parse("stderr"), LogOutput::Stderr);
    assert_eq!(LogOutput::parse("a/b"), LogOutput::File("a/b".into()));
}

#[test]
fn reopening_continues_in_the_new_file() {
    let scratch = Scratch::new("reopen");
    let file = scratch.file();
    let rotated = file.with_extension("1");
    let sinks = LogSinks::new();
    let log = log_to(&sinks.open(&LogOutput::File(file.clone())).unwrap());
    let mut worker = WorkerLog::new();
    write_path(&mut worker, &log, "/before");
    worker.flush();
    assert!(sinks.flush(ENOUGH));
    fs::rename(&file, &rotated).unwrap();
    sinks.reopen();
    write_path(&mut worker, &log, "/after");
    worker.flush();
    assert!(sinks.flush(ENOUGH));
    assert_eq!(fs::read_to_string(&rotated).unwrap(), "/before\n");
    assert_eq!(fs::read_to_string(&file).unwrap(), "/after\n");
}

#[test]
fn a_reader_that_stops_costs_records_and_never_time() {
    let (mut reader, pipe) = io::pipe().unwrap();
    let dropped = Arc::new(AtomicU64::new(0));
    let output = Output::standard(File::from(OwnedFd::from(pipe)));
    let sink = Sink::start(output, "pipe".to_owned(), Arc::clone(&dropped), 256).unwrap();
    let batches = 10 * ACCESS_LOG_QUEUE_BUFFERS_MAX as u64;
    for _ in 0..batches {
        let mut bytes = vec![b'x'; 9999];
        bytes.push(b'\n');
        sink.hand_over(Batch { bytes, records: 1 });
    }
    // The pipe holds 64 KiB, the queue its limit, the writer one; the rest is gone.
    let lost = dropped.load(Ordering::Relaxed);
    assert!(
        lost >= batches - ACCESS_LOG_QUEUE_BUFFERS_MAX as u64 - 20,
        "{lost}"
    );
    drop(sink);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text.lines().count() as u64, batches - lost);
    assert!(text.lines().all(|line| line.len() == 9999));
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_holds_what_is_queued_and_goes_on_after() {
    let scratch = Scratch::new("full");
    let file = scratch.file();
    std::os::unix::fs::symlink("/dev/full", &file).unwrap();
    let sinks = LogSinks::new();
    let log = log_to(&sinks.open(&LogOutput::File(file.clone())).unwrap());
    let mut worker = WorkerLog::new();
    write_path(&mut worker, &log, "/held");
    worker.flush();
    assert!(!sinks.flush(Duration::from_millis(100)));
    fs::remove_file(&file).unwrap();
    sinks.reopen();
    assert!(sinks.flush(ENOUGH));
    assert_eq!(fs::read_to_string(&file).unwrap(), "/held\n");
    assert_eq!(sinks.dropped(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_broken_output_nobody_uses_any_more_counts_its_records_and_ends() {
    let full = fs::OpenOptions::new()
        .append(true)
        .open("/dev/full")
        .unwrap();
    let dropped = Arc::new(AtomicU64::new(0));
    let sink = Sink::start(
        Output::standard(full),
        "full".to_owned(),
        Arc::clone(&dropped),
        256,
    )
    .unwrap();
    for _ in 0..3 {
        let bytes = b"/a\n/b\n".to_vec();
        sink.hand_over(Batch { bytes, records: 2 });
    }
    drop(sink);
    // The thread holds the other reference to the counter, and lets go of it when it ends.
    for _ in 0..10_000 {
        if Arc::strong_count(&dropped) == 1 {
            break;
        }
        std::thread::yield_now();
        std::thread::park_timeout(Duration::from_millis(1));
    }
    assert_eq!(Arc::strong_count(&dropped), 1);
    assert_eq!(dropped.load(Ordering::Relaxed), 6);
}
