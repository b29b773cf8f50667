//! What load balancers write down of the way that a request has come: `Forwarded`
//! (RFC 7239), or the older `X-Forwarded-For`. Each one adds where the request came to
//! it from at the end; before that stands whatever anybody has sent.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::ops::ControlFlow;

use http::header::FORWARDED;
use http::{HeaderMap, HeaderName};

use crate::client_address::ClientAddress;

/// Which header load balancers write. The other one may be a caller's, so that only one
/// is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ForwardedHeader {
    #[default]
    XForwardedFor,
    Forwarded,
}

/// `X-Forwarded-For`
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

impl ForwardedHeader {
    /// Reads its name, in any case.
    ///
    /// # Errors
    /// What is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        [Self::XForwardedFor, Self::Forwarded]
            .into_iter()
            .find(|header| text.eq_ignore_ascii_case(header.name().as_str()))
            .ok_or("is neither X-Forwarded-For nor Forwarded")
    }

    fn name(self) -> HeaderName {
        match self {
            Self::XForwardedFor => X_FORWARDED_FOR,
            Self::Forwarded => FORWARDED,
        }
    }

    /// Shows each hop from the last one back, until `look` breaks; nothing stands for
    /// one that is no address.
    pub(crate) fn back(
        self,
        headers: &HeaderMap,
        mut look: impl FnMut(Option<ClientAddress>) -> ControlFlow<()>,
    ) {
        let lines = headers.get_all(self.name()).iter().rev();
        for line in lines {
            let looked = match self {
                // Each hop for itself: what a caller has written before the load
                // balancer's own may be no text.
                Self::XForwardedFor => line
                    .as_bytes()
                    .rsplit(|byte| *byte == b',')
                    .map(<[u8]>::trim_ascii)
                    .filter(|hop| !hop.is_empty())
                    .map(|hop| std::str::from_utf8(hop).ok().and_then(address))
                    .try_for_each(&mut look),
                // A quoted text may hold a comma, but ends with its line.
                Self::Forwarded => match line.to_str().ok().and_then(elements) {
                    Some(elements) => elements
                        .iter()
                        .rev()
                        .try_for_each(|hop| look(hop.as_deref().and_then(node))),
                    None => look(None),
                },
            };
            if looked.is_break() {
                return;
            }
        }
    }
}

/// As they are written: an address, with or without brackets and a port.
fn address(text: &str) -> Option<ClientAddress> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.into());
    }
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse::<IpAddr>().ok(),
    }
    .map(ClientAddress::from)
}

/// RFC 7239, section 6: `unknown` and what begins with an underscore hide an address; a
/// port may be hidden, too.
fn node(text: &str) -> Option<ClientAddress> {
    address(text).or_else(|| address(text.rsplit_once(":_")?.0))
}

/// The `for` of each element of a line of `Forwarded`; nothing where the line is
/// malformed.
fn elements(line: &str) -> Option<Vec<Option<Cow<'_, str>>>> {
    let mut elements = Vec::new();
    let (mut rest, mut has_pairs, mut of) = (line, false, None);
    loop {
        rest = rest.trim_start_matches([' ', '\t']);
        let (name, after) = split_token(rest);
        if !name.is_empty() {
            let (value, after) = value(after.strip_prefix('=')?)?;
            if name.eq_ignore_ascii_case("for") && of.replace(value).is_some() {
                return None;
            }
            has_pairs = true;
            rest = after.trim_start_matches([' ', '\t']);
        }
        let separator = rest.chars().next();
        if separator != Some(';') {
            if has_pairs {
                elements.push(of.take());
            }
            has_pairs = false;
        }
        rest = match separator {
            None => return Some(elements),
            Some(';' | ',') => &rest[1..],
            Some(_) => return None,
        };
    }
}

/// A token or a quoted text, and what stands behind it.
fn value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (token, rest) = split_token(text);
        return (!token.is_empty()).then_some((token.into(), rest));
    };
    let mut unquoted = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((unquoted.into(), &quoted[at + 1..])),
            '\\' => unquoted.push(chars.next()?.1),
            _ => unquoted.push(char),
        }
    }
    None
}

