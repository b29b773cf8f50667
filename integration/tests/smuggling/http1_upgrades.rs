//! Behind a request to switch protocols stand bytes of the other protocol. Where
//! it is refused, by whomever, they are nobody's request.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::BASE_DOMAIN;
use integration::environment::Environment;
use integration::raw_http::Ended;

use crate::stage::{Made, Stage, answers};

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

struct Case {
    name: &'static str,
    /// `{A}` is the Authorization line, `{H}` the cluster's host, `{B}` the
    /// server's own.
    head: &'static str,
    status: u16,
    arrives: bool,
}

const CASES: &[Case] = &[
    Case {
        name: "answered with something else",
        head: "GET /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\n",
        status: 200,
        arrives: true,
    },
    Case {
        name: "by path",
        head: "GET /clusters/prod/x HTTP/1.1\r\nHost: {B}\r\n{A}\r\n",
        status: 200,
        arrives: true,
    },
    Case {
        name: "in HTTP/1.0 it is no upgrade",
        head: "GET /x HTTP/1.0\r\nHost: {H}\r\n{A}\r\n",
        status: 200,
        arrives: true,
    },
    Case {
        name: "no credential",
        head: "GET /x HTTP/1.1\r\nHost: {H}\r\n",
        status: 401,
        arrives: false,
    },
    Case {
        name: "a bad path",
        head: "GET /x/../y HTTP/1.1\r\nHost: {H}\r\n{A}\r\n",
        status: 400,
        arrives: false,
    },
    Case {
        name: "an unknown host",
        head: "GET /x HTTP/1.1\r\nHost: evil.example\r\n{A}\r\n",
        status: 421,
        arrives: false,
    },
    Case {
        name: "an unknown cluster",
        head: "GET /x HTTP/1.1\r\nHost: nobody.{B}\r\n{A}\r\n",
        status: 404,
        arrives: false,
    },
    Case {
        name: "nothing there",
        head: "GET /nothing HTTP/1.1\r\nHost: {B}\r\n{A}\r\n",
        status: 404,
        arrives: false,
    },
    Case {
        name: "the front page",
        head: "GET / HTTP/1.1\r\nHost: {B}\r\n{A}\r\n",
        status: 200,
        arrives: false,
    },
    Case {
        name: "a handshake",
        head: "GET /tunnel/v1 HTTP/1.1\r\nHost: {B}\r\n{A}\r\n",
        status: 400,
        arrives: false,
    },
];

pub(crate) async fn bytes_behind_a_refused_upgrade(environment: Arc<Environment>) -> Result<()> {
    for stage in [
        Stage::without_sidecar(&environment).await?,
        Stage::with_sidecar(&environment).await?,
    ] {
        for case in CASES {
            refused(&stage, case.head, WEBSOCKET, case.status, case.arrives)
                .await
                .context(case.name)?;
        }
        let head = "GET /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\n";
        for other in [
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
            "Connection: upgrade\r\nUpgrade: websocket, h2c\r\n",
            "Connection: upgrade\r\nUpgrade: culvert\r\n",
            "Connection: upgrade\r\nUpgrade: TLS/1.0\r\n",
            "Connection: keep-alive\r\nConnection: ,upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
            "Connection: upgrade\r\n",
        ] {
            refused(&stage, head, other, 400, false)
                .await
                .context(other)?;
        }
        stage.stop().await?;
    }
    Ok(())
}

async fn refused(stage: &Stage, head: &str, asks: &str, status: u16, arrives: bool) -> Result<()> {
    let head = head
        .replace("{H}", &stage.chain.host())
        .replace("{B}", BASE_DOMAIN)
        .replace("{A}", &stage.authorization());
    let mut caller = stage.chain.raw_caller().await?;
    let behind = stage.smuggled();
    caller.send(format!("{head}{asks}\r\n{behind}")).await?;
    let (answers, ended) = answers(&mut caller).await?;
    ensure!(ended == Ended::Closed, "{ended:?}");
    let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
    ensure!(statuses == [status], "{statuses:?}");
    let made: &[Made] = &[("/x".to_owned(), Vec::new())];
    stage
        .nothing_else_came(if arrives { made } else { &[] })
        .await
}
