//! Outputs of the access log: one writer thread for each, fed through a bounded queue.
//!
//! Must hold: handing over a buffer never waits; what does not fit is dropped and counted. All logs
//! with the same output share one thread, over reloads too. The thread ends by itself when nothing
//! uses its output any more, after it wrote what was queued.

use super::writer::{Output, Writer};
use portway_core::limits::{ACCESS_LOG_BUFFER_BYTES, ACCESS_LOG_QUEUE_BUFFERS_MAX};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, Thread};
use std::time::Duration;
use std::{fmt, io, path};

/// Where a log goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogOutput {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to, made if it is not there (readable by owner and group).
    File(PathBuf),
}

impl LogOutput {
    /// `stdout`, `stderr`, or a path.
    #[must_use]
    pub fn parse(text: &str) -> LogOutput {
        match text {
            "stdout" => LogOutput::Stdout,
            "stderr" => LogOutput::Stderr,
            file => LogOutput::File(PathBuf::from(file)),
        }
    }

    /// The same output under one name, whatever the working directory does later.
    fn absolute(&self) -> LogOutput {
        match self {
            LogOutput::File(file) => {
                LogOutput::File(path::absolute(file).unwrap_or_else(|_| file.clone()))
            }
            standard => standard.clone(),
        }
    }
}

impl fmt::Display for LogOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LogOutput::Stdout => f.write_str("stdout"),
            LogOutput::Stderr => f.write_str("stderr"),
            LogOutput::File(file) => file.display().fmt(f),
        }
    }
}

/// All outputs in use. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct LogSinks(Arc<Sinks>);

#[derive(Debug, Default)]
struct Sinks {
    by_output: Mutex<HashMap<LogOutput, Weak<SinkShared>>>,
    dropped: Arc<AtomicU64>,
}

impl LogSinks {
    /// No outputs yet.
    #[must_use]
    pub fn new() -> LogSinks {
        LogSinks::default()
    }

    /// The sink of an output: the one in use, or a new one.
    ///
    /// # Errors
    /// If the file cannot be opened or the thread not started.
    pub fn open(&self, output: &LogOutput) -> io::Result<Sink> {
        let output = output.absolute();
        let mut by_output = self.lock();
        by_output.retain(|_, sink| sink.strong_count() > 0);
        if let Some(shared) = by_output.get(&output).and_then(Weak::upgrade) {
            return Ok(Sink(shared));
        }
        let name = output.to_string();
        let dropped = Arc::clone(&self.0.dropped);
        let queue = ACCESS_LOG_QUEUE_BUFFERS_MAX;
        let sink = Sink::start(Output::open(&output)?, name, dropped, queue)?;
        by_output.insert(output, Arc::downgrade(&sink.0));
        Ok(sink)
    }

    /// Tells every writer to open its file anew (after rotation). Returns at once.
    pub fn reopen(&self) {
        for sink in self.live() {
            sink.channel.reopen.store(true, Ordering::Release);
            // A full queue keeps the writer awake anyway.
            let _ = sink.sender.try_send(Message::LookAround);
            sink.thread.unpark();
        }
    }

    /// Waits until everything handed over so far is written, at most `within` for each output.
    /// False if that was not enough. Blocks: call it at the very end, after the workers' last flush.
    #[must_use]
    pub fn flush(&self, within: Duration) -> bool {
        let live = self.live();
        // All are asked before the first is waited for, so they write at the same time.
        let waiting: Vec<_> = live.iter().map(|sink| sink.ask_for_flush(within)).collect();
        waiting
            .into_iter()
            .all(|answer| has_written(answer, within))
    }

