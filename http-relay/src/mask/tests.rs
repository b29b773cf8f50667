//! What is shown, beside the plain form, which looks through everything.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

const TOKEN: &str = "culvert_access_abc234";
const JWT: &str = "eyJhbGciOi.eyJpc3Mi.c2ln-_";

#[test]
fn only_known_parameters_show_their_values() {
    for (given, shown) in [
        ("watch=1&token=abc&limit=5", "watch=1&token=…&limit=5"),
        (
            "command=sh&command=-c&container=app",
            "command=…&command=…&container=app",
        ),
        ("watch&x&", "watch&…&…"),
        ("c2VjcmV0==&x=", "…&…"),
        ("watch=eyJabc", "watch=eyJ…"),
        ("Watch=1&=x", "Watch=…&=…"),
        ("labelSelector=app%3Dx", "labelSelector=app%3Dx"),
        ("labelSelector=a%3D%65yJabc", "labelSelector=…"),
        ("culvert_access_abc", "…"),
        ("glpat-abc=1", "glpat-…=…"),
    ] {
        assert_eq!(query(given), shown);
    }
}

#[test]
fn tokens_are_hidden_wherever_they_stand() {
    assert_eq!(
        path(&format!("/api/v1/{TOKEN}/x/a{JWT}b/glpat-x_y")),
        "/api/v1/culvert_access_…/x/aeyJ…/glpat-…"
    );
    assert_eq!(path("/api/%63ulvert_access_abc/x"), "/api/…/x");
    assert_eq!(path("/api/v1/namespaces/a%20b"), "/api/v1/namespaces/a%20b");
    assert_eq!(
        text(&format!("curl/8 ({TOKEN}; ghp_abc)")),
        "curl/8 (culvert_access_…; ghp_…)"
    );
}

#[test]
fn nothing_is_without_bound() {
    assert_eq!(text(&"ä".repeat(10_000)), "ä".repeat(SHORT / 2) + HIDDEN);
    let long = format!("/{}", "a/".repeat(10_000));
    assert!(path(&long).len() <= TARGET + HIDDEN.len());
    assert!(query(&"watch=1&".repeat(10_000)).len() <= TARGET + HIDDEN.len());
}

#[test]
fn what_is_encoded_hides_beside_what_is_not() {
    for (given, shown) in [
        ("/eyJabc!%65yJdef/x", "/…/x"),
        ("/%aeyJabc!%65yJdef", "/…"),
        ("/a%20eyJabc!%20b", "/a%20eyJ…!%20b"),
    ] {
        assert_eq!(path(given), shown);
    }
}

#[test]
fn a_half_that_is_cut_off_is_not_shown() {
    let before = "a/".repeat(LOOKED_AT / 2 - 4);
    // As a whole the last one is hidden, for what it has behind the cut.
    let long = format!("/{before}harmless%2Fharmless%2F%65yJabc");
    let mut pieces_of_it = Vec::new();
    pieces(&long, '/', |piece| {
        pieces_of_it.push(piece.to_owned());
        String::new()
    });
    assert!(pieces_of_it.iter().all(|piece| piece.len() <= 1));
    let one = "x".repeat(LOOKED_AT + 1);
    assert_eq!(path(&format!("/{one}")), "/…");
    assert_eq!(query(&format!("watch=1&labelSelector={one}")), "watch=1&…");
}

/// 64 KiB of what each search could stop at.
fn costly() -> [String; 3] {
    ["eyJ!", "a/", "eyJ&"].map(|one| one.repeat(64 * 1024 / one.len()))
}

#[test]
fn no_more_is_looked_at_than_could_be_shown() {
    for long in costly() {
        for separator in ['/', '&'] {
            let mut looked_at = 0;
            pieces(&long, separator, |piece| {
                looked_at += piece.len();
                piece.to_owned()
            });
            assert!(looked_at <= LOOKED_AT, "{looked_at}");
        }
    }
}

