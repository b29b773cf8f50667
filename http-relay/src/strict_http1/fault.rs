//! What is refused, and why.

use thiserror::Error;

/// A request whose framing somebody else could read differently, or that no
/// caller sends.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Fault {
    /// The first line.
    #[error("the request line is malformed")]
    RequestLine,
    /// The request's target.
    #[error("the request's target holds what no target may")]
    Target,
    /// HTTP/1.0 and HTTP/1.1 are spoken.
    #[error("the version is neither HTTP/1.0 nor HTTP/1.1")]
    Version,
    /// A line ended by a line feed alone.
    #[error("a line ends without a carriage return")]
    BareLineFeed,
    /// A carriage return inside a line.
    #[error("a carriage return without a line feed")]
    BareCarriageReturn,
    /// A line that starts with white space.
    #[error("a header line is folded")]
    Folded,
    /// White space before the colon, or what is no token.
    #[error("a header's name is malformed")]
    Name,
    /// Control bytes; in the headers below also whatever is not ASCII.
    #[error("a header's value holds what no value may")]
    Value,
    /// Not exactly one number.
    #[error("Content-Length is repeated or malformed")]
    Length,
    /// Not exactly `chunked`.
    #[error("Transfer-Encoding is repeated or other than chunked")]
    Encoding,
    /// One party would believe the one, the next the other.
    #[error("Content-Length and Transfer-Encoding together")]
    LengthAndEncoding,
    /// HTTP/1.0 knows no chunks.
    #[error("Transfer-Encoding in HTTP/1.0")]
    EncodingInHttp10,
    /// Which of them routes?
    #[error("several Host lines")]
    Hosts,
    /// Where does the body end, and the other protocol begin?
    #[error("an upgrade with a body")]
    UpgradeWithBody,
    /// A chunk's size.
    #[error("a chunk's size is malformed or too large")]
    ChunkSize,
    /// What may stand behind a chunk's size.
    #[error("a chunk's extension is malformed or too long")]
    ChunkExtension,
    /// A chunk that does not end where its size says.
    #[error("a chunk does not end at its size")]
    ChunkEnd,
    /// A header that only a head may hold.
    #[error("a trailer that frames or routes")]
    Trailer,
}