    /// Records lost so far, over all outputs.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    fn live(&self) -> Vec<Arc<SinkShared>> {
        self.lock().values().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<LogOutput, Weak<SinkShared>>> {
        let by_output = &self.0.by_output;
        by_output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One output. Clones share it.
#[derive(Clone, Debug)]
pub struct Sink(Arc<SinkShared>);

#[derive(Debug)]
struct SinkShared {
    sender: SyncSender<Message>,
    thread: Thread,
    channel: Arc<Channel>,
}

/// What both ends of the queue share besides the queue.
#[derive(Debug)]
pub(crate) struct Channel {
    /// The output, for messages.
    pub(crate) name: String,
    pub(crate) reopen: AtomicBool,
    /// Nothing uses the sink any more: the writer must not wait for a broken output.
    pub(crate) abandoned: AtomicBool,
    pub(crate) dropped: Arc<AtomicU64>,
    free: Mutex<Vec<Vec<u8>>>,
}

/// What a writer is told.
#[derive(Debug)]
pub(crate) enum Message {
    Records(Batch),
    /// A flag changed.
    LookAround,
    /// Answer when all before this is written.
    Flush(SyncSender<()>),
}

/// Whole lines, each a record.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) records: u64,
}

/// Empty buffers kept for reuse, per output. More workers than this are rare.
const FREE_BUFFERS_MAX: usize = 32;

/// While a flush waits for room in a queue.
const FULL_QUEUE_RETRY: Duration = Duration::from_millis(5);

impl Channel {
    /// A buffer to fill. Never waits: if another worker is at the list, makes a new one.
    fn take_buffer(&self) -> Vec<u8> {
        let recycled = self.free.try_lock().ok().and_then(|mut free| free.pop());
        // Room for one more record past the mark, so that filling up seldom reallocates.
        recycled.unwrap_or_else(|| Vec::with_capacity(ACCESS_LOG_BUFFER_BYTES + 4096))
    }

    /// Takes back a written buffer. One that a giant record made large is freed instead.
    pub(crate) fn recycle(&self, mut bytes: Vec<u8>) {
        bytes.clear();
        if bytes.capacity() <= 2 * ACCESS_LOG_BUFFER_BYTES
            && let Ok(mut free) = self.free.lock()
            && free.len() < FREE_BUFFERS_MAX
        {
            free.push(bytes);
        }
    }

    pub(crate) fn count_dropped(&self, records: u64) {
        self.dropped.fetch_add(records, Ordering::Relaxed);
    }
}

impl Sink {
    pub(crate) fn start(
        output: Output,
        name: String,
        dropped: Arc<AtomicU64>,
        queue: usize,
    ) -> io::Result<Sink> {
        let (sender, receiver) = mpsc::sync_channel(queue);
        let channel = Arc::new(Channel {
            name,
            reopen: AtomicBool::new(false),
            abandoned: AtomicBool::new(false),
            dropped,
            free: Mutex::default(),
        });
        let mut writer = Writer::new(output, Arc::clone(&channel));
        let thread = thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || writer.run(&receiver))?
            .thread()
            .clone();
        Ok(Sink(Arc::new(SinkShared {
            sender,
            thread,
            channel,
        })))
    }

    pub(crate) fn is(&self, other: &Sink) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn take_buffer(&self) -> Vec<u8> {
        self.0.channel.take_buffer()
    }

    /// Waits until everything handed over so far is written, at most `within`. False if that was not
    /// enough.
    pub(crate) fn flush(&self, within: Duration) -> bool {
        has_written(self.0.ask_for_flush(within), within)
    }

    /// Hands a batch to the writer, or drops it. Never waits.
    pub(crate) fn hand_over(&self, batch: Batch) {
        let refused = match self.0.sender.try_send(Message::Records(batch)) {
            Ok(()) => return,
            Err(TrySendError::Full(message) | TrySendError::Disconnected(message)) => message,
        };
        if let Message::Records(batch) = refused {
            self.0.channel.count_dropped(batch.records);
            self.0.channel.recycle(batch.bytes);
        }
    }
}

/// Whether a writer answers in time that it has written, or is gone.
fn has_written(answer: Option<mpsc::Receiver<()>>, within: Duration) -> bool {
    answer.is_some_and(|answer| answer.recv_timeout(within) != Err(RecvTimeoutError::Timeout))
}

impl SinkShared {
    /// None if the queue stayed full all the time, or the writer is gone.
    fn ask_for_flush(&self, within: Duration) -> Option<mpsc::Receiver<()>> {
        let (answer, receiver) = mpsc::sync_channel(1);
        let mut question = Message::Flush(answer);
        for _ in 0..=within.as_millis() / FULL_QUEUE_RETRY.as_millis() {
            match self.sender.try_send(question) {
                Ok(()) => return Some(receiver),
                Err(TrySendError::Full(refused)) => question = refused,
                Err(TrySendError::Disconnected(_)) => return None,
            }
            thread::sleep(FULL_QUEUE_RETRY);
        }
        None
    }
}

impl Drop for SinkShared {
    fn drop(&mut self) {
        self.channel.abandoned.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
