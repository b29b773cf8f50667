//! What was seen at the steps of dialling, in words.

use std::net::SocketAddr;

use rustls::ClientConnection;
use service_kit::tls::Presented;
use tokio::net::TcpStream;

/// As many of a name's addresses as are shown.
const MOST: usize = 8;

/// `clusters.example.com is 192.0.2.7, 2001:db8::7`
pub(crate) fn addresses_seen(host: &str, addresses: &[SocketAddr]) -> String {
    let shown = addresses.iter().map(|address| address.ip().to_string());
    format!("{host} is {}", some_of(shown))
}

/// `from 10.0.0.9:51234 to 192.0.2.7:443`
pub(crate) fn connection_seen(stream: &TcpStream, to: SocketAddr) -> String {
    match stream.local_addr() {
        Ok(from) => format!("from {from} to {to}"),
        Err(_) => format!("to {to}"),
    }
}

/// `TLS 1.3; the certificate is clusters.example.com's, issued by CN=R11`
pub(crate) fn tls_seen(tls: &ClientConnection) -> String {
    let version = match tls.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    };
    let certificate = tls.peer_certificates().and_then(<[_]>::first);
    let Some(certificate) = certificate.and_then(Presented::read) else {
        return version.to_owned();
    };
    let more = if certificate.has_more_names {
        ", …"
    } else {
        ""
    };
    format!(
        "{version}; the certificate is for {}{more}, issued by {}",
        certificate.named(),
        certificate.issuer
    )
}

fn some_of(all: impl Iterator<Item = String>) -> String {
    let mut shown: Vec<_> = all.take(MOST + 1).collect();
    let more = shown.len() > MOST;
    shown.truncate(MOST);
    if more {
        shown.push("…".to_owned());
    }
    match shown.is_empty() {
        true => "nothing".to_owned(),
        false => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_addresses_are_cut() {
        let address = |port| SocketAddr::from(([192, 0, 2, 7], port));
        let few: Vec<_> = (0..2).map(address).collect();
        assert_eq!(addresses_seen("a", &few), "a is 192.0.2.7, 192.0.2.7");
        let many: Vec<_> = (0..20).map(address).collect();
        assert!(addresses_seen("a", &many).ends_with(", 192.0.2.7, …"));
        assert_eq!(addresses_seen("a", &[]), "a is nothing");
    }
}
