//! The other direction: answers whose end could be read in two ways. The caller
//! gets the exact answer or a 502 with its cause, and nobody gets another's.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use integration::chain::{Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::played_cluster;
use integration::raw_http::{Accepted, RawUpstream};
use reqwest::{Client, Method, Response};
use tokio::time::timeout;

/// What the caller is to get.
#[derive(Clone, Copy, Debug)]
enum Gets {
    Exactly(u16, &'static str),
    /// A 502 of the hop that reads the answer.
    Refused(Hop),
    /// The head, then an error; or 502 or an error alone, as a reset may overtake
    /// the head.
    CutBody,
}

/// What a hop says of an answer.
#[derive(Clone, Copy, Debug)]
enum Hop {
    /// It could not be read.
    Broken,
    /// It could be read in two ways.
    Malformed,
}

use Gets::{CutBody, Exactly, Refused};
use Hop::{Broken, Malformed};

const ANSWERS: &[(&str, &str, Gets)] = &[
    (
        "a length, then chunked",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(Malformed),
    ),
    (
        "chunked, then a length",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        Refused(Malformed),
    ),
    (
        "two lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        Refused(Broken),
    ),
    (
        "the same length twice",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        Refused(Malformed),
    ),
    (
        "a list of lengths",
        "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\nhello",
        Refused(Malformed),
    ),
    (
        "a length with a sign",
        "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        Refused(Broken),
    ),
    (
        "a length in hex",
        "HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello",
        Refused(Broken),
    ),
    (
        "chunked behind gzip",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        Refused(Malformed),
    ),
    (
        "chunked before identity",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        Refused(Malformed),
    ),
    (
        "chunked twice",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(Malformed),
    ),
    (
        "chunked in HTTP/1.0",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        Refused(Broken),
    ),
    (
        "a folded line",
        "HTTP/1.1 200 OK\r\nX: y\r\n Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        Refused(Broken),
    ),
    (
        "space before the colon",
        "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello",
        Refused(Broken),
    ),
    (
        "a name that is no token",
        "HTTP/1.1 200 OK\r\nX(y): z\r\nContent-Length: 5\r\n\r\nhello",
        Refused(Broken),
    ),
    (
        "a line without a colon",
        "HTTP/1.1 200 OK\r\nX\r\nContent-Length: 5\r\n\r\nhello",
        Refused(Broken),
    ),
    (
        "a bare carriage return",
        "HTTP/1.1 200 OK\r\nX: y\rContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello",
        Refused(Broken),
    ),
    ("no status line", "hello\r\n\r\n", Refused(Broken)),
    (
        "another version",
        "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        Refused(Broken),
    ),
    (
        "a status of two digits",
        "HTTP/1.1 99 OK\r\nContent-Length: 5\r\n\r\nhello",
        Refused(Broken),
    ),
    (
        "a status of four digits",
        "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello",
        Refused(Broken),
    ),
    (
        "a switch that nobody asked for",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello",
        Refused(Malformed),
    ),
    (
        "bare line feeds",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
        Exactly(200, "hello"),
    ),
    (
        "100 before it",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        Exactly(200, "hello"),
    ),
    (
        "three others before it",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nX: y\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        Exactly(200, "hello"),
    ),
    (
        "a length on what is none",
        "HTTP/1.1 100 Continue\r\nContent-Length: 50\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        Exactly(200, "hello"),
    ),
    (
        "a second answer behind it",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
        Exactly(200, "hello"),
    ),
    (
        "more than its length",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello there",
        Exactly(200, "hello"),
    ),
    (
        "an answer behind its chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
        Exactly(200, "hello"),
    ),
    (
        "an answer in its body",
        "HTTP/1.1 200 OK\r\nContent-Length: 46\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
        Exactly(200, "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"),
    ),
    (
        "a body where none may be",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
        Exactly(204, ""),
    ),
    (
        "a body behind a 304",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello",
        Exactly(304, ""),
    ),
    (
        "extensions and trailers",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n0;x\r\nContent-Length: 9\r\n\r\n",
        Exactly(200, "hello"),
    ),
    (
        "a size with a sign",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
        CutBody,
    ),
    (
        "a size with 0x",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
        CutBody,
    ),
    (
        "a size that wraps",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
        CutBody,
    ),
    (
        "a bare line feed behind a size",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
        CutBody,
    ),
    (
        "a chunk that is longer",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
        CutBody,
    ),
];

pub(crate) async fn answers_in_the_sidecars_place(environment: Arc<Environment>) -> Result<()> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    let chain = environment.chain_with(options).await?;
    let stage = Stage {
        chain,
        upstream,
        broken: "sidecar-broken",
    };
    stage.play().await
}

