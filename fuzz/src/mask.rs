//! What logs show of a target, a header or a message: no token, and not without
//! bound.

use http_relay::mask::{self, PREFIXES};
use percent_encoding::percent_decode_str;

/// Stands for what is hidden.
const HIDDEN: &str = "…";
/// Bytes that are shown at most, of a path or query and of anything else.
const TARGET: usize = 2048 + HIDDEN.len();
const TEXT: usize = 256 + HIDDEN.len();
/// What a short input has to be as a whole, too: with a long tail, which is cut.
const TAIL: usize = 10_000;

/// Where a token begins, it also ends: behind its prefix nothing of it is shown.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    shown(&text);
    // Long ones are cut somewhere.
    if let Some(last) = text.chars().last() {
        shown(&(text.clone().into_owned() + &last.to_string().repeat(TAIL)));
        shown(&text.repeat(TAIL / text.len() + 1));
    }
}

fn shown(text: &str) {
    for target in [mask::path(text), mask::query(text)] {
        assert!(target.len() <= TARGET, "{} bytes", target.len());
        assert_eq!(target.capacity(), target.len());
        holds_no_token(&target);
        // Nor does it for whoever decodes it.
        holds_no_token(&percent_decode_str(&target).decode_utf8_lossy());
    }
    let shown = mask::text(text);
    assert!(shown.len() <= TEXT, "{} bytes", shown.len());
    holds_no_token(&shown);
}

fn holds_no_token(shown: &str) {
    for prefix in PREFIXES {
        for (at, _) in shown.match_indices(prefix) {
            let behind = &shown[at + prefix.len()..];
            assert!(behind.starts_with(HIDDEN), "{prefix} in {shown:?}");
        }
    }
}
