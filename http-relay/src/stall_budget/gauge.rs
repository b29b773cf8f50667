//! How many DATA frames of a few bytes a link has received and nobody has taken.
//!
//! A window counts bytes, but h2 keeps each frame by itself: one of a byte holds
//! some 260, so that the window of a single stream that stands still would hold a
//! gigabyte. hyper tells neither of them, so they are counted as they are read.

use std::io;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};

use super::{LinkStalls, lock};

/// Shorter than what h2 needs to keep a frame, bytes.
const SMALL: usize = 256;
/// Small frames that a link may hold until those of blocked streams are put
/// together: 8 MiB.
const MANY: i64 = 32 * 1024;
/// Small frames that a link may hold where that did not help: 16 MiB. The window of a
/// stream of lines of 64 bytes has no more.
const MOST: i64 = 64 * 1024;

#[derive(Debug)]
pub(super) struct Gauge {
    small: AtomicI64,
    limit: AtomicI64,
    reader: Mutex<Option<Waker>>,
    /// How often something was read.
    reads: AtomicU64,
}

impl Default for Gauge {
    fn default() -> Self {
        Self {
            small: AtomicI64::new(0),
            limit: AtomicI64::new(MANY),
            reader: Mutex::default(),
            reads: AtomicU64::new(0),
        }
    }
}

impl Gauge {
    fn received(&self, small: i64) {
        self.small.fetch_add(small, Ordering::SeqCst);
    }

    /// A frame has left h2.
    pub(super) fn taken(&self, length: usize) {
        if is_small(length) {
            // After a `clear` it may be one that is not counted any more.
            let one_less = |small| (small > 0).then(|| small - 1);
            let _ = self
                .small
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less);
        }
    }

    pub(super) fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    fn small(&self) -> i64 {
        self.small.load(Ordering::SeqCst)
    }

    /// Whether the link is not read.
    fn is_over(&self) -> bool {
        self.small() > self.limit.load(Ordering::SeqCst)
    }

    pub(super) fn has_many(&self) -> bool {
        self.small() > MANY
    }

    pub(super) fn has_most(&self) -> bool {
        self.small() > MOST
    }

    /// All that were held have been taken, or went with their streams.
    pub(super) fn clear(&self) {
        self.small.store(0, Ordering::SeqCst);
    }

    /// Lets the link be read again, until it has more than it may.
    pub(super) fn resume(&self) {
        let limit = if self.has_many() { MOST } else { MANY };
        self.limit.store(limit, Ordering::SeqCst);
        if let Some(reader) = lock(&self.reader).take() {
            reader.wake();
        }
    }
}

pub(super) fn is_small(length: usize) -> bool {
    (1..SMALL).contains(&length)
}

pin_project_lite::pin_project! {
    /// A link's connection, whose frames are counted as they are read. While too
    /// many small ones are held it is not read.
    #[derive(Debug)]
    pub struct Gauged<T> {
        #[pin]
        inner: T,
        link: LinkStalls,
        frames: FrameLengths,
    }
}

impl<T> Gauged<T> {
    pub(super) fn new(inner: T, link: LinkStalls, preface: usize) -> Self {
        let frames = FrameLengths {
            skip: preface,
            ..FrameLengths::default()
        };
        Self {
            inner,
            link,
            frames,
        }
    }
}

impl<T: AsyncRead> AsyncRead for Gauged<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.project();
        let (link, gauge) = (&this.link.0, &this.link.0.gauge);
        if gauge.is_over() {
            *lock(&gauge.reader) = Some(cx.waker().clone());
            link.process.relief.notify_one();
            // It may have been relieved meanwhile.
            if gauge.is_over() {
                return Poll::Pending;
            }
        }
        let before = buf.filled().len();
        let read = this.inner.poll_read(cx, buf);
        let bytes = buf.filled().get(before..).unwrap_or_default();
        if !bytes.is_empty() {
            gauge.reads.fetch_add(1, Ordering::Relaxed);
            gauge.received(this.frames.small_in(bytes));
        }
        read
    }
}

crate::pass_writes!(Gauged);

/// Follows the frames of one direction by their heads: length (3 bytes), type,
/// flags, stream (4).
#[derive(Debug, Default)]
struct FrameLengths {
    head: [u8; HEAD],
    have: usize,
    /// Bytes until the next head.
    skip: usize,
}

const HEAD: usize = 9;
const DATA: u8 = 0;
const PADDED: u8 = 8;

impl FrameLengths {
    /// How many small DATA frames begin in these bytes. A padded one counts as
    /// small, as its padding is not kept.
    fn small_in(&mut self, mut bytes: &[u8]) -> i64 {
        let mut small = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let part = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + part].copy_from_slice(&bytes[..part]);
            self.have += part;
            bytes = &bytes[part..];
            if self.have == HEAD {
                self.have = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                let counts = is_small(self.skip) || flags & PADDED != 0;
                small += i64::from(kind == DATA && counts);
            }
        }
        small
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_followed_wherever_they_are_split() {
        let mut bytes = b"preface".to_vec();
        for (length, kind, flags) in [
            (1_usize, DATA, 0),
            (0, DATA, 1),
            (300, DATA, 0),
            (5, 1, 4),
            (255, DATA, 0),
            (300, DATA, PADDED),
        ] {
            let length_bytes = u32::try_from(length).unwrap().to_be_bytes();
            bytes.extend(&length_bytes[1..]);
            bytes.extend([kind, flags, 0, 0, 0, 1]);
            bytes.extend(vec![0; length]);
        }
        for size in 1..bytes.len() {
            let mut frames = FrameLengths {
                skip: 7,
                ..FrameLengths::default()
            };
            let pieces = bytes.chunks(size);
            let small: i64 = pieces.map(|piece| frames.small_in(piece)).sum();
            assert_eq!(small, 3, "in pieces of {size}");
        }
    }
}
