//! PROXY protocol, versions 1 and 2: what a load balancer that passes bytes sends before
//! them, to announce whose connection it is. Whether it does is configured and never
//! guessed: where a guess is taken anybody can announce to be anybody.

use std::io;
use std::net::SocketAddr;

use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// What connections begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum ProxyProtocol {
    Required,
    #[default]
    Forbidden,
}

impl ProxyProtocol {
    /// Reads the configuration's word.
    ///
    /// # Errors
    /// What is expected.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "required" => Ok(Self::Required),
            "forbidden" => Ok(Self::Forbidden),
            _ => Err("is neither required nor forbidden"),
        }
    }
}

/// Why a header cannot be read.
#[derive(Debug, Error)]
pub(crate) enum HeaderFault {
    /// As some health checks do it.
    #[error("closed without a word")]
    Silent,
    #[error("no PROXY protocol header")]
    Missing,
    #[error("a malformed PROXY protocol header")]
    Malformed,
    #[error(transparent)]
    Broken(#[from] io::Error),
}

const VERSION_1: &[u8] = b"PROXY ";
const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// `PROXY UNKNOWN` and a line's end.
const SHORTEST_1: usize = 15;
/// The specification's own bound.
const LONGEST_1: usize = 107;
/// Of version 2, up to its length.
const FIXED_2: usize = 16;
/// Bytes. Addresses take up to 232; the rest is for what is added to them and skipped
/// here, some hundreds with the names of a client's certificate.
const LONGEST_2: usize = 2048;

/// Whether bytes that have come are a header, or the beginning of one.
pub(crate) fn begins(bytes: &[u8]) -> bool {
    let begins_as = |mark: &[u8]| {
        let common = mark.len().min(bytes.len());
        bytes[..common] == mark[..common]
    };
    !bytes.is_empty() && (begins_as(VERSION_1) || begins_as(VERSION_2))
}

/// Takes the header from a connection, and not a byte more. Gives the client that it
/// announces; nothing where it speaks for the load balancer itself, as in a health check,
/// or says that it does not know.
pub(crate) async fn read(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<SocketAddr>, HeaderFault> {
    let mut header = Vec::with_capacity(LONGEST_1);
    more(stream, &mut header, SHORTEST_1).await?;
    if header.starts_with(VERSION_1) {
        // Byte by byte, as only its end tells its length.
        while !header.ends_with(b"\r\n") {
            if header.len() >= LONGEST_1 {
                return Err(HeaderFault::Malformed);
            }
            let length = header.len();
            more(stream, &mut header, length + 1).await?;
        }
    } else {
        more(stream, &mut header, FIXED_2).await?;
        let length = FIXED_2 + usize::from(u16::from_be_bytes([header[14], header[15]]));
        if length > LONGEST_2 {
            return Err(HeaderFault::Malformed);
        }
        more(stream, &mut header, length).await?;
    }
    parse(&header)
}

fn parse(header: &[u8]) -> Result<Option<SocketAddr>, HeaderFault> {
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let (parsed, length) =
        ProxyHeader::parse(header, config).map_err(|_| HeaderFault::Malformed)?;
    match parsed.proxied_address() {
        _ if length != header.len() => Err(HeaderFault::Malformed),
        None => Ok(None),
        Some(address) if address.protocol == Protocol::Stream => Ok(Some(address.source)),
        Some(_) => Err(HeaderFault::Malformed),
    }
}

/// Reads until the header is that long; ends as soon as it cannot be one.
async fn more(
    stream: &mut (impl AsyncRead + Unpin),
    header: &mut Vec<u8>,
    length: usize,
) -> Result<(), HeaderFault> {
    while header.len() < length {
        let missing = (length - header.len()) as u64;
        let read = (&mut *stream).take(missing).read_buf(header).await?;
        match read {
            0 if header.is_empty() => return Err(HeaderFault::Silent),
            0 => return Err(HeaderFault::Malformed),
            _ if !begins(header) => return Err(HeaderFault::Missing),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncWriteExt;

    use super::*;

    const TLS: &[u8] = b"\x16\x03\x01";

    /// What is announced, and what is left on the connection.
    async fn taken(header: &[u8]) -> (Result<Option<SocketAddr>, HeaderFault>, Vec<u8>) {
        let bytes = [header, TLS].concat();
        let mut stream = &bytes[..];
        let read = read(&mut stream).await;
        (read, stream.to_vec())
    }

    fn version_2(command: u8, family: u8, addresses: &[u8], length: usize) -> Vec<u8> {
        let length = u16::try_from(length).unwrap().to_be_bytes();
        let mut header = [VERSION_2, &[0x20 | command, family], &length].concat();
        header.extend_from_slice(addresses);
        header.resize(FIXED_2 + usize::from(u16::from_be_bytes(length)), 0);
        header
    }

    const FOUR: &[u8] = &[192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 0x20, 0xfb];

    fn six() -> Vec<u8> {
        let mut addresses = vec![0x20, 0x01, 0x0d, 0xb8];
        addresses.resize(15, 0);
        addresses.push(1);
        addresses.resize(32, 0);
        addresses.extend_from_slice(&[0x12, 0x67, 0x20, 0xfb]);
        addresses
    }

    #[tokio::test]
    async fn a_header_is_taken_and_nothing_behind_it() {
        for (header, expected) in [
            (
                b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 8443\r\n".to_vec(),
                Some("192.0.2.1:4711"),
            ),
            (
                b"PROXY TCP6 2001:db8::1 ::1 4711 8443\r\n".to_vec(),
                Some("[2001:db8::1]:4711"),
            ),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (version_2(1, 0x11, FOUR, 12), Some("192.0.2.1:4711")),
            (version_2(1, 0x21, &six(), 36), Some("[2001:db8::1]:4711")),
            // What is added is skipped.
            (version_2(1, 0x11, FOUR, 12 + 900), Some("192.0.2.1:4711")),
            // A health check of the load balancer's; one that knows no address.
            (version_2(0, 0x11, FOUR, 12), None),
            (version_2(0, 0x00, &[], 0), None),
            (version_2(1, 0x00, &[], 40), None),
            (version_2(1, 0x31, &[], 216), None),
        ] {
            let (got, left) = taken(&header).await;
            let expected = expected.map(|text| text.parse::<SocketAddr>().unwrap());
            assert_eq!(got.unwrap(), expected, "{header:?}");
            assert_eq!(left, TLS);
        }
    }

    #[tokio::test]
    async fn whatever_is_no_header_is_cut_as_soon_as_that_is_clear() {
        for bytes in [TLS, b"GET / HTTP/1.1\r\n", b"PROXI", b"\r\n\r\nX", b"P "] {
            // Nothing more comes, and no end either.
            let (mut writer, mut reader) = tokio::io::duplex(64);
            writer.write_all(bytes).await.unwrap();
            let got = read(&mut reader).await;
            assert!(matches!(got, Err(HeaderFault::Missing)), "{bytes:?}");
        }
        let got = read(&mut &b""[..]).await;
        assert!(matches!(got, Err(HeaderFault::Silent)));
    }

    #[tokio::test]
    async fn malformed_headers() {
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_1));
        for header in [
            long.into_bytes(),
            b"PROXY TCP4 192.0.2.1\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 99999\r\n".to_vec(),
            b"PROXY UDP4 192.0.2.1 10.0.0.1 4711 8443\r\n".to_vec(),
            b"PROXY TCP4 192.0.2.1 10.0.0.1 4711".to_vec(),
            version_2(2, 0x11, FOUR, 12),
            version_2(1, 0x11, FOUR, 11),
            // Datagrams.
            version_2(1, 0x12, FOUR, 12),
            version_2(1, 0x11, FOUR, LONGEST_2),
        ] {
            let (got, _) = taken(&header).await;
            assert!(matches!(got, Err(HeaderFault::Malformed)), "{header:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(version in 0..2, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mark = if version == 0 { VERSION_1 } else { VERSION_2 };
            let bytes = [mark, &bytes].concat();
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            drop(runtime.block_on(read(&mut &bytes[..])));
        }
    }
}
