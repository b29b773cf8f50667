//! Notices that files' content has changed, by looking: it works the same on every
//! file system, and through the symbolic links that Kubernetes swaps. Files that
//! belong together, as a certificate and its key, are watched as one.

mod made;
mod read;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep};

pub use made::{MadeOfFiles, Reading};
pub use read::{Content, Fault, FileFault, LARGEST, read};

use crate::tasks::blocking;

/// Time between two looks. With [`SETTLE`] it keeps a change well under the
/// second in which a revocation has to act.
const LOOK: Duration = Duration::from_millis(200);

/// Two reads this far apart must agree, so that no half-written file is taken.
const SETTLE: Duration = Duration::from_millis(50);

/// How long a fault lasts until it is told: many a program removes or empties a
/// file before it writes it anew.
const FAULT_LASTS: Duration = Duration::from_secs(1);

/// How long files may change at each look until that is told.
const UNSETTLED_LASTS: Duration = Duration::from_secs(5);

/// A write this long ago has another time than the next one. Clocks of file systems
/// tick every few milliseconds, those of some in seconds.
const CLOCK_TICKS: Duration = Duration::from_secs(2);

/// What has become of the files.
#[derive(Debug)]
pub enum Event {
    /// Other content than before, of all of them in their order. None is empty.
    Changed(Vec<Content>),
    /// One of them gives nothing; told once for each fault. The last good content
    /// stays what it was.
    Faulty(FileFault),
    /// They are again as they were before the fault.
    Restored,
}

/// Watches files as one.
#[derive(Debug)]
pub struct FileWatch {
    paths: Vec<PathBuf>,
    largest: u64,
    /// Of the last content that was handed out: the content may be a secret.
    current: Option<Fingerprint>,
    seen: Option<Vec<Stamp>>,
    told: Option<FileFault>,
    /// A fault that is not told yet, and since when.
    pending: Option<(FileFault, Instant)>,
    unsettled: Option<Instant>,
}

type Fingerprint = Vec<[u8; 32]>;
type Look = Result<(Vec<Content>, Fingerprint), FileFault>;

/// What changes when a file is written, replaced or forbidden; cheaper than its
/// content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    /// Seconds and nanoseconds since 1970.
    changed: (i64, i64),
    inode: u64,
    len: u64,
}

impl FileWatch {
    /// Watches files whose content is not known yet: it is told as a change.
    #[must_use]
    pub fn new(paths: &[&Path]) -> Self {
        Self {
            paths: paths.iter().map(|path| path.to_path_buf()).collect(),
            largest: LARGEST,
            current: None,
            seen: None,
            told: None,
            pending: None,
            unsettled: None,
        }
    }

    /// As [`Self::new`], with what they hold now, in the order of the paths.
    #[must_use]
    pub fn with_contents<'a>(
        paths: &[&Path],
        contents: impl IntoIterator<Item = &'a [u8]>,
    ) -> Self {
        Self {
            current: Some(contents.into_iter().map(digest).collect()),
            ..Self::new(paths)
        }
    }

    /// Waits for content that is other than before, not empty and the same for a
    /// moment; or for a fault that lasts.
    ///
    /// Cancel safe.
    pub async fn next(&mut self) -> Event {
        loop {
            let stamps = self.stamps().await;
            if (stamps.is_none() || stamps != self.seen || self.told.is_some())
                && let Some(event) = self.look(stamps).await
            {
                return event;
            }
            sleep(LOOK).await;
        }
    }

    async fn look(&mut self, stamps: Option<Vec<Stamp>>) -> Option<Event> {
        let Some(contents) = self.settled().await else {
            return self.changes_on();
        };
        self.unsettled = None;
        let (contents, found) = match contents {
            Ok(read) => read,
            Err(fault) => return self.fails(fault),
        };
        self.pending = None;
        // Not before they were read, and not what a write could leave as it is.
        self.seen = stamps.filter(|stamps| stamps.iter().all(Stamp::is_old));
        let restored = self.told.take().is_some();
        if self.current.as_ref() == Some(&found) {
            return restored.then_some(Event::Restored);
        }
        self.current = Some(found);
        Some(Event::Changed(contents))
    }

    /// Nothing, if two reads disagree.
    async fn settled(&self) -> Option<Look> {
        let first = self.read().await;
        if let Ok((_, found)) = &first
            && self.current.as_ref() == Some(found)
        {
            return Some(first);
        }
        sleep(SETTLE).await;
        let second = self.read().await;
        let agree = match (&first, &second) {
            (Ok((_, one)), Ok((_, other))) => one == other,
            (Err(one), Err(other)) => one == other,
            _ => false,
        };
        agree.then_some(first)
    }

    async fn read(&self) -> Look {
        let (paths, largest) = (self.paths.clone(), self.largest);
        blocking(move || {
            let read = |path: &PathBuf| {
                let content = read::read_at_most(path, largest)?;
                if content.is_empty() {
                    return Err(FileFault::new(path, Fault::Empty));
                }
                Ok(content)
            };
            let contents: Vec<_> = paths.iter().map(read).collect::<Result<_, _>>()?;
            let fingerprint = contents.iter().map(|content| digest(content)).collect();
            Ok((contents, fingerprint))
        })
        .await
    }

    fn fails(&mut self, fault: FileFault) -> Option<Event> {
        if self.told.as_ref() == Some(&fault) {
            return None;
        }
        match &self.pending {
            Some((pending, since)) if *pending == fault => {
                (since.elapsed() >= FAULT_LASTS).then(|| self.tell(fault))
            }
            _ => {
                self.pending = Some((fault, Instant::now()));
                None
            }
        }
    }

    fn changes_on(&mut self) -> Option<Event> {
        let since = *self.unsettled.get_or_insert_with(Instant::now);
        let fault = FileFault::new(self.paths.first()?, Fault::Unsettled);
        let is_news = self.told.as_ref() != Some(&fault);
        (is_news && since.elapsed() >= UNSETTLED_LASTS).then(|| self.tell(fault))
    }

    fn tell(&mut self, fault: FileFault) -> Event {
        self.pending = None;
        self.told = Some(fault.clone());
        Event::Faulty(fault)
    }

    async fn stamps(&self) -> Option<Vec<Stamp>> {
        let paths = self.paths.clone();
        blocking(move || paths.iter().map(|path| Stamp::of(path)).collect()).await
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            len: metadata.len(),
        })
    }

    fn is_old(&self) -> bool {
        let Ok(since_1970) = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) else {
            return false;
        };
        let now = i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX);
        now.abs_diff(self.changed.0) > CLOCK_TICKS.as_secs()
    }
}

fn digest(content: &[u8]) -> [u8; 32] {
    Sha256::digest(content).into()
}

#[cfg(test)]
mod tests;