#[test]
fn tokens_are_found_in_one_pass() {
    for long in costly() {
        let mut searched_to = 0;
        for token in tokens::of(&long) {
            assert!(token.start >= searched_to && token.end >= token.secret);
            searched_to = token.end;
        }
        assert!(tokens::of(&long).count() <= long.len() / 3);
    }
}

#[test]
fn what_is_kept_takes_no_more_memory_than_it_needs() {
    for long in costly() {
        for shown in [path(&long), query(&long), text(&long)] {
            assert!(shown.capacity() <= TARGET + HIDDEN.len());
            assert_eq!(shown.capacity(), shown.len());
        }
    }
}

#[test]
fn an_id_is_short_and_visible() {
    let shown = |bytes: &[u8]| id(Some(&HeaderValue::from_bytes(bytes).unwrap()));
    assert_eq!(shown(b"0123abcd"), "0123abcd");
    assert_eq!(shown(b"a b\tc\xffd"), "abcd");
    assert_eq!(shown(&b"x".repeat(60_000)), "x".repeat(ID));
    assert_eq!(shown(b"\xff"), "-");
    assert_eq!(id(None), "-");
}

/// The first token, by a search for each kind.
fn first(text: &str) -> Option<(usize, &'static str)> {
    let found = PREFIXES.iter();
    let found = found.filter_map(|prefix| Some((text.find(prefix)?, *prefix)));
    found.min()
}

fn plain_without_tokens(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some((at, prefix)) = first(rest) {
        shown += &rest[..at + prefix.len()];
        shown += HIDDEN;
        rest = rest[at + prefix.len()..].trim_start_matches(|c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '%' | '=')
        });
    }
    shown + rest
}

fn plain(piece: &str) -> String {
    let decoded = percent_decode_str(piece).decode_utf8_lossy();
    match first(&decoded).is_some() && first(piece).is_none() {
        true => HIDDEN.to_owned(),
        false => plain_without_tokens(piece),
    }
}

/// A pair of a query; of those that show their values `target` makes one alone.
fn plain_pair(pair: &str) -> String {
    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
    match name {
        "watch" if pair == name => name.to_owned(),
        "watch" => format!("{name}={}", plain(value)),
        _ if value.trim_matches('=').is_empty() || name.len() > LONGEST_NAME => HIDDEN.to_owned(),
        _ => format!("{}={HIDDEN}", plain(name)),
    }
}

/// Fragments of targets, so often that some are cut.
fn target() -> impl Strategy<Value = String> {
    const OTHERS: &[&str] = &[
        "eyJ", "%65yJ", "%65", "%", "%a", "culvert_", "access_", "a", "é", "!", "/", "&", "=", "…",
        "watch=", "token=", "c2VjcmV0",
    ];
    let fragment = select([&PREFIXES, OTHERS].concat());
    (vec(fragment, 0..60), 1..50_usize).prop_map(|(fragments, times)| {
        let once = fragments.concat();
        once.repeat(times)
    })
}

/// Each piece is the plain form's, or less of it.
fn shows_no_more(shown: &str, target: &str, separator: char, plain: fn(&str) -> String) {
    for (shown, piece) in shown.split(separator).zip(target.split(separator)) {
        let plain = plain(piece);
        // A name and its value are masked each by itself.
        for (shown, plain) in shown.splitn(2, '=').zip(plain.splitn(2, '=')) {
            // Where it was cut, what may have become a token is hidden, too.
            let begins = shown.trim_end_matches(HIDDEN);
            assert!(plain.starts_with(begins), "{shown} of {plain}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_shown_that_the_plain_form_hides(target in target()) {
        shows_no_more(&path(&target), &target, '/', plain);
        shows_no_more(&query(&target), &target, '&', plain_pair);
        assert_eq!(without_tokens(&target), plain_without_tokens(&target));
        let as_a_text = text(&target);
        let shown = as_a_text.trim_end_matches(HIDDEN);
        assert!(plain_without_tokens(&target).starts_with(shown), "{shown}");
        for shown in [path(&target), query(&target)] {
            assert!(shown.len() <= TARGET + HIDDEN.len());
        }
    }
}
