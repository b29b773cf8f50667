//! A list's query parameters, as far as they change what a request is.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

/// What is read of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ListOptions {
    pub(crate) watch: bool,
    /// The one object that the field selector asks for.
    pub(crate) name: Option<String>,
}

impl ListOptions {
    pub(crate) fn read(query: &str) -> Self {
        let value = |wanted: &str| parameters(query).find(|(name, _)| name == wanted);
        let watch = value("watch").is_some_and(|(_, value)| is_true(&value));
        let is_damaged = ["limit", "timeoutSeconds"]
            .into_iter()
            .filter_map(value)
            .any(|(_, number)| number.parse::<i64>().is_err());
        let name = value("fieldSelector")
            // The API server gives all of them up for one that it cannot read.
            .filter(|_| !is_damaged)
            .and_then(|(_, selector)| exact_name(&selector))
            .filter(|name| is_segment(name));
        Self { watch, name }
    }
}

/// As Go's `url.ParseQuery`, which leaves out what it cannot read.
fn parameters(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.contains(';'))
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(name)?, decoded(value)?))
        })
}

fn decoded(text: &str) -> Option<Cow<'_, str>> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    let spaced = text.replace('+', " ");
    let plain = percent_decode_str(&spaced).decode_utf8_lossy().into_owned();
    Some(Cow::Owned(plain))
}

fn is_true(value: &str) -> bool {
    !value.eq_ignore_ascii_case("false") && value != "0"
}

/// The value that `metadata.name` must have, if all of the selector can be read.
fn exact_name(selector: &str) -> Option<String> {
    let mut found = None;
    for term in terms(selector).filter(|term| !term.is_empty()) {
        let (field, operator, value) = split(term)?;
        let value = unescaped(value)?;
        if field == "metadata.name" && operator != "!=" && found.is_none() {
            found = Some(value);
        }
    }
    found
}

/// Split at commas that have no backslash before them.
fn terms(selector: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    selector.split(move |c| {
        let ends = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })
}

fn split(term: &str) -> Option<(&str, &str, &str)> {
    let (at, operator) = term.char_indices().find_map(|(at, _)| {
        let rest = &term[at..];
        let operator = ["!=", "==", "="]
            .into_iter()
            .find(|one| rest.starts_with(one));
        operator.map(|operator| (at, operator))
    })?;
    Some((&term[..at], operator, &term[at + operator.len()..]))
}

fn unescaped(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(
                characters
                    .next()
                    .filter(|c| matches!(c, '\\' | ',' | '='))?,
            ),
            ',' | '=' => return None,
            character => plain.push(character),
        }
    }
    Some(plain)
}

/// Whether it could stand in a path.
fn is_segment(name: &str) -> bool {
    !matches!(name, "." | "..") && !name.contains(['/', '%'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_api_server_takes() {
        for (query, watch, name) in [
            ("", false, None),
            ("watch", true, None),
            ("watch=False&watch=1", false, None),
            ("watch=0", false, None),
            ("watch=no", true, None),
            ("wat%63h=%31", true, None),
            ("watch%=1", false, None),
            ("watch=1;x", false, None),
            ("Watch=1", false, None),
            ("fieldSelector=metadata.name=a", false, Some("a")),
            (
                "fieldSelector=spec.nodeName!%3Dx,,metadata.name%3D%3Da",
                false,
                Some("a"),
            ),
            ("fieldSelector=metadata.name!=a", false, None),
            ("fieldSelector=metadata.name=a,b", false, None),
            ("fieldSelector=metadata.name=a%5C,b", false, Some("a,b")),
            ("fieldSelector=metadata.name=a%5Cb", false, None),
            ("fieldSelector=metadata.name=a/b", false, None),
            ("fieldSelector=metadata.name=..", false, None),
            ("fieldSelector=metadata.name=a&limit=x&watch=1", true, None),
        ] {
            let name = name.map(str::to_owned);
            assert_eq!(
                ListOptions::read(query),
                ListOptions { watch, name },
                "{query}"
            );
        }
    }
}
