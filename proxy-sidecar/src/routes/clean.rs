//! A path without double slashes and dot segments, as Go's `http.ServeMux` wants it.

/// The path that it redirects to, or the path itself.
pub(super) fn cleaned(path: &str) -> String {
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
    cleaned
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
        }
    }
}
