//! Good requests in the ways that callers write them.

use integration::chain::{BASE_DOMAIN, CLUSTER};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::stage::Stage;

/// A chunked body of these chunks, each with this extension, and trailers.
pub(crate) fn chunked(chunks: &[&[u8]], extension: &str, trailers: &str) -> Vec<u8> {
    let mut body = Vec::new();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        body.extend(format!("{:x}{extension}\r\n", chunk.len()).bytes());
        body.extend(*chunk);
        body.extend(b"\r\n");
    }
    body.extend(format!("0{extension}\r\n{trailers}\r\n").bytes());
    body
}

/// A piece of a request's bytes, so that it can be spoilt.
#[derive(Clone, Debug)]
pub(crate) enum Piece {
    /// A head's line with its end.
    Line(String),
    /// The line before a chunk of that size.
    Size(usize),
    Data(Vec<u8>),
    /// What stands behind a chunk's data.
    ChunkEnd,
    Other(String),
}

impl Piece {
    pub(crate) fn write(&self, to: &mut Vec<u8>) {
        match self {
            Self::Line(text) | Self::Other(text) => to.extend(text.bytes()),
            Self::Size(size) => to.extend(format!("{size:x}\r\n").bytes()),
            Self::Data(data) => to.extend(data),
            Self::ChunkEnd => to.extend(b"\r\n"),
        }
    }
}

/// What a request is made of.
#[derive(Clone, Debug)]
pub(crate) struct Parts {
    method: &'static str,
    framing: Framing,
    body: Body,
    by_path: bool,
    more: Vec<&'static str>,
    host_last: bool,
}

#[derive(Clone, Debug)]
enum Framing {
    Length(&'static str),
    Chunked {
        name: &'static str,
        longest: usize,
        trailers: bool,
    },
}

#[derive(Clone, Debug)]
enum Body {
    None,
    Bytes(Vec<u8>),
    /// A whole request of the smuggler's, behind this.
    Request(&'static str),
    Long(usize),
}

const MORE: &[&str] = &[
    "Accept: application/json\r\n",
    "X-Empty:\r\n",
    "X-Tabs:\t a\tb \t\r\n",
    "X-High: \u{e4}\u{f6}\r\n",
    "Connection: keep-alive, x-named\r\nX-Named: y\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: websocket\r\n",
    "TE: trailers, chunked\r\n",
];

impl Parts {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        let names = &[
            "Transfer-Encoding: chunked",
            "transfer-encoding:chunked",
            "TRANSFER-ENCODING: \tChunked ",
        ][..];
        let lengths = &["Content-Length: ", "content-length:", "Content-Length: 000"][..];
        let framing = prop_oneof![
            select(lengths).prop_map(Framing::Length),
            (select(names), 1..60usize, any::<bool>()).prop_map(|(name, longest, trailers)| {
                Framing::Chunked {
                    name,
                    longest,
                    trailers,
                }
            }),
        ];
        let body = prop_oneof![
            2 => Just(Body::None),
            2 => vec(any::<u8>(), 0..120).prop_map(Body::Bytes),
            4 => select(&["", "\r\n", "0\r\n\r\n", "\r\n0\r\n\r\n", "x"][..]).prop_map(Body::Request),
            1 => (5_000..40_000usize).prop_map(Body::Long),
        ];
        let method = select(&["GET", "POST", "PUT", "DELETE", "PATCH"][..]);
        (
            method,
            framing,
            body,
            any::<bool>(),
            vec(select(MORE), 0..3),
            any::<bool>(),
        )
            .prop_map(|(method, framing, body, by_path, more, host_last)| Self {
                method,
                framing,
                body,
                by_path,
                more,
                host_last,
            })
    }

    /// As it is to arrive.
    pub(crate) fn body(&self, stage: &Stage) -> Vec<u8> {
        match &self.body {
            Body::None => Vec::new(),
            Body::Bytes(bytes) => bytes.clone(),
            Body::Request(before) => format!("{before}{}", stage.smuggled()).into_bytes(),
            Body::Long(length) => stage.smuggled().bytes().cycle().take(*length).collect(),
        }
    }

    /// The request; the last of a connection closes it.
    pub(crate) fn pieces(&self, stage: &Stage, target: &str, last: bool) -> Vec<Piece> {
        let (host, prefix) = if self.by_path {
            (BASE_DOMAIN.to_owned(), format!("/clusters/{CLUSTER}"))
        } else {
            (stage.chain.host(), String::new())
        };
        let body = self.body(stage);
        let mut lines = vec![format!("{}\r\n", stage.authorization())];
        lines.extend(self.more.iter().map(|line| (*line).to_owned()));
        match &self.framing {
            _ if matches!(self.body, Body::None) => {}
            Framing::Length(name) => lines.push(format!("{name}{}\r\n", body.len())),
            Framing::Chunked { name, trailers, .. } => {
                lines.push(format!("{name}\r\n"));
                lines.extend(trailers.then(|| "Trailer: X-Sum\r\n".to_owned()));
            }
        }
        lines.extend(last.then(|| "Connection: close\r\n".to_owned()));
        let at = if self.host_last { lines.len() } else { 0 };
        lines.insert(at, format!("Host: {host}\r\n"));
        lines.insert(0, format!("{} {prefix}{target} HTTP/1.1\r\n", self.method));
        lines.push("\r\n".to_owned());
        let mut pieces: Vec<_> = lines.into_iter().map(Piece::Line).collect();
        if !matches!(self.body, Body::None) {
            pieces.extend(self.framed(body));
        }
        pieces
    }

    fn framed(&self, body: Vec<u8>) -> Vec<Piece> {
        let Framing::Chunked {
            longest, trailers, ..
        } = &self.framing
        else {
            return vec![Piece::Data(body)];
        };
        // Long bodies in longer chunks.
        let longest = longest * body.len().div_ceil(1000).max(1);
        let mut pieces = Vec::new();
        for chunk in body.chunks(longest) {
            pieces.extend([
                Piece::Size(chunk.len()),
                Piece::Data(chunk.to_vec()),
                Piece::ChunkEnd,
            ]);
        }
        let trailers = if *trailers { "X-Sum: 1\r\n" } else { "" };
        pieces.extend([Piece::Size(0), Piece::Other(format!("{trailers}\r\n"))]);
        pieces
    }
}
