//! A certificate as a person should see it: whose it is, by whom, for what and how long.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rustls_pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;
use x509_parser::time::ASN1Time;

use super::Pin;

/// As much of a text is shown, characters: it is a stranger's.
const LONGEST: usize = 120;
/// As many of its names.
const NAMES: usize = 8;

/// What a certificate says. Its texts are bounded and move no cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Whose it is, like `CN=a.example`.
    pub subject: String,
    /// Who signed it, in the same form.
    pub issuer: String,
    /// The names and addresses that it is good for, the first ones.
    pub names: Vec<String>,
    /// Whether there are more.
    pub has_more_names: bool,
    /// The first day, UTC, like `2020-01-31`.
    pub not_before: String,
    /// The last day.
    pub not_after: String,
    /// Of its public key.
    pub pin: Pin,
}

impl Presented {
    /// Nothing, if it cannot be read.
    #[must_use]
    pub fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, read) = parse_x509_certificate(certificate).ok()?;
        let validity = read.validity();
        let (names, has_more_names) = names(&read);
        Some(Self {
            subject: shown(&read.subject().to_string()),
            issuer: shown(&read.issuer().to_string()),
            names,
            has_more_names,
            not_before: day(validity.not_before),
            not_after: day(validity.not_after),
            pin: Pin::of(read.public_key().raw),
        })
    }

    /// Whether it says that nobody else has signed it.
    #[must_use]
    pub fn is_self_signed(&self) -> bool {
        self.subject == self.issuer
    }

    /// All names, for people.
    #[must_use]
    pub fn named(&self) -> String {
        match self.names.is_empty() {
            true => "no name".to_owned(),
            false => self.names.join(", "),
        }
    }
}

impl fmt::Display for Presented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the certificate of '{}' for {}, issued by '{}', good from {} to {}",
            self.subject,
            self.named(),
            self.issuer,
            self.not_before,
            self.not_after
        )
    }
}

/// The day of a time in seconds since 1970, UTC.
pub(super) fn day_of(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok();
    let time = time.and_then(|seconds| ASN1Time::from_timestamp(seconds).ok());
    time.map_or_else(String::new, day)
}

fn day(time: ASN1Time) -> String {
    time.to_datetime().date().to_string()
}

/// The first ones, and whether there are more.
fn names(certificate: &X509Certificate<'_>) -> (Vec<String>, bool) {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return (Vec::new(), false);
    };
    let mut names = names.value.general_names.iter().filter_map(name);
    let first = names.by_ref().take(NAMES).collect();
    (first, names.next().is_some())
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(shown(name)),
        GeneralName::IPAddress(bytes) => address(bytes).map(|address| address.to_string()),
        _ => None,
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(|four| Ipv4Addr::from(four).into());
    let six = || <[u8; 16]>::try_from(bytes).map(|six| Ipv6Addr::from(six).into());
    four.or_else(|_| six()).ok()
}

fn shown(text: &str) -> String {
    let shown = text.chars().filter(|c| !c.is_control());
    shown.take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn presented(names: &[&str], common_name: &str) -> Presented {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        let name = &mut parameters.distinguished_name;
        name.push(DnType::CommonName, common_name);
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 2);
        parameters.not_after = rcgen::date_time_ymd(2021, 3, 4);
        let pair = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&pair).unwrap();
        let presented = Presented::read(certificate.der()).unwrap();
        let key = rcgen::PublicKeyData::subject_public_key_info(&pair);
        assert_eq!(presented.pin, Pin::of(&key));
        presented
    }

    #[test]
    fn it_says_whose_it_is() {
        let presented = presented(&["a.example", "127.0.0.1", "::1"], "Corp Proxy");
        assert!(presented.is_self_signed());
        assert_eq!(
            presented.to_string(),
            "the certificate of 'CN=Corp Proxy' for a.example, 127.0.0.1, ::1, issued by \
             'CN=Corp Proxy', good from 2020-01-02 to 2021-03-04"
        );
        assert_eq!(Presented::read(&CertificateDer::from(vec![1, 2, 3])), None);
    }

    #[test]
    fn a_strangers_texts_are_bounded() {
        let names: Vec<_> = (0..100).map(|one| format!("{one}.example")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let presented = presented(&names, &format!("\x1b[2J\n{}", "x".repeat(10_000)));
        assert_eq!(presented.names.len(), NAMES);
        assert!(presented.to_string().len() < 1000, "{presented}");
        assert!(!presented.subject.contains(['\x1b', '\n']), "{presented}");
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(day_of(0), "1970-01-01");
        // date --utc --date=@1999987200
        assert_eq!(day_of(1_999_987_200), "2033-05-18");
        assert_eq!(day_of(u64::MAX), "");
    }
}
