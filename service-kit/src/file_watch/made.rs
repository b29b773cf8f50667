//! What is made of files and made anew when they say something else; for whoever asks
//! for it now and then, and needs no word of the change.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Content, FileFault, digest, read};

/// What reading a file gave.
pub type Reading = Result<Content, FileFault>;

/// Makes it of what was read of the files, in their order.
type Make<T, E> = dyn Fn(&[Reading]) -> Result<T, E> + Send + Sync;

/// The last good one stays, and a fault is told once.
pub struct MadeOfFiles<T, E> {
    /// For the log.
    what: &'static str,
    files: Vec<PathBuf>,
    make: Box<Make<T, E>>,
    state: Mutex<State<T>>,
}

struct State<T> {
    made: Arc<T>,
    looked: Instant,
    /// Of what it was made of.
    digests: Digests,
    /// Of what could not be used.
    faulty: Option<Digests>,
}

/// Nothing for a file that cannot be read.
type Digests = Vec<Option<[u8; 32]>>;

impl<T, E: fmt::Display> MadeOfFiles<T, E> {
    /// Reads the files, small ones; `what` is what the log calls it, in the plural.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn new(
        what: &'static str,
        files: Vec<PathBuf>,
        make: impl Fn(&[Reading]) -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Self, E> {
        let (readings, digests) = read_all(&files);
        let state = State {
            made: Arc::new(make(&readings)?),
            looked: Instant::now(),
            digests,
            faulty: None,
        };
        Ok(Self {
            what,
            files,
            make: Box::new(make),
            state: Mutex::new(state),
        })
    }

    /// What the files say now.
    pub fn look(&self) -> Arc<T> {
        self.look_in(&mut self.lock())
    }

    /// What they said when somebody looked last, if that is less than `time` ago; else
    /// what they say now.
    pub fn within(&self, time: Duration) -> Arc<T> {
        let mut state = self.lock();
        match state.looked.elapsed() < time {
            true => state.made.clone(),
            false => self.look_in(&mut state),
        }
    }

    fn look_in(&self, state: &mut State<T>) -> Arc<T> {
        state.looked = Instant::now();
        // A few kilobytes: not worth a thread.
        let (readings, digests) = read_all(&self.files);
        if digests == state.digests {
            state.faulty = None;
            return state.made.clone();
        }
        let what = self.what;
        match (self.make)(&readings) {
            Ok(made) => {
                tracing::info!(files = ?self.files, "{what} changed: new connections use them");
                state.made = Arc::new(made);
                state.digests = digests;
                state.faulty = None;
            }
            Err(error) if state.faulty.as_ref() != Some(&digests) => {
                tracing::warn!(%error, "{what} changed and cannot be used: the last good ones stay");
                state.faulty = Some(digests);
            }
            Err(_) => {}
        }
        state.made.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, E> fmt::Debug for MadeOfFiles<T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MadeOfFiles");
        shown.field("files", &self.files).finish_non_exhaustive()
    }
}

fn read_all(files: &[PathBuf]) -> (Vec<Reading>, Digests) {
    let readings: Vec<_> = files.iter().map(|path| read(path)).collect();
    let digests = readings.iter();
    let digests = digests.map(|reading| Some(digest(reading.as_ref().ok()?)));
    let digests = digests.collect();
    (readings, digests)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn it_is_what_the_files_say_and_the_last_good_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let write = |text: &str| std::fs::write(&path, text).unwrap();
        let make = |readings: &[Reading]| {
            let text = readings[0].as_ref().map_err(ToString::to_string)?;
            let text = String::from_utf8_lossy(text);
            text.parse::<u32>().map_err(|error| error.to_string())
        };
        write("one");
        MadeOfFiles::new("numbers", vec![path.clone()], make).unwrap_err();
        write("1");
        let made = MadeOfFiles::new("numbers", vec![path.clone()], make).unwrap();
        let first = made.look();
        assert_eq!(*first, 1);
        assert!(Arc::ptr_eq(&first, &made.look()), "made once");
        for faulty in ["two", "two", ""] {
            write(faulty);
            assert_eq!(*made.look(), 1, "{faulty}");
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(*made.look(), 1);
        write("2");
        assert_eq!(*made.within(LONG), 1, "just looked");
        assert_eq!(*made.within(Duration::ZERO), 2);
        assert_eq!(*made.within(LONG), 2);
    }
}