/// RFC 9110, section 5.6.2.
fn split_token(text: &str) -> (&str, &str) {
    let is_of_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_of_token(c)).unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    /// The hops from the last one back, `-` for one that is no address.
    fn back(header: ForwardedHeader, lines: &[&str]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            headers.append(header.name(), line);
        }
        let mut hops = Vec::new();
        header.back(&headers, |hop| {
            hops.push(hop.map_or("-".to_owned(), |hop| hop.to_string()));
            ControlFlow::Continue(())
        });
        hops
    }

    #[test]
    fn x_forwarded_for_in_every_form_that_load_balancers_write() {
        let back = |lines: &[&str]| back(ForwardedHeader::XForwardedFor, lines);
        assert_eq!(
            back(&[
                "192.0.2.1, 192.0.2.2:4711 ,2001:db8::1",
                "[2001:db8::2]:80,[2001:db8::3]"
            ]),
            [
                "2001:db8::3",
                "[2001:db8::2]:80",
                "2001:db8::1",
                "192.0.2.2:4711",
                "192.0.2.1"
            ]
        );
        assert_eq!(back(&["::ffff:192.0.2.1,, ,"]), ["192.0.2.1"]);
        assert_eq!(
            back(&["unknown, _a, 1.2.3, 1.2.3.4:x, [1.2.3.4], fe80::1%eth0, 192.0.2.1;x"]),
            ["-"; 7]
        );
        assert_eq!(back(&[]), [""; 0]);
        assert_eq!(back(&[""]), [""; 0]);
        assert_eq!(back(&["1.2.3.4", "\u{e4}"]), ["-", "1.2.3.4"], "no text");
    }

    #[test]
    fn forwarded_as_its_rfc_shows_it() {
        let back = |line: &str| back(ForwardedHeader::Forwarded, &[line]);
        assert_eq!(
            back(r#"for=192.0.2.43, FOR="[2001:db8:cafe::17]:4711";proto=https;by=203.0.113.43"#),
            ["[2001:db8:cafe::17]:4711", "192.0.2.43"]
        );
        assert_eq!(back(r#"for="192.0.2.1:47""#), ["192.0.2.1:47"]);
        assert_eq!(back(r#"for="[2001:db8::1]:_port""#), ["2001:db8::1"]);
        assert_eq!(
            back(r#"for="192.0.2.\1"; host="a,b\"for=x";"#),
            ["192.0.2.1"]
        );
        assert_eq!(back("for=unknown, for=_SEVKISEK"), ["-", "-"]);
        assert_eq!(back("for=192.0.2.1, , ;, by=192.0.2.2"), ["-", "192.0.2.1"]);
    }

    #[test]
    fn a_malformed_line_tells_nothing() {
        let malformed = [
            "for",
            "for=",
            "for=192.0.2.1:80",
            "for=[2001:db8::1]",
            r#"for="192.0.2.1"#,
            r#"for="192.0.2.1\"#,
            r#"for="192.0.2.1"x"#,
            "for=192.0.2.1;for=192.0.2.2",
            "for=192.0.2.1 for=192.0.2.2",
            "=192.0.2.1",
            r#"a="x, for=192.0.2.1"#,
        ];
        for line in malformed {
            let hops = back(ForwardedHeader::Forwarded, &["for=192.0.2.9", line]);
            assert_eq!(hops, ["-", "192.0.2.9"], "{line}");
        }
    }

    #[test]
    fn the_name_is_read_in_any_case() {
        for (text, header) in [
            ("X-Forwarded-For", ForwardedHeader::XForwardedFor),
            ("forwarded", ForwardedHeader::Forwarded),
        ] {
            assert_eq!(ForwardedHeader::parse(text), Ok(header));
        }
        ForwardedHeader::parse("X-Real-IP").unwrap_err();
    }

    proptest! {
        #[test]
        fn whatever_stands_before_it_the_last_hop_of_a_line_of_its_own_is_seen(line in "[ -~]{0,60}") {
            for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
                let last = match header {
                    ForwardedHeader::XForwardedFor => "192.0.2.1",
                    ForwardedHeader::Forwarded => "for=192.0.2.1",
                };
                prop_assert_eq!(&back(header, &[&line, last])[0], "192.0.2.1");
            }
            let appended = format!("{line}, 192.0.2.1");
            let hops = back(ForwardedHeader::XForwardedFor, &[&appended]);
            prop_assert_eq!(&hops[0], "192.0.2.1");
        }

        #[test]
        fn no_byte_hides_the_hop_that_a_load_balancer_appends(before in proptest::collection::vec(0x80u8.., 0..20)) {
            let line = [&before[..], b", 192.0.2.1"].concat();
            let value = HeaderValue::from_bytes(&line).unwrap();
            let headers = [(X_FORWARDED_FOR, value)].into_iter().collect();
            let mut hops = Vec::new();
            ForwardedHeader::XForwardedFor.back(&headers, |hop| {
                hops.push(hop);
                ControlFlow::Continue(())
            });
            prop_assert_eq!(hops[0], address("192.0.2.1"));
        }
    }
}