pub(crate) async fn answers_of_an_api_server(environment: Arc<Environment>) -> Result<()> {
    let (chain, upstream) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let stage = Stage {
        chain,
        upstream,
        broken: "api-server-broken",
    };
    stage.play().await
}

struct Stage {
    chain: Chain,
    upstream: RawUpstream,
    broken: &'static str,
}

impl Stage {
    async fn play(self) -> Result<()> {
        for version in HttpVersion::BOTH {
            let caller = version.caller(&self.chain)?;
            for (case, answer, gets) in ANSWERS {
                timeout(SOON, self.answered(&caller, Method::GET, answer, *gets))
                    .await
                    .context("it hangs")
                    .flatten()
                    .with_context(|| format!("{case}, {version:?}"))?;
            }
            let with_body = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
            self.answered(&caller, Method::HEAD, with_body, Exactly(200, ""))
                .await
                .context("a body behind HEAD")?;
            self.answered_before_it_is_asked(&caller).await?;
        }
        self.chain.stop().await
    }

    /// One answer, then whether the next request gets its own.
    async fn answered(
        &self,
        caller: &Client,
        method: Method,
        answer: &str,
        gets: Gets,
    ) -> Result<()> {
        let url = format!("{}/first", self.chain.url_by_host());
        let asking = caller.request(method, url).send();
        let answering = async {
            let (mut upstream, head) = self.upstream.request().await?;
            ensure!(head.contains(" /first "), "{head}");
            upstream.send(answer).await?;
            anyhow::Ok(upstream)
        };
        let (response, upstream) = tokio::join!(asking, answering);
        match (response, gets) {
            (Err(_), CutBody) => {}
            (response, _) => self.is_as_it_should(response?, gets).await?,
        }
        self.next_gets_its_own(caller, upstream?).await
    }

    async fn is_as_it_should(&self, response: Response, gets: Gets) -> Result<()> {
        let status = response.status().as_u16();
        let error = response.headers().get("culvert-error").cloned();
        let error = error.as_ref().and_then(|code| code.to_str().ok());
        let body = response.text().await;
        match (gets, body) {
            (Exactly(expected, text), Ok(body)) => ensure!(
                (status, error, &*body) == (expected, None, text),
                "{status} {error:?} {body:?}"
            ),
            (Refused(hop), Ok(body)) => {
                let code = match hop {
                    Broken => self.broken,
                    Malformed => "bad-answer",
                };
                ensure!(
                    (status, error) == (502, Some(code)),
                    "{status} {error:?} {body}"
                );
                let status: serde_json::Value = serde_json::from_str(&body)?;
                let message = status["message"].as_str().unwrap_or_default();
                ensure!(
                    message.contains("API server") || message.contains("tunnel-client"),
                    "{message}"
                );
            }
            (CutBody, Err(_)) => ensure!(status == 200, "{status}"),
            (CutBody, Ok(_)) => ensure!(status == 502 && error.is_some(), "{status} {error:?}"),
            (_, body) => bail!("{status} {error:?} {body:?} instead of {gets:?}"),
        }
        Ok(())
    }

    /// On whichever connection it comes.
    async fn next_gets_its_own(&self, caller: &Client, mut kept: Accepted) -> Result<()> {
        let asking = caller
            .get(format!("{}/second", self.chain.url_by_host()))
            .send();
        let answering = async {
            let (mut upstream, head) = tokio::select! {
                Ok(head) = kept.head() => (kept, head),
                request = self.upstream.request() => request?,
            };
            ensure!(head.contains(" /second "), "{head}");
            upstream
                .send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecond")
                .await
        };
        let (response, answered) = tokio::join!(asking, answering);
        answered?;
        let body = response?.error_for_status()?.text().await?;
        ensure!(body == "second", "the next request got {body:?}");
        Ok(())
    }

    /// An answer on an idle connection ends it.
    async fn answered_before_it_is_asked(&self, caller: &Client) -> Result<()> {
        let url = format!("{}/first", self.chain.url_by_host());
        let asking = caller.get(url).send();
        let answering = async {
            let (mut upstream, _) = self.upstream.request().await?;
            upstream
                .send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
                .await?;
            anyhow::Ok(upstream)
        };
        let (response, upstream) = tokio::join!(asking, answering);
        ensure!(response?.text().await? == "hello");
        let mut upstream = upstream?;
        upstream
            .send("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled")
            .await?;
        upstream
            .rest()
            .await
            .context("an idle connection that speaks is kept")?;
        self.next_gets_its_own(caller, upstream).await
    }
}
