//! One HTTP/2 stream, frame by frame, and how it ends.

use std::net::Ipv4Addr;

use anyhow::{Context, Result, bail, ensure};
use integration::chain::{BASE_DOMAIN, SOON};
use integration::http2_connection::frames;
use integration::http2_frames::{PREFACE, flag, headers, kind, settings};
use tokio::time::timeout;

use crate::stage::Stage;

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    Reset,
    /// With its whole connection.
    Closed,
    Status(u16),
}

use Ends::{Closed, Reset, Status};

/// A request's fields: `{H}` is the cluster's host, `{A}` the credential.
pub(crate) const GOOD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "{H}"),
    (":path", "/x"),
    ("authorization", "{A}"),
];

/// A HEADERS frame of stream 1.
pub(crate) fn opened(stage: &Stage, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let credential = format!("Bearer {}", stage.chain.access_token.expose());
    let fill = |(name, value): &(&str, &str)| {
        let value = value
            .replace("{H}", &stage.chain.host())
            .replace("{A}", &credential);
        ((*name).to_owned(), value)
    };
    let fields: Vec<_> = fields.iter().map(fill).collect();
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    headers(1, flags, &fields)
}

/// How stream 1 ends; the connection must serve the next stream, or end itself.
pub(crate) async fn ends(stage: &Stage, sent: &[u8]) -> Result<Ends> {
    let caller = stage
        .chain
        .raw_caller_from(Ipv4Addr::LOCALHOST, b"h2")
        .await?;
    let (stream, read) = caller.into_parts();
    let (mut reader, mut writer) = frames(stream, read);
    writer
        .send([PREFACE, &settings(&[]), sent].concat())
        .await?;
    let mut ended = None;
    loop {
        let frame = timeout(SOON, reader.next()).await.context("no end")?;
        let frame = frame.context("the connection ended")?;
        if let Some(answer) = frame.acknowledgement() {
            writer.send(answer).await?;
        }
        match (frame.kind, frame.stream) {
            (kind::GOAWAY, _) => return Ok(Closed),
            (kind::RST_STREAM, 1) if ended.is_none() => ended = Some(Reset),
            (kind::HEADERS, 1) => ended = Some(Status(status(&frame.payload)?)),
            (kind::HEADERS, 3) => {
                ensure!(status(&frame.payload)? == 200, "the next stream is harmed");
                return ended.context("only the next stream was answered");
            }
            (kind::RST_STREAM, 3) => bail!("the next stream is harmed"),
            _ => continue,
        }
        let front = [
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", BASE_DOMAIN),
            (":path", "/"),
        ];
        writer.send(headers(3, flag::END_STREAM, &front)).await?;
    }
}

/// The status at the start of a header block.
fn status(block: &[u8]) -> Result<u16> {
    let indexed = [200, 204, 206, 304, 400, 404, 500];
    match block {
        [field @ 0x88..=0x8e, ..] => Ok(indexed[usize::from(field - 0x88)]),
        // A new value for `:status`, in Huffman's code or plain.
        [0x48 | 0x08, length, rest @ ..] if length & 0x80 != 0 => huffman_digits(rest),
        [0x48 | 0x08, 3, rest @ ..] => Ok(String::from_utf8_lossy(&rest[..3]).parse()?),
        _ => bail!("no status in {block:?}"),
    }
}

/// Three digits: 0, 1 and 2 have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> Result<u16> {
    let mut bits = bytes
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| u16::from(byte >> bit & 1)));
    let mut value = 0;
    for _ in 0..3 {
        let mut code = 0;
        for _ in 0..5 {
            code = code << 1 | bits.next().context("a cut status")?;
        }
        let digit = match code {
            0..=2 => code,
            _ => (code << 1 | bits.next().context("a cut status")?) - 0b01_1001 + 3,
        };
        value = value * 10 + digit;
    }
    Ok(value)
}
