//! HTTP/2 heads that say two things at once, or what HTTP/1.1 would read
//! otherwise.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::http2_frames::flag;

use crate::http2_stream::Ends::{self, Closed, Reset, Status};
use crate::http2_stream::{GOOD, ends, opened};
use crate::stage::Stage;

/// Lines in place of, or beside, those of a good request.
struct Head {
    name: &'static str,
    ends: Ends,
    /// `{H}` is the cluster's host, `{A}` the credential.
    fields: &'static [(&'static str, &'static str)],
}

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
    stage
        .nothing_else_came(&[("/x".to_owned(), Vec::new())])
        .await?;
    stage.stop().await
}

/// Refused, with nothing of it upstream.
async fn head(stage: &Stage, fields: &[(&str, &str)], expected: Ends) -> Result<()> {
    let sent = opened(stage, flag::END_STREAM, fields);
    let ended = ends(stage, &sent).await?;
    ensure!(ended == expected, "{ended:?} instead of {expected:?}");
    stage.nothing_else_came(&[]).await
}
