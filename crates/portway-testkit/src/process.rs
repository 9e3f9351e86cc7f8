//! Child processes for tests: real servers, and the portway binary itself.
//!
//! Must hold: output is captured as it comes; the child and what it started (its process group)
//! are gone when the [`Process`] is dropped, whatever the test did.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, kill_process, kill_process_group};

pub use rustix::process::Signal;

use crate::wait::{TIMEOUT, within};

/// A running child.
pub struct Process {
    child: Child,
    name: String,
    output: Arc<Mutex<String>>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts a program.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn start<A: AsRef<OsStr>>(program: impl AsRef<OsStr>, args: &[A]) -> Process {
        let mut command = Command::new(program);
        command.args(args);
        Process::spawn(command)
    }

    /// Starts a command; its standard streams are taken over.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    #[track_caller]
    pub fn spawn(mut command: Command) -> Process {
        let name = command.get_program().to_string_lossy().into_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn();
        let mut child = child.unwrap_or_else(|error| panic!("start {name}: {error}"));
        let output = Arc::default();
        let readers = vec![
            capture(child.stdout.take().expect("piped"), Arc::clone(&output)),
            capture(child.stderr.take().expect("piped"), Arc::clone(&output)),
        ];
        Process {
            child,
            name,
            output,
            readers,
        }
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written so far, both streams, line by line as they came.
    ///
    /// # Panics
    /// Never, unless capturing did.
    #[must_use]
    pub fn output(&self) -> String {
        let output = self.output.lock().expect("no panic while capturing");
        output.clone()
    }

    /// Waits until somebody accepts connections there.
    ///
    /// # Panics
    /// After 5 s, or when the process has ended, with its output.
    #[track_caller]
    pub fn wait_port(&mut self, addr: SocketAddr) {
        self.wait_until(&format!("listen on {addr}"), |_| {
            TcpStream::connect_timeout(&addr, Duration::from_millis(200)).is_ok()
        });
    }

    /// Waits until its output has this text, and gives the line.
    ///
    /// # Panics
    /// As [`Process::wait_port`].
    #[track_caller]
    pub fn wait_output(&mut self, text: &str) -> String {
        let line_of = |output: &str| {
            let mut lines = output.lines();
            lines.find(|line| line.contains(text)).map(str::to_owned)
        };
        self.wait_until(&format!("write {text:?}"), |process| {
            line_of(&process.output()).is_some()
        });
        line_of(&self.output()).expect("just seen")
    }

    #[track_caller]
    fn wait_until(&mut self, what: &str, is_so: impl Fn(&Process) -> bool) {
        let mut ended = None;
        let seen = within(TIMEOUT, || {
            // The end first: what it wrote before that must still count.
            ended = self.child.try_wait().ok().flatten();
            is_so(self) || ended.is_some()
        });
        if ended.is_some() {
            // Its last words may still be on their way.
            let read = || self.readers.iter().all(JoinHandle::is_finished);
            within(Duration::from_millis(500), read);
        }
        if seen && is_so(self) {
            return;
        }
        let why = ended.map_or_else(|| "not in time".to_owned(), |status| status.to_string());
        panic!("{} did not {what} ({why}):\n{}", self.name, self.output());
    }

    /// Sends a signal to the process alone.
    ///
    /// # Panics
    /// If it has ended and was reaped.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        kill_process(self.as_pid(), signal).expect("a process to signal");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it has not ended after `timeout`, with its output.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let mut status = None;
        within(timeout, || {
            status = self.child.try_wait().expect("own child");
            status.is_some()
        });
        status.unwrap_or_else(|| panic!("{} still runs:\n{}", self.name, self.output()))
    }

    /// SIGTERM, then waits 5 s for its end.
    ///
    /// # Panics
    /// If it has not ended by then, with its output.
    #[track_caller]
    pub fn stop(&mut self) -> ExitStatus {
        if let Ok(Some(status)) = self.child.try_wait() {
            return status;
        }
        self.signal(Signal::TERM);
        self.wait(TIMEOUT)
    }

    fn as_pid(&self) -> Pid {
        let raw = i32::try_from(self.child.id()).expect("process ids are positive i32");
        Pid::from_raw(raw).expect("process ids are not zero")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(self.as_pid(), Signal::TERM);
            within(Duration::from_secs(2), || {
                !matches!(self.child.try_wait(), Ok(None))
            });
        }
        // Its children may have outlived it (a successor, or workers of a killed master).
        let _ = kill_process_group(self.as_pid(), Signal::KILL);
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

/// Sends a signal to a process that another one has started.
///
/// # Panics
/// If there is no such process.
#[track_caller]
pub fn signal_to(pid: i32, signal: Signal) {
    let pid = Pid::from_raw(pid).expect("process ids are not zero");
    kill_process(pid, signal).expect("a process to signal");
}

/// Copies lines until the stream ends.
fn capture(stream: impl Read + Send + 'static, to: Arc<Mutex<String>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = stream.read_until(b'\n', &mut line) {
            let mut to = to.lock().expect("no panic while capturing");
            to.push_str(&String::from_utf8_lossy(&line));
            line.clear();
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn captures_both_streams_and_waits_for_a_line() {
        let script = "echo one; echo two 1>&2; sleep 30";
        let mut process = Process::start("sh", &["-c", script]);
        assert_eq!(process.wait_output("tw"), "two");
        process.wait_output("one");
        assert!(!process.stop().success());
    }

    #[test]
    fn what_a_child_started_ends_with_it() {
        let mut process = Process::start("sh", &["-c", "sleep 300 & echo $!; exit 0"]);
        process.wait(TIMEOUT);
        let pid = process.wait_output("").trim().to_owned();
        drop(process);
        let gone = || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            stat.map_or(true, |stat| stat.contains(") Z"))
        };
        assert!(within(TIMEOUT, gone));
    }

    #[test]
    #[should_panic(expected = "did not write \"never\" (exit status: 3):\nsaid\n")]
    fn an_early_end_is_reported_with_the_output() {
        Process::start("sh", &["-c", "echo said; exit 3"]).wait_output("never");
    }
}
