//! The host that a connection's first bytes name, for a guess at what it is for. Nothing
//! is routed by it: a request's own Host is.

use http::header::HOST;
use rustls::server::Acceptor;

/// Of a record of TLS that holds a handshake.
const HANDSHAKE: u8 = 22;
/// Header lines that are looked at.
const LINES: usize = 100;

/// What first bytes tell.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    Host(String),
    Nothing,
    /// More of them are needed.
    NotYet,
}

/// The name of TLS's first message, or of an HTTP/1.1 request's head.
pub(crate) fn named(bytes: &[u8]) -> Named {
    let host = match bytes.first() {
        None => return Named::NotYet,
        Some(&HANDSHAKE) => server_name(bytes),
        Some(_) => host_header(bytes),
    };
    host.unwrap_or(Named::Nothing)
}

fn server_name(mut bytes: &[u8]) -> Option<Named> {
    let mut acceptor = Acceptor::default();
    // It takes some thousand at a time.
    while acceptor.read_tls(&mut bytes).ok()? > 0 {}
    let Some(accepted) = acceptor.accept().ok()? else {
        return Some(Named::NotYet);
    };
    let name = accepted.client_hello().server_name()?.to_owned();
    Some(Named::Host(name))
}

fn host_header(bytes: &[u8]) -> Option<Named> {
    let mut lines = [httparse::EMPTY_HEADER; LINES];
    let mut request = httparse::Request::new(&mut lines);
    if request.parse(bytes).ok()?.is_partial() {
        return Some(Named::NotYet);
    }
    let line = request
        .headers
        .iter()
        .find(|line| line.name.eq_ignore_ascii_case(HOST.as_str()))?;
    let value = std::str::from_utf8(line.value).ok()?;
    let host = value.rsplit_once(':').map_or(value, |(host, _)| host);
    Some(Named::Host(host.to_ascii_lowercase()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn hello(name: &'static str) -> Vec<u8> {
        service_kit::tls::install_provider();
        let config = ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let mut tls = ClientConnection::new(Arc::new(config), name.try_into().unwrap()).unwrap();
        let mut bytes = Vec::new();
        tls.write_tls(&mut bytes).unwrap();
        bytes
    }

    fn host(name: &str) -> Named {
        Named::Host(name.to_owned())
    }

    #[test]
    fn tls_names_it() {
        let bytes = hello("one.culvert.example");
        assert_eq!(named(&bytes), host("one.culvert.example"));
        for length in [0, 1, 5, bytes.len() - 1] {
            assert_eq!(named(&bytes[..length]), Named::NotYet, "{length} bytes");
        }
        assert_eq!(named(&hello("192.0.2.1")), Named::Nothing);
    }

    #[test]
    fn so_does_a_request() {
        let of = |lines: &str| named(format!("GET / HTTP/1.1\r\n{lines}").as_bytes());
        assert_eq!(
            of("a: b\r\nhOST: One.example:80\r\n\r\n"),
            host("one.example")
        );
        assert_eq!(of("Host: one.example\r\n\r\n"), host("one.example"));
        assert_eq!(of("Host: one.example\r\n"), Named::NotYet);
        assert_eq!(of("a: b\r\n\r\n"), Named::Nothing);
    }

    #[test]
    fn what_is_neither_names_none() {
        for bytes in [
            &b"\x16\x03\x01\x00\x04\x02\x00\x00\x00"[..],
            b"\xff\xff",
            b"SSH-2.0-x\r\n",
        ] {
            assert_eq!(named(bytes), Named::Nothing);
        }
    }
}
