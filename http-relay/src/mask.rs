//! What logs show of what callers wrote: no secret, and not without bound.

mod tokens;

use http::HeaderValue;
use percent_encoding::percent_decode_str;

pub use tokens::PREFIXES;

/// Stands for what is not shown.
const HIDDEN: &str = "…";
/// Bytes that are shown of a path, and of a query.
const TARGET: usize = 2048;
/// Bytes that are shown of anything else. Kubernetes' names have 253 at most.
const SHORT: usize = 256;

/// Bytes that are looked at of a path, and of a query: what is hidden makes them
/// shorter.
const LOOKED_AT: usize = 4 * TARGET;
/// Characters that are shown of a request's id. Ours have 32.
const ID: usize = 64;

/// Bytes of a parameter's name. What is longer is none.
const LONGEST_NAME: usize = 32;

/// Parameters whose values are no secrets, by the conventions of Kubernetes' API.
const SHOWN: [&str; 26] = [
    "allowWatchBookmarks",
    "container",
    "dryRun",
    "fieldManager",
    "fieldSelector",
    "fieldValidation",
    "follow",
    "gracePeriodSeconds",
    "labelSelector",
    "limit",
    "ports",
    "pretty",
    "previous",
    "propagationPolicy",
    "resourceVersion",
    "resourceVersionMatch",
    "sendInitialEvents",
    "sinceSeconds",
    "stderr",
    "stdin",
    "stdout",
    "tailLines",
    "timeoutSeconds",
    "timestamps",
    "tty",
    "watch",
];

/// A path, segment by segment.
#[must_use]
pub fn path(path: &str) -> String {
    if path.len() <= TARGET && !path.contains('%') && !tokens::is_in(path) {
        return path.to_owned();
    }
    pieces(path, '/', part)
}

/// A query: the names, and the values of those that are known to be no secrets.
#[must_use]
pub fn query(query: &str) -> String {
    pieces(query, '&', pair)
}

/// Anything else.
#[must_use]
pub fn text(text: &str) -> String {
    if text.len() <= SHORT && !tokens::is_in(text) {
        return text.to_owned();
    }
    let looked_at = beginning(text, 2 * SHORT);
    // A cut token is still one.
    let mut shown = without_tokens(looked_at);
    if looked_at.len() < text.len() {
        shown.push_str(HIDDEN);
    }
    cut(&shown, SHORT)
}

/// As [`text`], of one that is not needed otherwise.
#[must_use]
pub fn owned(owned: String) -> String {
    match owned.len() <= SHORT && !tokens::is_in(&owned) {
        true => owned,
        false => text(&owned),
    }
}

/// A request's id, which whoever was before us may have made up; `-` if it has none.
#[must_use]
pub fn id(id: Option<&HeaderValue>) -> String {
    let bytes = id.map(HeaderValue::as_bytes).unwrap_or_default();
    let visible = bytes.iter().filter(|byte| byte.is_ascii_graphic());
    let shown: String = visible.take(ID).map(|byte| char::from(*byte)).collect();
    if shown.is_empty() {
        "-".to_owned()
    } else {
        shown
    }
}

/// Masks what stands between the separators. Anybody may send a long target, and
/// only its beginning is looked at.
fn pieces(text: &str, separator: char, mut mask: impl FnMut(&str) -> String) -> String {
    let looked_at = beginning(text, LOOKED_AT);
    let is_cut = looked_at.len() < text.len();
    let mut rest = looked_at.split(separator).peekable();
    let mut shown = String::new();
    while let Some(piece) = rest.next()
        && shown.len() <= TARGET
    {
        let is_last = rest.peek().is_none();
        // What it is, its other half may tell.
        match is_last && is_cut {
            true => shown.push_str(HIDDEN),
            false => shown.push_str(&mask(piece)),
        }
        if !is_last {
            shown.push(separator);
        }
    }
    cut(&shown, TARGET)
}

fn pair(pair: &str) -> String {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    if SHOWN.contains(&name) {
        return match pair.len() == name.len() {
            true => name.to_owned(),
            false => format!("{name}={}", part(value)),
        };
    }
    // Without a value it may be one itself; Base64 ends in equals signs.
    if value.trim_matches('=').is_empty() || name.len() > LONGEST_NAME {
        return HIDDEN.to_owned();
    }
    format!("{}={HIDDEN}", part(name))
}

/// What is percent-encoded, as it is written, unless it is a token.
fn part(text: &str) -> String {
    let mut shown_to = 0;
    for token in tokens::of(text) {
        if is_encoded(&text[shown_to..token.start]) {
            return HIDDEN.to_owned();
        }
        shown_to = token.end;
    }
    match is_encoded(&text[shown_to..]) {
        true => HIDDEN.to_owned(),
        false => without_tokens(text),
    }
}

/// Whether a text without tokens holds one once it is decoded.
fn is_encoded(text: &str) -> bool {
    text.contains('%') && tokens::is_in(&percent_decode_str(text).decode_utf8_lossy())
}

fn without_tokens(text: &str) -> String {
    let mut shown = String::new();
    let mut shown_to = 0;
    for token in tokens::of(text) {
        shown.push_str(&text[shown_to..token.secret]);
        shown.push_str(HIDDEN);
        shown_to = token.end;
    }
    shown + &text[shown_to..]
}

/// At most so many bytes of the text.
fn beginning(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// At most so many bytes, in no more memory than they need: a record is kept as long
/// as its request.
fn cut(text: &str, bytes: usize) -> String {
    let shown = beginning(text, bytes);
    match shown.len() < text.len() {
        true => [shown, HIDDEN].concat(),
        false => shown.to_owned(),
    }
}

#[cfg(test)]
mod tests;
