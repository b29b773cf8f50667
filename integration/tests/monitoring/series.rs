//! The series of a /metrics page.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

/// A series' labels.
pub(crate) type Labels = BTreeMap<String, String>;

/// Series by name.
#[derive(Default)]
pub(crate) struct Series(BTreeMap<String, Vec<Labels>>);

impl Series {
    /// Adds a page in OpenMetrics' text form.
    pub(crate) fn add(&mut self, page: &str) -> Result<()> {
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let (series, _) = line.rsplit_once(' ').with_context(|| line.to_owned())?;
            let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
            let mut read = Labels::new();
            // No value of ours holds a comma or a quote.
            for label in labels.trim_end_matches('}').split(',') {
                if let Some((key, value)) = label.split_once('=') {
                    read.insert(key.to_owned(), value.trim_matches('"').to_owned());
                }
            }
            self.0.entry(name.to_owned()).or_default().push(read);
        }
        Ok(())
    }

    pub(crate) fn of(&self, name: &str) -> Option<&[Labels]> {
        self.0.get(name).map(Vec::as_slice)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// All labels of a metric's.
    pub(crate) fn labels(&self, name: &str) -> BTreeSet<&str> {
        let series = self.of(name).unwrap_or_default();
        series
            .iter()
            .flatten()
            .map(|(key, _)| key.as_str())
            .collect()
    }
}
