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

/// So it is with all but a few, which then need no copy.
fn is_clean(path: &str) -> bool {
    let Some(below) = path.strip_prefix('/') else {
        return false;
    };
    let below = below.strip_suffix('/').unwrap_or(below);
    path == "/"
        || below
            .split('/')
            .all(|segment| !matches!(segment, "" | "." | ".."))
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
            assert_eq!(is_clean(path), path == clean, "{path}");
        }
    }
}
