//! What logs show of what callers wrote: no secret, and not without bound.

use percent_encoding::percent_decode_str;
use tunnel_protocol::token::TokenKind;

/// Stands for what is not shown.
const HIDDEN: &str = "…";
/// Bytes that are shown of a path, and of a query.
const TARGET: usize = 2048;
/// Bytes that are shown of anything else. Kubernetes' names have 253 at most.
const SHORT: usize = 256;

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

/// What tokens start with: ours, JSON Web Tokens, GitLab's, GitHub's, Slack's.
const TOKENS: [&str; 17] = [
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

/// A path, segment by segment.
#[must_use]
pub fn path(path: &str) -> String {
    let segments: Vec<_> = path.split('/').map(part).collect();
    cut(segments.join("/"), TARGET)
}

/// A query: the names, and the values of those that are known to be no secrets.
#[must_use]
pub fn query(query: &str) -> String {
    let pairs: Vec<_> = query.split('&').map(pair).collect();
    cut(pairs.join("&"), TARGET)
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

/// What is percent-encoded, as it is written.
fn part(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8_lossy();
    if decoded != text && first_token(&decoded).is_some() && first_token(text).is_none() {
        return HIDDEN.to_owned();
    }
    without_tokens(text)
}

/// Anything else.
#[must_use]
pub fn text(text: &str) -> String {
    // Before it is looked through, as it may be long; a cut token is still one.
    cut(without_tokens(&cut(text.to_owned(), 2 * SHORT)), SHORT)
}

fn without_tokens(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((at, prefix)) = first_token(rest) {
        shown.push_str(&rest[..at + prefix.len()]);
        shown.push_str(HIDDEN);
        rest = rest[at + prefix.len()..].trim_start_matches(is_of_a_token);
    }
    shown + rest
}

fn first_token(text: &str) -> Option<(usize, &'static str)> {
    TOKENS
        .iter()
        .filter_map(|prefix| Some((text.find(prefix)?, *prefix)))
        .min()
}

fn is_of_a_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '%' | '=')
}

fn cut(mut text: String, bytes: usize) -> String {
    if text.len() > bytes {
        let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or_default());
        text.push_str(HIDDEN);
    }
    text
}

#[cfg(test)]
mod tests {
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
}
