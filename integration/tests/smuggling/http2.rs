//! HTTP/2 frames that say two things at once, or what HTTP/1.1 would read
//! otherwise.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::http2_connection::frames;
use integration::http2_frames::{PREFACE, data, flag, headers, kind, settings};
use tokio::time::timeout;

use crate::stage::{Made, Stage};

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ends {
    Reset,
    /// With its whole connection.
    Closed,
    Status(u16),
}

use Ends::{Closed, Reset, Status};

/// Lines in place of, or beside, those of a good request.
struct Head {
    name: &'static str,
    ends: Ends,
    /// `{H}` is the cluster's host, `{A}` the credential.
    fields: &'static [(&'static str, &'static str)],
}

const GOOD: &[(&str, &str)] = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":authority", "{H}"),
    (":path", "/x"),
    ("authorization", "{A}"),
];

/// Behind the fields of a good request. What is no header at all costs its
/// sender the connection.
const MORE: &[(&str, Ends, (&str, &str))] = &[
    ("transfer-encoding", Reset, ("transfer-encoding", "chunked")),
    ("connection", Reset, ("connection", "content-length")),
    ("upgrade", Reset, ("upgrade", "websocket")),
    ("keep-alive", Reset, ("keep-alive", "timeout=5")),
    (
        "proxy-connection",
        Reset,
        ("proxy-connection", "keep-alive"),
    ),
    ("te", Reset, ("te", "gzip")),
    (
        "a pseudo-header behind a header",
        Reset,
        (":path", "/smuggled"),
    ),
    ("an unknown pseudo-header", Closed, (":target", "/smuggled")),
    ("an answer's pseudo-header", Reset, (":status", "200")),
    ("another host", Status(400), ("host", "other.culvert.test")),
    ("a host with a port", Status(400), ("host", "{H}:443")),
    ("a name in upper case", Closed, ("Content-Length", "0")),
    (
        "a name with a space",
        Closed,
        ("transfer-encoding ", "chunked"),
    ),
    ("a name with a colon", Closed, ("x:y", "z")),
    (
        "a name with a line",
        Closed,
        ("x\r\ntransfer-encoding", "chunked"),
    ),
    ("no name", Closed, ("", "x")),
    (
        "a value with a line",
        Closed,
        ("x", "y\r\nTransfer-Encoding: chunked"),
    ),
    ("a value with a line feed", Closed, ("x", "y\nz")),
    ("a value with a carriage return", Closed, ("x", "y\rz")),
    ("a value with a NUL", Closed, ("x", "y\0z")),
    (
        "a length on a request that ends",
        Reset,
        ("content-length", "30"),
    ),
    ("a length with a sign", Reset, ("content-length", "+0")),
    ("a list of lengths", Reset, ("content-length", "0, 0")),
];

