//! Tokens in a text, found in one pass over it: what is looked through comes from
//! strangers.

use std::iter::from_fn;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Input};
use tunnel_protocol::token::TokenKind;

/// What tokens start with: ours, JSON Web Tokens, GitLab's, GitHub's, Slack's.
pub const PREFIXES: [&str; 17] = [
    TokenKind::Connector.prefix(),
    TokenKind::Access.prefix(),
    TokenKind::Sidecar.prefix(),
    "eyJ",
    "glpat-",
    "gldt-",
    "glrt-",
    "glcbt-",
    "glptt-",
    "glagent-",
    "ghp_",
    "gho_",
    "ghs_",
    "ghu_",
    "github_pat_",
    "xoxb-",
    "xoxp-",
];

#[expect(
    clippy::expect_used,
    reason = "it fails beyond two billion states; these have a hundred"
)]
static ANY_PREFIX: LazyLock<AhoCorasick> =
    LazyLock::new(|| AhoCorasick::new(PREFIXES).expect("a few short prefixes"));

/// Where a token stands, in bytes.
pub(super) struct Token {
    pub(super) start: usize,
    /// Where its prefix has ended.
    pub(super) secret: usize,
    pub(super) end: usize,
}

/// All tokens, in order. Each search begins where the token before has ended.
pub(super) fn of(text: &str) -> impl Iterator<Item = Token> {
    let mut from = 0;
    from_fn(move || {
        let prefix = ANY_PREFIX.find(Input::new(text).range(from..))?;
        let behind = text[prefix.end()..].trim_start_matches(is_of_a_token);
        from = text.len() - behind.len();
        Some(Token {
            start: prefix.start(),
            secret: prefix.end(),
            end: from,
        })
    })
}

pub(super) fn is_in(text: &str) -> bool {
    ANY_PREFIX.is_match(text)
}

fn is_of_a_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '%' | '=')
}
