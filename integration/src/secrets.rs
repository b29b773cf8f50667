//! Every secret that a suite made, and the search for them in all that was
//! printed.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

/// What nobody may print.
#[derive(Debug, Default)]
pub struct Secrets(Mutex<BTreeMap<String, String>>);

impl Secrets {
    /// Remembers a secret by what it is.
    pub fn add(&self, what: impl Into<String>, secret: impl Into<String>) {
        let mut secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        secrets.insert(secret.into(), what.into());
    }

    /// Fails with the name of a secret that stands in `text`; never prints it.
    pub fn must_not_be_in(&self, place: &str, text: &str) -> Result<()> {
        let secrets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (secret, what) in secrets.iter() {
            if text.contains(secret.as_str()) {
                bail!("{what} stands in {place}");
            }
        }
        Ok(())
    }

    /// Searches a file.
    pub fn must_not_be_in_file(&self, path: &Path) -> Result<()> {
        let bytes =
            std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        self.must_not_be_in(
            &path.display().to_string(),
            &String::from_utf8_lossy(&bytes),
        )
    }

    /// Searches what `ps` shows of a process: its arguments. The environment is
    /// its owner's alone to read.
    pub fn must_not_be_in_arguments(&self, id: u32) -> Result<()> {
        let arguments = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        self.must_not_be_in(
            &format!("the arguments of process {id}"),
            &String::from_utf8_lossy(&arguments),
        )
    }
}
