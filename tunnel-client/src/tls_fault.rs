//! Why TLS failed: the cause, whose certificate came, and the cure.

use std::error::Error as StdError;
use std::io;

use http_relay::body::error_chain;
use rustls::{AlertDescription, CertificateError, Error, OtherError, PeerIncompatible};
use service_kit::tls::{Distrust, DistrustCause, Presented};
use thiserror::Error as ThisError;

/// With whom TLS is made, for the flags that are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Peer {
    Server,
    Proxy,
}

/// In words for people. Holds nothing secret: certificates are public.
#[derive(Clone, Debug, ThisError)]
pub(crate) enum TlsFault {
    #[error(
        "the certificate that came is issued by '{}', which nobody here trusts: if a proxy here \
         intercepts TLS, give its CA with {flag}, or have the server excepted; a private CA of \
         your own is given so, too. It is {came}",
        .came.issuer
    )]
    UnknownIssuer {
        came: Box<Presented>,
        flag: &'static str,
    },
    #[error(
        "the certificate that came is signed by nobody but itself, '{}': if it is the right one, \
         give it with {flag}. It is {came}",
        .came.subject
    )]
    SelfSigned {
        came: Box<Presented>,
        flag: &'static str,
    },
    #[error(
        "the certificate that came has expired on {}, and here it is {today}: it is to be \
         renewed, unless the clock here is wrong. It is {came}",
        .came.not_after
    )]
    Expired { came: Box<Presented>, today: String },
    #[error(
        "the certificate that came is not valid before {}, and here it is {today}: set the clock \
         here right, unless the certificate is wrong. It is {came}",
        .came.not_before
    )]
    NotYetValid { came: Box<Presented>, today: String },
    #[error(
        "the certificate that came is for {}, not for {expected}: {cure}. It is {came}",
        .came.named()
    )]
    WrongName {
        came: Box<Presented>,
        expected: String,
        cure: &'static str,
    },
    #[error(
        "no certificate of the chain has a public key that --pin-sha256 names. These came: {}",
        pins(.came)
    )]
    NotPinned { came: Vec<Presented> },
    #[error(
        "the certificate that came is an authority's (CA:TRUE), and a server may show none such: \
         have it sign another one for the server. It is {came}"
    )]
    Authority { came: Box<Presented> },
    #[error("the certificate that came cannot be trusted: {cause}. It is {came}")]
    Distrusted { came: Box<Presented>, cause: String },
    #[error("the certificate that came cannot be read: {0}")]
    Unreadable(String),
    #[error("that is no TLS: {0}; check the port")]
    NoTls(&'static str),
    #[error("it does not take the handshake ({alert}): {cure}")]
    Alert { alert: String, cure: &'static str },
    #[error("it speaks neither TLS 1.3 nor 1.2")]
    TooOld,
    #[error(
        "the connection ended within the handshake ({0}): no TLS is spoken there, or something \
         on the way lets none to this name through"
    )]
    Ended(String),
    #[error("{0}")]
    Failed(String),
}

impl Peer {
    fn ca_flag(self) -> &'static str {
        match self {
            Self::Server => "--ca-file",
            Self::Proxy => "--proxy-ca-file",
        }
    }

    fn name_cure(self) -> &'static str {
        match self {
            Self::Server => "give its name in --server, or with --tls-server-name",
            Self::Proxy => "give its name in the URL that names the proxy",
        }
    }
}

impl TlsFault {
    /// Of a handshake that failed. `first` is how what the peer sent begins.
    pub(crate) fn of(error: &io::Error, peer: Peer, first: &[u8]) -> Self {
        if let Some(spoken) = spoken(first) {
            return Self::NoTls(spoken);
        }
        match rustls_error(error) {
            Some(error) => Self::of_rustls(error, peer),
            None => Self::Ended(error.to_string()),
        }
    }

    /// What the server says of TLS when the handshake is over for us, as of our
    /// certificate in TLS 1.3; found among an error's causes.
    pub(crate) fn among(error: &(dyn StdError + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(error) = error.downcast_ref().and_then(rustls_error) {
                return Some(Self::of_rustls(error, Peer::Server));
            }
            cause = error.source();
        }
        None
    }

    fn of_rustls(error: &Error, peer: Peer) -> Self {
        match error {
            Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
                match other.downcast_ref() {
                    Some(distrust) => Self::of_distrust(distrust, peer),
                    None => Self::Unreadable(other.to_string()),
                }
            }
            Error::InvalidCertificate(cause) => Self::Unreadable(cause.to_string()),
            Error::AlertReceived(alert) => Self::of_alert(*alert, peer),
            Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
                Self::TooOld
            }
            error => Self::Failed(error_chain(error)),
        }
    }

    fn of_distrust(distrust: &Distrust, peer: Peer) -> Self {
        let (mut chain, today) = (distrust.chain.clone(), distrust.today.clone());
        if chain.is_empty() {
            return Self::Unreadable(distrust.cause.to_string());
        }
        if distrust.cause == DistrustCause::NotPinned {
            return Self::NotPinned { came: chain };
        }
        let came = Box::new(chain.swap_remove(0));
        let DistrustCause::Invalid(cause) = &distrust.cause else {
            return Self::Authority { came };
        };
        let flag = peer.ca_flag();
        match cause {
            CertificateError::UnknownIssuer if came.is_self_signed() => {
                Self::SelfSigned { came, flag }
            }
            CertificateError::UnknownIssuer => Self::UnknownIssuer { came, flag },
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Self::Expired { came, today }
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid { came, today }
            }
            CertificateError::NotValidForNameContext { expected, .. } => Self::WrongName {
                came,
                expected: expected.to_str().into_owned(),
                cure: peer.name_cure(),
            },
            cause => Self::Distrusted {
                came,
                cause: cause.to_string(),
            },
        }
    }

    fn of_alert(alert: AlertDescription, peer: Peer) -> Self {
        let cure = match alert {
            AlertDescription::CertificateRequired if peer == Peer::Proxy => {
                "it wants a client certificate, and only the server gets one"
            }
            AlertDescription::CertificateRequired => {
                "it wants a client certificate; give one with --client-certificate and \
                 --client-key"
            }
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => {
                "it does not trust the certificate of --client-certificate, or wants one and got \
                 none"
            }
            AlertDescription::UnrecognisedName => {
                "it knows no server of this name; check --server, or give the name that it knows \
                 with --tls-server-name"
            }
            AlertDescription::ProtocolVersion => "it speaks neither TLS 1.3 nor 1.2",
            AlertDescription::NoApplicationProtocol => "it does not speak HTTP/1.1 here",
            AlertDescription::HandshakeFailure => {
                "it has no way of encryption in common with us, or wants a client certificate \
                 (--client-certificate)"
            }
            _ => "its log may say why",
        };
        Self::Alert {
            alert: format!("{alert:?}"),
            cure,
        }
    }
}

fn rustls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

/// What protocol begins so, if it is none of TLS.
fn spoken(first: &[u8]) -> Option<&'static str> {
    match first {
        [b'H', b'T', b'T', b'P', b'/', ..] => Some("the port speaks HTTP"),
        [b'S', b'S', b'H', b'-', ..] => Some("the port speaks SSH"),
        // A handshake's record, or an alert's.
        [0x16 | 0x15, ..] | [] => None,
        _ => Some("the port speaks another protocol"),
    }
}

fn pins(chain: &[Presented]) -> String {
    let pins = chain.iter();
    let pins = pins.map(|one| format!("{} of '{}'", one.pin, one.subject));
    pins.collect::<Vec<_>>().join(", ")
}
