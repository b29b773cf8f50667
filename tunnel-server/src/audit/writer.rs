//! The thread that writes the lines, many at once where many wait.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::Counts;
use super::queue::{Entry, Health};
use super::sink::{Batch, Sink};

/// Bytes of lines that are written at once; a pipe of Linux holds as many.
const BATCH: usize = 64 * 1024;
/// How long lines are gathered from the first on. A thread that is woken for each, and
/// writes it alone, cost a sixth of the server's processor time, and the request that woke
/// it as much again. It is also what a process that is killed loses more.
const GATHER: Duration = Duration::from_millis(5);
/// Where more wait, there is nothing to gather: else so many bytes in that time were all
/// that is ever written.
const FEW: usize = 32;
/// Between two attempts to write what could not be written.
const TRY_AGAIN: Duration = Duration::from_millis(200);

/// Ends when it is told to, or when all who could tell something are gone.
pub(super) struct Writer {
    entries: mpsc::Receiver<Entry>,
    sink: Sink,
    health: Arc<Health>,
    counts: Counts,
    batch: Batch,
}

impl Writer {
    pub(super) fn new(
        entries: mpsc::Receiver<Entry>,
        sink: Sink,
        health: Arc<Health>,
        counts: Counts,
    ) -> Self {
        Self {
            entries,
            sink,
            health,
            counts,
            batch: Batch::default(),
        }
    }

    /// A thread of its own: a write may take as long as it likes.
    pub(super) fn start(self) -> io::Result<()> {
        // Ends by itself; the end of the process does not wait for it.
        thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || self.run())
            .map(drop)
    }

    fn run(mut self) {
        while let Some(first) = self.entries.blocking_recv() {
            let mut goes_on = self.take(first);
            if goes_on && self.entries.len() < FEW {
                thread::sleep(GATHER);
            }
            while goes_on && self.batch.len() < BATCH {
                match self.entries.try_recv() {
                    Ok(entry) => goes_on = self.take(entry),
                    Err(_) => break,
                }
            }
            if !self.write_out() || !goes_on {
                return;
            }
        }
    }

    /// Tells whether more may come.
    fn take(&mut self, entry: Entry) -> bool {
        match entry {
            Entry::Request(event) => self.batch.push(&event.line()),
            Entry::Link(event) => self.batch.push(&event.line()),
            Entry::Unwritten(event) => self.batch.push(&event.line()),
            // Done before each write.
            Entry::Reopen => {}
            Entry::End => return false,
        }
        true
    }

    /// Writes the batch, however often that takes. Tells whether it was done.
    fn write_out(&mut self) -> bool {
        let began = Instant::now();
        loop {
            self.health.begin();
            match self.sink.write(&mut self.batch) {
                Ok(()) => break,
                Err(error) => self.failed(&error),
            }
            if self.health.given_up.load(Ordering::Relaxed) {
                return false;
            }
            thread::sleep(TRY_AGAIN);
        }
        if self.health.done() {
            tracing::info!(after = ?began.elapsed(), "the audit log can be written again");
        }
        self.counts.written(self.batch.lines());
        self.batch.clear();
        true
    }

    fn failed(&self, error: &io::Error) {
        self.counts.failed();
        if self.health.failed() {
            tracing::error!(%error, "the audit log cannot be written; its lines are kept and tried again");
        }
    }
}
