//! The thread that writes one output.
//!
//! Must hold: a line is written whole or not at all, in order, as far as the output allows: after
//! a failed write the rest of the buffer waits for the next try. While an output is broken the
//! queue fills up and its senders drop and count; it is said once that it broke and once that it
//! works again.

use super::sink::{Batch, Channel, LogOutput, Message};
use portway_core::limits::ACCESS_LOG_RETRY;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::Duration;

/// A pipe somebody made non-blocking, and that is full, is tried again after this.
const FULL_PIPE_RETRY: Duration = Duration::from_millis(10);

/// An open output. Standard output is a `File` too, past the line buffer of `io::stdout`.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
    /// What to open anew; none for the standard streams.
    path: Option<PathBuf>,
}

impl Output {
    pub(crate) fn open(output: &LogOutput) -> io::Result<Output> {
        match output {
            LogOutput::Stdout => Ok(Output::standard(duplicate(&io::stdout())?)),
            LogOutput::Stderr => Ok(Output::standard(duplicate(&io::stderr())?)),
            LogOutput::File(path) => Ok(Output {
                file: append_to(path)?,
                path: Some(path.clone()),
            }),
        }
    }

    pub(crate) fn standard(file: File) -> Output {
        Output { file, path: None }
    }

    /// Opens the path again; keeps what it has if that fails.
    fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = append_to(path)?;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn duplicate(stream: &impl std::os::fd::AsFd) -> io::Result<File> {
    stream.as_fd().try_clone_to_owned().map(File::from)
}

fn append_to(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    // Client addresses and paths are nobody else's business.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640);
    options.open(path)
}

/// One output's thread.
#[derive(Debug)]
pub(crate) struct Writer {
    output: Output,
    channel: Arc<Channel>,
    is_broken: bool,
}

impl Writer {
    pub(crate) fn new(output: Output, channel: Arc<Channel>) -> Writer {
        Writer {
            output,
            channel,
            is_broken: false,
        }
    }

    /// Writes until nobody can send any more.
    pub(crate) fn run(&mut self, queue: &Receiver<Message>) {
        while let Ok(message) = queue.recv() {
            self.reopen_if_told();
            match message {
                Message::Records(batch) => self.write(batch),
                Message::LookAround => {}
                // The asker may have gone; then nobody minds.
                Message::Flush(answer) => drop(answer.try_send(())),
            }
        }
    }

    fn write(&mut self, batch: Batch) {
        let mut rest = batch.bytes.as_slice();
        while !rest.is_empty() {
            match self.output.file.write(rest) {
                Ok(0) => self.wait_out(&ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    self.say_it_works();
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::park_timeout(FULL_PIPE_RETRY);
                }
                Err(error) => self.wait_out(&error),
            }
            if self.channel.abandoned.load(Ordering::Acquire) && self.is_broken {
                let lost = rest.iter().filter(|b| **b == b'\n').count();
                self.channel.count_dropped(lost as u64);
                break;
            }
        }
        self.channel.recycle(batch.bytes);
    }

    /// Waits for the next try, or for a reason to make it earlier.
    fn wait_out(&mut self, error: &io::Error) {
        if !self.is_broken {
            self.is_broken = true;
            tracing::error!(
                output = %self.channel.name,
                %error,
                "cannot write the log; trying again every {ACCESS_LOG_RETRY:?}"
            );
        }
        if !self.channel.abandoned.load(Ordering::Acquire) {
            thread::park_timeout(ACCESS_LOG_RETRY);
        }
        self.reopen_if_told();
    }

    fn say_it_works(&mut self) {
        if self.is_broken {
            self.is_broken = false;
            tracing::info!(
                output = %self.channel.name,
                dropped = self.channel.dropped.load(Ordering::Relaxed),
                "the log can be written again"
            );
        }
    }

    fn reopen_if_told(&mut self) {
        if !self.channel.reopen.swap(false, Ordering::AcqRel) {
            return;
        }
        if let Err(error) = self.output.reopen() {
            tracing::error!(
                output = %self.channel.name,
                %error,
                "cannot open the log anew; writing on to the old file"
            );
        }
    }
}