const HEADS: &[Head] = &[
    Head {
        name: "two paths",
        ends: Reset,
        fields: &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "{H}"),
            (":path", "/x"),
            (":path", "/smuggled"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "two methods",
        ends: Reset,
        fields: &[
            (":method", "GET"),
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "{H}"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "two authorities",
        ends: Reset,
        fields: &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "{H}"),
            (":authority", "{H}"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "two schemes",
        ends: Reset,
        fields: &[
            (":method", "GET"),
            (":scheme", "https"),
            (":scheme", "https"),
            (":authority", "{H}"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "a pseudo-header between headers",
        ends: Reset,
        fields: &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "{H}"),
            ("authorization", "{A}"),
            (":path", "/x"),
        ],
    },
    Head {
        name: "no method",
        ends: Reset,
        fields: &[
            (":scheme", "https"),
            (":authority", "{H}"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "no scheme",
        ends: Reset,
        fields: &[
            (":method", "GET"),
            (":authority", "{H}"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "no path",
        ends: Reset,
        fields: &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "{H}"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "no host at all",
        ends: Status(400),
        fields: &[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "two hosts",
        ends: Status(400),
        fields: &[
            (":method", "GET"),
            (":scheme", "https"),
            (":path", "/x"),
            ("host", "{H}"),
            ("host", "{H}"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "an authority with a user",
        ends: Status(400),
        fields: &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "x@{H}"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "an authority that is a list",
        ends: Reset,
        fields: &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", "{H}, x"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "CONNECT",
        ends: Status(400),
        fields: &[
            (":method", "CONNECT"),
            (":authority", "{H}:443"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "CONNECT to elsewhere",
        ends: Status(421),
        fields: &[
            (":method", "CONNECT"),
            (":authority", "evil.example:443"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "CONNECT with a path",
        ends: Reset,
        fields: &[
            (":method", "CONNECT"),
            (":scheme", "https"),
            (":authority", "{H}"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "extended CONNECT",
        ends: Reset,
        fields: &[
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "{H}"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "a protocol without CONNECT",
        ends: Reset,
        fields: &[
            (":method", "GET"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":authority", "{H}"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
    Head {
        name: "a method with a line",
        ends: Closed,
        fields: &[
            (":method", "GET /smuggled HTTP/1.1\r\nX:"),
            (":scheme", "https"),
            (":authority", "{H}"),
            (":path", "/x"),
            ("authorization", "{A}"),
        ],
    },
];

const PATHS: &[(&str, Ends)] = &[
    ("", Reset),
    ("*", Status(400)),
    ("x", Reset),
    ("https://evil.example/x", Reset),
    ("//evil.example/x", Status(400)),
    ("/x/../smuggled", Status(400)),
    ("/x y", Reset),
    ("/x HTTP/1.1\r\nX: y", Reset),
    ("/x\0", Reset),
    ("/\u{e4}", Status(400)),
    ("/x%0d%0ay", Status(400)),
];

pub(crate) async fn http2_heads_that_lie(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::without_sidecar(&environment).await?;
    for (case, ends, more) in MORE {
        let fields: Vec<_> = GOOD.iter().chain([more]).copied().collect();
        head(&stage, &fields, *ends).await.context(*case)?;
    }
    for case in HEADS {
        head(&stage, case.fields, case.ends)
            .await
            .context(case.name)?;
    }
    for (path, ends) in PATHS {
        let mut fields = GOOD.to_vec();
        fields[3].1 = path;
        head(&stage, &fields, *ends).await.context(*path)?;
    }
    // A fragment is cut off, for everybody and before anything is decided.
    let mut fields = GOOD.to_vec();
    fields[3].1 = "/x#/../smuggled";
    let sent = opened(&stage, flag::END_STREAM, &fields);
    ensure!(ends(&stage, &sent).await? == Status(200));
    stage.nothing_else_came(&[made("/x", "")]).await?;
    stage.stop().await
}

/// Refused, with nothing of it upstream.
async fn head(stage: &Stage, fields: &[(&str, &str)], expected: Ends) -> Result<()> {
    let sent = opened(stage, flag::END_STREAM, fields);
    let ended = ends(stage, &sent).await?;
    ensure!(ended == expected, "{ended:?} instead of {expected:?}");
    stage.nothing_else_came(&[]).await
}

pub(crate) async fn http2_bodies_that_lie(environment: Arc<Environment>) -> Result<()> {
    for stage in [
        Stage::without_sidecar(&environment).await?,
        Stage::with_sidecar(&environment).await?,
    ] {
        let hidden = stage.smuggled();
        let end = flag::END_STREAM;
        for (case, lines, body, expected) in [
            (
                "shorter than its length",
                &[("content-length", "300")][..],
                data(1, end, hidden.as_bytes()),
                Reset,
            ),
            (
                "longer than its length",
                &[("content-length", "3")],
                data(1, end, hidden.as_bytes()),
                Reset,
            ),
            (
                "longer than a length of 0",
                &[("content-length", "0")],
                data(1, end, hidden.as_bytes()),
                Reset,
            ),
            (
                "two lengths",
                &[("content-length", "1"), ("content-length", "2")],
                data(1, end, b"a"),
                Reset,
            ),
            (
                "the same length twice",
                &[("content-length", "1"), ("content-length", "1")],
                data(1, end, b"a"),
                Status(400),
            ),
            (
                "a trailer of a connection's",
                &[],
                [
                    data(1, 0, b"a"),
                    headers(1, end, &[("transfer-encoding", "chunked")]),
                ]
                .concat(),
                Reset,
            ),
            (
                "trailers that are no end",
                &[],
                [
                    data(1, 0, b"a"),
                    headers(1, 0, &[("x", "y")]),
                    data(1, end, b"b"),
                ]
                .concat(),
                Reset,
            ),
        ] {
            let ended = ends(&stage, &post(&stage, lines, &body))
                .await
                .context(case)?;
            ensure!(
                ended == expected,
                "{case}: {ended:?} instead of {expected:?}"
            );
            stage.nothing_else_came(&[]).await.context(case)?;
        }
        let length = hidden.len().to_string();
        for (case, lines, body) in [
            (
                "a length",
                &[("content-length", &*length)][..],
                data(1, end, hidden.as_bytes()),
            ),
            (
                "no length",
                &[],
                [
                    data(1, 0, &hidden.as_bytes()[..9]),
                    data(1, end, &hidden.as_bytes()[9..]),
                ]
                .concat(),
            ),
            // Malformed, and dropped unread.
            (
                "pseudo-headers in its trailers",
                &[],
                [
                    data(1, 0, hidden.as_bytes()),
                    headers(1, end, &[(":path", "/smuggled"), ("x", "y")]),
                ]
                .concat(),
            ),
        ] {
            let ended = ends(&stage, &post(&stage, lines, &body))
                .await
                .context(case)?;
            ensure!(ended == Status(200), "{case}: {ended:?}");
            stage
                .nothing_else_came(&[made("/x", &hidden)])
                .await
                .context(case)?;
        }
        stage.stop().await?;
    }
    Ok(())
}

fn made(path: &str, body: &str) -> Made {
    (path.to_owned(), body.as_bytes().to_vec())
}

fn post(stage: &Stage, lines: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut fields = GOOD.to_vec();
    fields[0].1 = "POST";
    fields.extend(lines);
    [&opened(stage, 0, &fields)[..], body].concat()
}

/// A HEADERS frame of stream 1.
fn opened(stage: &Stage, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
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
async fn ends(stage: &Stage, sent: &[u8]) -> Result<Ends> {
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
            (":authority", integration::chain::BASE_DOMAIN),
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
