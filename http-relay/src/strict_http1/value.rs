//! Values that are read while they come, without being kept.

/// One decimal number, with white space behind it at most.
#[derive(Clone, Debug, Default)]
pub(super) struct Length {
    value: u64,
    digits: u8,
    ended: bool,
}

/// As many digits as always fit.
const LENGTH_DIGITS: u8 = 19;

impl Length {
    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        match byte {
            b' ' | b'\t' => self.ended = true,
            b'0'..=b'9' if !self.ended && self.digits < LENGTH_DIGITS => {
                self.value = self.value * 10 + u64::from(byte - b'0');
                self.digits += 1;
            }
            _ => return None,
        }
        Some(())
    }

    pub(super) fn value(&self) -> Option<u64> {
        (self.digits > 0).then_some(self.value)
    }
}

/// One word in any case, with white space behind it at most.
#[derive(Clone, Debug)]
pub(super) struct Word {
    left: &'static [u8],
}

impl Word {
    /// `word` in lower case.
    pub(super) fn new(word: &'static [u8]) -> Self {
        Self { left: word }
    }

    pub(super) fn take(&mut self, byte: u8) -> Option<()> {
        match self.left {
            [] => matches!(byte, b' ' | b'\t').then_some(()),
            [first, left @ ..] if byte.eq_ignore_ascii_case(first) => {
                self.left = left;
                Some(())
            }
            _ => None,
        }
    }

    pub(super) fn whole(&self) -> bool {
        self.left.is_empty()
    }
}

/// Whether one of a list's tokens is a word, in any case.
#[derive(Clone, Debug)]
pub(super) struct Token {
    word: &'static [u8],
    /// What of the word is missing in this token; nothing where it is another one.
    current: Option<Word>,
    begun: bool,
    found: bool,
}

impl Token {
    /// `word` in lower case.
    pub(super) fn new(word: &'static [u8]) -> Self {
        Self {
            word,
            current: Some(Word::new(word)),
            begun: false,
            found: false,
        }
    }

    pub(super) fn take(&mut self, byte: u8) {
        match byte {
            b',' => {
                *self = Self {
                    found: self.found(),
                    ..Self::new(self.word)
                }
            }
            b' ' | b'\t' if !self.begun => {}
            _ => {
                self.begun = true;
                self.current = self
                    .current
                    .take()
                    .and_then(|mut word| word.take(byte).map(|()| word));
            }
        }
    }

    pub(super) fn found(&self) -> bool {
        self.found || self.current.as_ref().is_some_and(Word::whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_as_the_gateway_finds_it() {
        for (value, found) in [
            ("upgrade", true),
            ("Upgrade", true),
            ("keep-alive, Upgrade", true),
            ("keep-alive ,\tUPGRADE\t , x", true),
            ("upgrade,", true),
            (",upgrade", true),
            ("upgraded", false),
            ("up grade", false),
            ("xupgrade", false),
            ("upgrade x", false),
            ("", false),
            ("\"upgrade\"", false),
        ] {
            let mut token = Token::new(b"upgrade");
            value.bytes().for_each(|byte| token.take(byte));
            assert_eq!(token.found(), found, "{value:?}");
            let mut headers = http::HeaderMap::new();
            headers.insert(http::header::CONNECTION, value.parse().unwrap());
            let read = crate::headers::has_token(&headers, &http::header::CONNECTION, "upgrade");
            assert_eq!(read, found, "{value:?}");
        }
    }
}
