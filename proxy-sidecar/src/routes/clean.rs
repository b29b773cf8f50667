//! A path without double slashes and dot segments, as Go's `http.ServeMux` wants it.

use std::borrow::Cow;

/// The path that it redirects to, or the path itself.
pub(super) fn cleaned(path: &str) -> Cow<'_, str> {
    if is_clean(path) {
        return path.into();
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            other => segments.push(other),
        }
    }
    let mut cleaned = format!("/{}", segments.join("/"));
    if path.ends_with('/') && cleaned != "/" {
        cleaned.push('/');
    }
    cleaned.into()
}

/// As all but a few are: no segment is empty or begins with a dot.
fn is_clean(path: &str) -> bool {
    let ends = |pair: &[u8]| matches!(pair, [b'/', b'/' | b'.']);
    path.starts_with('/') && !path.as_bytes().windows(2).any(ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_cleans() {
        for (path, clean) in [
            ("/", "/"),
            ("//", "/"),
            ("/a//b", "/a/b"),
            ("/a/./b/", "/a/b/"),
            ("/a/../b", "/b"),
            ("/a/.", "/a"),
            ("/a/..", "/"),
            ("/a/b/../../..", "/"),
            ("/a/b", "/a/b"),
            ("/a%2F%2Fb/%2e%2e", "/a%2F%2Fb/%2e%2e"),
            ("/...", "/..."),
        ] {
            assert_eq!(cleaned(path), clean, "{path}");
            assert!(!is_clean(path) || path == clean, "{path}");
        }
    }
}
