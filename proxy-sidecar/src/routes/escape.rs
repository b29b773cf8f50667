//! Go's spelling of a path: what `url.URL` sends of what it has read.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// All that Go escapes where it spells a path itself.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// What it leaves as it came, though it would have escaped it.
const LEFT: &[u8] = b"!'()*[]%";

/// The path as it is sent: as it came, or all of it spelled anew if any of it is no
/// part of a URL.
pub(super) fn as_sent(path: &str) -> Cow<'_, str> {
    if path.bytes().all(|byte| PLAIN[usize::from(byte)]) {
        path.into()
    } else {
        spelled(&decoded(path)).into()
    }
}

/// Whether a byte stays as it came. A table: each byte of each path is looked up.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = 0;
    while byte < plain.len() {
        plain[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let kept = [b"-_.~$&+,/:;=@".as_slice(), LEFT];
    let mut list = 0;
    while list < kept.len() {
        let mut at = 0;
        while at < kept[list].len() {
            plain[kept[list][at] as usize] = true;
            at += 1;
        }
        list += 1;
    }
    plain
};

/// A path of these bytes.
pub(crate) fn spelled(path: &[u8]) -> String {
    percent_encode(path, ESCAPED).to_string()
}

/// The bytes that a path stands for.
pub(super) fn decoded(path: &str) -> Vec<u8> {
    match path.contains('%') {
        true => percent_decode_str(path).collect(),
        false => path.into(),
    }
}

/// Whether each `%` begins an escape; Go refuses others.
pub(super) fn escapes_are_whole(path: &str) -> bool {
    path.split('%').skip(1).all(|rest| {
        let hex = rest.as_bytes().get(..2);
        hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As kubectl 1.36 was seen to send them.
    #[test]
    fn paths_are_sent_as_go_sends_them() {
        for (came, sent) in [
            ("/a%2F%2Fb", "/a%2F%2Fb"),
            ("/a/%2e%2e/b", "/a/%2e%2e/b"),
            ("/a\"b", "/a%22b"),
            ("/a|b", "/a%7Cb"),
            ("/a^b{c}", "/a%5Eb%7Bc%7D"),
            ("/a\\b", "/a%5Cb"),
            ("/a`b", "/a%60b"),
            ("/a[b]!(c)*'+,;=:@~", "/a[b]!(c)*'+,;=:@~"),
            ("/a\"b%2Fc!", "/a%22b/c%21"),
            ("/", "/"),
        ] {
            assert_eq!(as_sent(came), sent, "{came}");
        }
        for (path, whole) in [
            ("/a%41", true),
            ("/%zz", false),
            ("/%", false),
            ("/%2", false),
        ] {
            assert_eq!(escapes_are_whole(path), whole, "{path}");
        }
    }
}
