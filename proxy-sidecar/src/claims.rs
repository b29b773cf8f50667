//! Who a caller says it is, beside its `Authorization`. With `--require-own-credential`
//! the pod's credential is used, and whoever merely reaches the port must not choose for
//! whom: a service account that may impersonate would be anybody.

use http::HeaderMap;
use http_relay::headers::retain;

/// Beginnings of headers that nobody's caller may set: a front proxy's word, for which
/// the API server asks a certificate that may be ours.
const FRONT_PROXY: &[&str] = &["x-remote-"];
const ALL: &[&str] = &["x-remote-", "impersonate-"];

/// The headers that are removed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Claims(&'static [&'static str]);

impl Claims {
    /// As the flags say. A request with the secret is tunnel-client's: of those the server
    /// took what callers say of themselves, and what is there it has set.
    pub(crate) fn of(require_own_credential: bool, with_secret: bool) -> Self {
        Self(match (require_own_credential, with_secret) {
            (false, _) => &[],
            (true, true) => FRONT_PROXY,
            (true, false) => ALL,
        })
    }

    /// Removes them.
    pub(crate) fn remove(self, headers: &mut HeaderMap) {
        retain(headers, |name| {
            let claims = |start: &&str| name.as_str().starts_with(start);
            !self.0.iter().any(claims)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_is_left_of_a_callers_claims() {
        let names = [
            "accept",
            "impersonate-user",
            "impersonate-group",
            "impersonate-extra-a%2fb",
            "x-remote-user",
            "x-remote-extra-a",
            "x-real-ip",
        ];
        for (flag, secret, expected) in [
            (false, false, &names[..]),
            (false, true, &names[..]),
            (
                true,
                true,
                &[names[0], names[1], names[2], names[3], names[6]],
            ),
            (true, false, &[names[0], names[6]]),
        ] {
            let mut headers = HeaderMap::new();
            for name in names {
                headers.append(name, HeaderValue::from_static("a"));
            }
            Claims::of(flag, secret).remove(&mut headers);
            let left: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
            assert_eq!(left, expected, "{flag} {secret}");
        }
    }
}
