//! Reads a YAML document piece by piece and collects every fault on the way,
//! each with the key it was found at. A derived deserializer stops at the first.

use std::collections::BTreeSet;

use serde_json::{Map, Value};
use tunnel_protocol::token::TokenKind;

/// The faults so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    faults: Vec<String>,
}

/// A mapping of the document, at a key; notes which of its keys were read.
#[derive(Debug)]
pub(super) struct Section<'a> {
    at: String,
    entries: Option<&'a Map<String, Value>>,
    known: BTreeSet<&'static str>,
}

/// Faults repeat names and keys: a token that was put in their place is not to be
/// seen.
pub(super) fn without_tokens(fault: &str) -> String {
    let mut shown = String::new();
    let mut rest = fault;
    let kinds = [TokenKind::Connector, TokenKind::Access, TokenKind::Sidecar];
    while let Some((at, prefix)) = kinds
        .iter()
        .filter_map(|kind| Some((rest.find(kind.prefix())?, kind.prefix())))
        .min()
    {
        shown.push_str(&rest[..at + prefix.len()]);
        shown.push('…');
        rest = rest[at + prefix.len()..].trim_start_matches(|c: char| c.is_ascii_alphanumeric());
    }
    shown + rest
}

impl Reader {
    pub(super) fn fault(&mut self, at: &str, what: impl std::fmt::Display) {
        self.faults.push(without_tokens(&format!("{at}: {what}")));
    }

    pub(super) fn into_faults(self) -> Vec<String> {
        self.faults
    }

    pub(super) fn section<'a>(&mut self, at: &str, value: &'a Value) -> Section<'a> {
        let entries = value.as_object();
        if entries.is_none() {
            self.fault(
                if at.is_empty() { "the document" } else { at },
                "is not a mapping",
            );
        }
        Section {
            at: at.to_owned(),
            entries,
            known: BTreeSet::new(),
        }
    }

    /// Faults whatever of the section was not asked for.
    pub(super) fn close(&mut self, section: &Section<'_>) {
        for key in section.entries.into_iter().flat_map(Map::keys) {
            if !section.known.contains(key.as_str()) {
                let known: Vec<_> = section.known.iter().copied().collect();
                self.fault(
                    &section.path(key),
                    format!("unknown key; known here: {}", known.join(", ")),
                );
            }
        }
    }
}

impl<'a> Section<'a> {
    pub(super) fn path(&self, key: &str) -> String {
        if self.at.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.at)
        }
    }

    /// Whether there is anything to read; a section that is not a mapping has
    /// been faulted already, and its missing keys need no fault of their own.
    fn readable(&self) -> bool {
        self.entries.is_some()
    }

    pub(super) fn get(&mut self, key: &'static str) -> Option<&'a Value> {
        self.known.insert(key);
        self.entries?.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, reader: &mut Reader, key: &'static str) -> Option<&'a str> {
        let value = self.get(key)?;
        if value.as_str().is_none() {
            reader.fault(&self.path(key), "is not a text");
        }
        value.as_str()
    }

    /// A text that is parsed; a text that cannot be is a fault with its reason.
    pub(super) fn parsed<T, E: std::fmt::Display>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = self.text(reader, key)?;
        parse(text)
            .map_err(|error| reader.fault(&self.path(key), error))
            .ok()
    }

    /// As [`Self::parsed`], and a missing key is a fault that says what to give.
    pub(super) fn required<T, E: std::fmt::Display>(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        if self.get(key).is_none() {
            if self.readable() {
                reader.fault(&self.path(key), format!("missing; give {what}"));
            }
            return None;
        }
        self.parsed(reader, key, parse)
    }

    /// The items of a list, each with its path; nothing when there is no list.
    pub(super) fn items(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
    ) -> Vec<(String, &'a Value)> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let Some(items) = value.as_array() else {
            reader.fault(&self.path(key), "is not a list");
            return Vec::new();
        };
        let path = self.path(key);
        items
            .iter()
            .enumerate()
            .map(|(index, item)| (format!("{path}[{index}]"), item))
            .collect()
    }

    /// A mapping of texts.
    pub(super) fn texts(
        &mut self,
        reader: &mut Reader,
        key: &'static str,
    ) -> Vec<(String, String)> {
        let Some(value) = self.get(key) else {
            return Vec::new();
        };
        let section = reader.section(&self.path(key), value);
        let mut texts = Vec::new();
        for (name, value) in section.entries.into_iter().flatten() {
            match value.as_str() {
                Some(text) => texts.push((name.clone(), text.to_owned())),
                None => reader.fault(&section.path(name), "is not a text; put it in quotes"),
            }
        }
        texts
    }
}
