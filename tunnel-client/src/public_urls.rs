//! Where the server says that callers reach the cluster.

/// As many as are shown: by hostname, by path, and for what may come.
const MOST: usize = 8;
/// Longest one that is shown, bytes: two of the longest names there are.
const LONGEST: usize = 512;

/// What a person is to see of them: a server may be one that was taken over, and what it
/// says ends up in a terminal.
pub(crate) fn shown(urls: Vec<String>) -> Vec<String> {
    let is_shown = |url: &String| {
        let uri = url.parse::<http::Uri>();
        let is_plain = url.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain && url.len() <= LONGEST && uri.is_ok_and(|uri| uri.scheme_str() == Some("https"))
    };
    urls.into_iter().filter(is_shown).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_a_url() {
        let urls = [
            "https://prod.clusters.example.com",
            "http://prod.clusters.example.com",
            "https://a.example/\u{1b}[2J",
            "https://a.example/\u{9b}2J",
            "",
        ];
        let urls = urls.map(str::to_owned).to_vec();
        assert_eq!(shown(urls.clone()), urls[..1]);
        assert_eq!(shown(vec![urls[0].clone(); 20]).len(), MOST);
    }
}
