//! The ways to authenticate that a proxy asks for (RFC 9110, section 11.6.1).

use http::HeaderMap;
use http::header::PROXY_AUTHENTICATE;

/// As many of them are read, and as much of a name, characters: it is a stranger's.
const MOST: usize = 8;
const LONGEST: usize = 32;

/// The schemes that `Proxy-Authenticate` names, each once.
pub(super) fn schemes(headers: &HeaderMap) -> Vec<String> {
    let mut schemes: Vec<String> = Vec::new();
    for value in headers.get_all(PROXY_AUTHENTICATE) {
        let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
        for scheme in unquoted(&text).split(',').filter_map(scheme) {
            let is_known = schemes.iter().any(|one| one.eq_ignore_ascii_case(scheme));
            if !is_known && schemes.len() < MOST {
                schemes.push(scheme.chars().take(LONGEST).collect());
            }
        }
    }
    schemes
}

/// A list's element names a scheme unless it only is a parameter of the one before,
/// `name=value`.
fn scheme(element: &str) -> Option<&str> {
    let element = element.trim();
    let end = element.find([' ', '\t', '=']).unwrap_or(element.len());
    let (name, rest) = element.split_at(end);
    let is_parameter = rest.trim_start().starts_with('=');
    let is_token = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    (is_token && !is_parameter).then_some(name)
}

/// Without what stands in quotation marks, where commas separate nothing.
fn unquoted(text: &str) -> String {
    let mut outside = String::new();
    let (mut is_quoted, mut is_escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if !is_quoted => outside.push(c),
            _ => {}
        }
    }
    outside
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn schemes_as_proxies_write_them() {
        for (lines, expected) in [
            (vec![], vec![]),
            (vec!["Basic realm=\"x\""], vec!["Basic"]),
            (
                vec!["Negotiate", "NTLM", "Basic realm=\"x\""],
                vec!["Negotiate", "NTLM", "Basic"],
            ),
            (vec!["Negotiate, NTLM,ntlm"], vec!["Negotiate", "NTLM"]),
            (
                vec![
                    "Digest realm=\"Basic, \\\"NTLM, a\", nonce = \"b\", qop=\"auth\", Negotiate abc==",
                ],
                vec!["Digest", "Negotiate"],
            ),
            (vec!["", " , ", "realm=\"x\""], vec![]),
        ] {
            let mut headers = HeaderMap::new();
            for line in &lines {
                headers.append(PROXY_AUTHENTICATE, HeaderValue::from_str(line).unwrap());
            }
            assert_eq!(schemes(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn what_a_stranger_names_is_bounded() {
        let mut headers = HeaderMap::new();
        for number in 0..100 {
            let line = format!("{number}{}", "x".repeat(1000));
            headers.append(PROXY_AUTHENTICATE, HeaderValue::try_from(line).unwrap());
        }
        let schemes = schemes(&headers);
        assert_eq!(schemes.len(), MOST);
        assert!(schemes.iter().all(|scheme| scheme.len() == LONGEST));
    }
}
