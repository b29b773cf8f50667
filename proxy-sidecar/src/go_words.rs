//! `--kubectl-errors`: why the API server gave no answer, in the words of Go's
//! libraries, which is what `kubectl proxy` answers.

use std::error::Error;
use std::io::{self, ErrorKind};

use http_relay::body::error_chain;

/// Who was to be asked, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    /// The API server's host and port.
    pub(crate) server: &'a str,
    /// To switch protocols.
    pub(crate) upgrade: bool,
}

/// Of an error before there was a connection.
pub(crate) fn unreachable(error: &(dyn Error + 'static), asked: Asked<'_>) -> String {
    let chain = error_chain(error);
    let server = asked.server;
    let said = match cause::<io::Error>(error).map(io::Error::kind) {
        Some(ErrorKind::ConnectionRefused) => {
            format!("dial tcp {server}: connect: connection refused")
        }
        Some(ErrorKind::TimedOut) => format!("dial tcp {server}: i/o timeout"),
        _ if chain.contains("dns error") => {
            let host = server.rsplit_once(':').map_or(server, |(host, _)| host);
            format!("dial tcp: lookup {host}: no such host")
        }
        _ if chain.contains("UnknownIssuer") => "tls: failed to verify certificate: x509: \
                                                 certificate signed by unknown authority"
            .to_owned(),
        _ => chain,
    };
    match asked.upgrade {
        true => format!("error dialing backend: {said}"),
        false => said,
    }
}

/// Of an error on a connection.
pub(crate) fn broken(error: &(dyn Error + 'static), asked: Asked<'_>) -> String {
    let hyper = cause::<hyper::Error>(error);
    if cause::<io::Error>(error).is_some_and(|io| io.kind() == ErrorKind::ConnectionReset) {
        format!("read tcp {}: read: connection reset by peer", asked.server)
    } else if hyper.is_some_and(hyper::Error::is_incomplete_message) {
        match asked.upgrade {
            true => "unexpected EOF".to_owned(),
            false => "EOF".to_owned(),
        }
    } else if hyper.is_some_and(hyper::Error::is_parse) {
        let chain = error_chain(error);
        format!("net/http: HTTP/1.x transport connection broken: {chain}")
    } else {
        error_chain(error)
    }
}

/// The first error of this type, of an error and of its causes.
pub(crate) fn cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'static> = Asked {
        server: "10.0.0.1:443",
        upgrade: false,
    };
    const UPGRADE: Asked<'static> = Asked {
        upgrade: true,
        ..ASKED
    };

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] io::Error);

    fn io(kind: ErrorKind) -> Outer {
        Outer(kind.into())
    }

    #[test]
    fn as_go_says_it() {
        let refused = io(ErrorKind::ConnectionRefused);
        let said = "dial tcp 10.0.0.1:443: connect: connection refused";
        assert_eq!(unreachable(&refused, ASKED), said);
        let said = format!("error dialing backend: {said}");
        assert_eq!(unreachable(&refused, UPGRADE), said);
        assert_eq!(
            unreachable(&io(ErrorKind::TimedOut), ASKED),
            "dial tcp 10.0.0.1:443: i/o timeout"
        );
        assert_eq!(
            broken(&io(ErrorKind::ConnectionReset), ASKED),
            "read tcp 10.0.0.1:443: read: connection reset by peer"
        );
        let other = Outer(io::Error::other("invalid peer certificate: UnknownIssuer"));
        assert_eq!(
            unreachable(&other, ASKED),
            "tls: failed to verify certificate: x509: certificate signed by unknown authority"
        );
        let other = Outer(io::Error::other("odd"));
        assert_eq!(unreachable(&other, ASKED), "outer: odd");
        assert_eq!(broken(&other, UPGRADE), "outer: odd");
    }
}
