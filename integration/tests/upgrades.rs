//! Upgrades and trailers, in front of an upstream of the test's own: once where
//! the sidecar would be, and once behind the sidecar.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use integration::certificate_trust::client_config;
use integration::chain::{ApiServer, Chain, ChainOptions};
use integration::environment::Environment;
use integration::raw_http::{Accepted, Caller, Ended, RawUpstream};
use integration::{suite, tests};
use tokio::task::JoinSet;

/// What the callers of these tests send right behind their request.
const EARLY: &str = "early bytes";
/// The five that kubectl offers, best first.
const STREAM_PROTOCOLS: [&str; 5] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v3.channel.k8s.io",
    "v2.channel.k8s.io",
    "channel.k8s.io",
];

fn main() -> ExitCode {
    suite::run(tests![
        a_websocket_by_host_and_by_path,
        spdy_is_a_post_and_keeps_its_stream_protocols_in_order,
        nothing_goes_upstream_before_101_and_early_bytes_are_kept_after_it,
        each_direction_ends_by_itself,
        a_refusal_reaches_the_caller_and_early_bytes_are_dropped,
        another_protocol_than_asked_for_is_a_bad_gateway,
        h2c_is_a_bad_request,
        the_end_of_one_side_ends_the_other,
        what_an_upstream_had_sent_arrives_whatever_the_caller_still_says,
        a_cut_is_no_clean_end_to_the_caller,
        response_trailers_reach_callers,
        request_trailers_reach_the_upstream,
    ])
}

/// A chain and the upstream that it leads to.
struct Way {
    chain: Chain,
    upstream: RawUpstream,
}

/// With the upstream in the sidecar's place, and behind the sidecar.
async fn ways(environment: &Environment) -> Result<[Way; 2]> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    let without = Way {
        chain: environment.chain_with(options).await?,
        upstream,
    };
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        api_server: Some(ApiServer {
            url: format!("http://{}", upstream.address),
            ..environment.api_server().await?
        }),
        // The filter refuses exec; what it refuses is tested elsewhere.
        sidecar_arguments: vec!["--disable-filter".into()],
        ..ChainOptions::bare()
    };
    let with = Way {
        chain: environment.chain_with(options).await?,
        upstream,
    };
    Ok([without, with])
}

impl Way {
    /// Asks for an upgrade and gives both ends, before any answer.
    async fn ask(&self, by_path: bool, method: &str, lines: &str) -> Result<Asked> {
        let mut caller = self.chain.raw_caller().await?;
        let head = self.chain.raw_head(by_path, method, EXEC, lines);
        caller.send(format!("{head}{EARLY}")).await?;
        let (upstream, request) = self.upstream.request().await?;
        Ok(Asked {
            caller,
            upstream,
            request,
        })
    }

    /// A WebSocket that is open, early bytes read.
    async fn open(&self) -> Result<(Caller, Accepted)> {
        let mut asked = self.ask(false, "GET", WEBSOCKET).await?;
        asked.upstream.send(switching("websocket", "")).await?;
        asked.caller.head().await?;
        ensure!(asked.upstream.exactly(EARLY.len()).await? == EARLY);
        Ok((asked.caller, asked.upstream))
    }
}

struct Asked {
    caller: Caller,
    upstream: Accepted,
    request: String,
}

const EXEC: &str = "/api/v1/namespaces/default/pods/a/exec?command=sh&stdin=true";
const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n";

fn switching(protocol: &str, lines: &str) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{lines}\r\n"
    )
}

/// The values of a header in a message's head, in order.
fn values<'a>(head: &'a str, name: &str) -> Vec<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .filter(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
        .collect()
}

fn has_status(head: &str, status: u16) -> Result<()> {
    ensure!(
        head.starts_with(&format!("HTTP/1.1 {status} ")),
        "not {status}: {head}"
    );
    Ok(())
}

async fn echo(caller: &mut Caller, upstream: &mut Accepted) -> Result<()> {
    caller.send("from the caller").await?;
    ensure!(upstream.exactly(15).await? == "from the caller");
    upstream.send("from the upstream").await?;
    ensure!(caller.exactly(17).await? == "from the upstream");
    Ok(())
}

async fn a_websocket_by_host_and_by_path(environment: Arc<Environment>) -> Result<()> {
    for way in ways(&environment).await? {
        for by_path in [false, true] {
            let mut asked = way.ask(by_path, "GET", WEBSOCKET).await?;
            let request = &asked.request;
            ensure!(
                request.starts_with(&format!("GET {EXEC} HTTP/1.1\r\n")),
                "{request}"
            );
            ensure!(values(request, "upgrade") == ["websocket"], "{request}");
            ensure!(values(request, "connection") == ["Upgrade"], "{request}");
            ensure!(
                values(request, "sec-websocket-version") == ["13"],
                "{request}"
            );
            ensure!(
                values(request, "sec-websocket-key") == ["dGhlIHNhbXBsZSBub25jZQ=="],
                "{request}"
            );
            ensure!(
                values(request, "sec-websocket-protocol") == ["v5.channel.k8s.io"],
                "{request}"
            );

            let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: v5.channel.k8s.io\r\n";
            // The answer's protocol is compared without case, as names of protocols are.
            asked.upstream.send(switching("WebSocket", accept)).await?;
            let answer = asked.caller.head().await?;
            has_status(&answer, 101)?;
            ensure!(values(&answer, "upgrade") == ["websocket"], "{answer}");
            ensure!(
                values(&answer, "sec-websocket-accept") == ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="],
                "{answer}"
            );
            ensure!(
                values(&answer, "sec-websocket-protocol") == ["v5.channel.k8s.io"],
                "{answer}"
            );
            ensure!(asked.upstream.exactly(EARLY.len()).await? == EARLY);
            echo(&mut asked.caller, &mut asked.upstream).await?;
        }
        way.chain.stop().await?;
    }
    Ok(())
}

async fn spdy_is_a_post_and_keeps_its_stream_protocols_in_order(
    environment: Arc<Environment>,
) -> Result<()> {
    let offered: String = STREAM_PROTOCOLS
        .iter()
        .map(|protocol| format!("X-Stream-Protocol-Version: {protocol}\r\n"))
        .collect();
    for way in ways(&environment).await? {
        for (by_path, length) in [(false, ""), (true, "Content-Length: 0\r\n")] {
            let lines = format!("Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n{offered}{length}");
            let mut asked = way.ask(by_path, "POST", &lines).await?;
            let request = &asked.request;
            ensure!(
                request.starts_with(&format!("POST {EXEC} HTTP/1.1\r\n")),
                "{request}"
            );
            ensure!(values(request, "upgrade") == ["SPDY/3.1"], "{request}");
            ensure!(
                values(request, "x-stream-protocol-version") == STREAM_PROTOCOLS,
                "{request}"
            );
            ensure!(values(request, "transfer-encoding").is_empty(), "{request}");

            let chosen = "X-Stream-Protocol-Version: v4.channel.k8s.io\r\n";
            asked.upstream.send(switching("SPDY/3.1", chosen)).await?;
            let answer = asked.caller.head().await?;
            has_status(&answer, 101)?;
            ensure!(values(&answer, "upgrade") == ["SPDY/3.1"], "{answer}");
            ensure!(
                values(&answer, "x-stream-protocol-version") == ["v4.channel.k8s.io"],
                "{answer}"
            );
            ensure!(asked.upstream.exactly(EARLY.len()).await? == EARLY);
            echo(&mut asked.caller, &mut asked.upstream).await?;
        }
        way.chain.stop().await?;
    }
    Ok(())
}

async fn nothing_goes_upstream_before_101_and_early_bytes_are_kept_after_it(
    environment: Arc<Environment>,
) -> Result<()> {
    for way in ways(&environment).await? {
        let mut asked = way.ask(false, "GET", WEBSOCKET).await?;
        // While a whole other exchange passes, nothing may follow.
        let mut other = way.chain.raw_caller().await?;
        other
            .send(way.chain.raw_head(false, "GET", "/version", ""))
            .await?;
        let (mut answering, _) = way.upstream.request().await?;
        answering
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await?;
        other.through("ok").await?;
        let arrived = asked.upstream.arrived()?;
        ensure!(
            arrived.is_empty(),
            "before 101 the upstream got {arrived:?}"
        );

        // The upstream may be early, too: with its first bytes behind its 101.
        let answer = format!("{}first", switching("websocket", ""));
        asked.upstream.send(answer).await?;
        has_status(&asked.caller.head().await?, 101)?;
        ensure!(asked.caller.exactly(5).await? == "first");
        ensure!(asked.upstream.exactly(EARLY.len()).await? == EARLY);
        way.chain.stop().await?;
    }
    Ok(())
}

async fn each_direction_ends_by_itself(environment: Arc<Environment>) -> Result<()> {
    for way in ways(&environment).await? {
        let (mut caller, mut upstream) = way.open().await?;
        caller.send("last").await?;
        caller.finish().await?;
        ensure!(upstream.rest().await? == ("last".into(), Ended::Closed));
        upstream.send("still here").await?;
        ensure!(caller.exactly(10).await? == "still here");
        upstream.finish().await?;
        ensure!(caller.rest().await? == (String::new(), Ended::Closed));

        let (mut caller, mut upstream) = way.open().await?;
        upstream.send("last").await?;
        upstream.finish().await?;
        ensure!(caller.rest().await? == ("last".into(), Ended::Closed));
        caller.send("still here").await?;
        ensure!(upstream.exactly(10).await? == "still here");
        caller.finish().await?;
        ensure!(upstream.rest().await? == (String::new(), Ended::Closed));
        way.chain.stop().await?;
    }
    Ok(())
}

async fn a_refusal_reaches_the_caller_and_early_bytes_are_dropped(
    environment: Arc<Environment>,
) -> Result<()> {
    let spdy = "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n";
    for way in ways(&environment).await? {
        for (method, lines) in [("GET", WEBSOCKET), ("POST", spdy)] {
            let mut asked = way.ask(false, method, lines).await?;
            let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n\
                Content-Length: 7\r\nConnection: close\r\n\r\nrefused";
            asked.upstream.send(refusal).await?;
            let answer = asked.caller.head().await?;
            has_status(&answer, 403)?;
            ensure!(
                values(&answer, "content-type") == ["text/plain"],
                "{answer}"
            );
            ensure!(values(&answer, "connection") == ["close"], "{answer}");
            ensure!(values(&answer, "culvert-error").is_empty(), "{answer}");
            ensure!(asked.caller.rest().await?.0 == "refused");
            let (came, _) = asked.upstream.rest().await?;
            ensure!(came.is_empty(), "the upstream got {came:?}");
        }
        way.chain.stop().await?;
    }
    Ok(())
}

async fn another_protocol_than_asked_for_is_a_bad_gateway(
    environment: Arc<Environment>,
) -> Result<()> {
    let nothing = "HTTP/1.1 101 Switching Protocols\r\n\r\n".to_owned();
    let wrong = [switching("SPDY/3.1", ""), switching("h2c", ""), nothing];
    for way in ways(&environment).await? {
        for answer in wrong.iter().cloned() {
            let mut asked = way.ask(false, "GET", WEBSOCKET).await?;
            asked.upstream.send(answer).await?;
            is_bad_answer(&mut asked.caller).await?;
            let (came, _) = asked.upstream.rest().await?;
            ensure!(came.is_empty(), "the upstream got {came:?}");
        }
        // And to a request that asks for no upgrade.
        let mut caller = way.chain.raw_caller().await?;
        caller
            .send(way.chain.raw_head(false, "GET", "/version", ""))
            .await?;
        let (mut upstream, _) = way.upstream.request().await?;
        upstream.send(switching("websocket", "")).await?;
        is_bad_answer(&mut caller).await?;
        upstream.rest().await?;
        way.chain.stop().await?;
    }
    Ok(())
}

async fn is_bad_answer(caller: &mut Caller) -> Result<()> {
    let answer = caller.head().await?;
    has_status(&answer, 502)?;
    ensure!(
        values(&answer, "culvert-error") == ["bad-answer"],
        "{answer}"
    );
    Ok(())
}

async fn h2c_is_a_bad_request(environment: Arc<Environment>) -> Result<()> {
    for way in ways(&environment).await? {
        let upgrades = [
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
            "Connection: Upgrade\r\n",
        ];
        for lines in upgrades {
            let mut caller = way.chain.raw_caller().await?;
            let head = way.chain.raw_head(false, "GET", EXEC, lines);
            caller.send(format!("{head}{EARLY}")).await?;
            let answer = caller.head().await?;
            has_status(&answer, 400)?;
            ensure!(
                values(&answer, "culvert-error") == ["bad-request"],
                "{answer}"
            );
            ensure!(values(&answer, "connection") == ["close"], "{answer}");
            caller.rest().await?;
        }
        // The first that reaches the upstream is this one.
        let asked = way.ask(true, "GET", WEBSOCKET).await?;
        ensure!(values(&asked.request, "upgrade") == ["websocket"]);
        way.chain.stop().await?;
    }
    Ok(())
}

async fn the_end_of_one_side_ends_the_other(environment: Arc<Environment>) -> Result<()> {
    for way in ways(&environment).await? {
        let (caller, mut upstream) = way.open().await?;
        // Without close_notify: the caller's process is gone.
        drop(caller);
        upstream.rest().await?;

        // Also while the upstream has not answered yet. Without early bytes: with
        // bytes in hand hyper does not read on, and so sees no end.
        let mut caller = way.chain.raw_caller().await?;
        caller
            .send(way.chain.raw_head(false, "GET", EXEC, WEBSOCKET))
            .await?;
        let (mut upstream, _) = way.upstream.request().await?;
        drop(caller);
        upstream.rest().await?;

        let (mut caller, upstream) = way.open().await?;
        drop(upstream);
        caller.rest().await?;

        let mut asked = way.ask(false, "GET", WEBSOCKET).await?;
        drop(asked.upstream);
        has_status(&asked.caller.head().await?, 502)?;
        way.chain.stop().await?;
    }
    Ok(())
}

/// As an API server ends a stream: it closes its connection, and its system answers
/// what the caller still sends with a reset.
async fn what_an_upstream_had_sent_arrives_whatever_the_caller_still_says(
    environment: Arc<Environment>,
) -> Result<()> {
    for way in ways(&environment).await? {
        let (mut caller, mut upstream) = way.open().await?;
        // What fits into the first window: it has come when it is sent.
        let last = "last".repeat(4 << 10);
        upstream.send(&last).await?;
        drop(upstream);
        caller.send("ping".repeat(64 << 10)).await?;
        let (got, ended) = caller.rest().await?;
        ensure!(got == last, "{} bytes of {}", got.len(), last.len());
        ensure!(ended == Ended::Closed, "{ended:?}");
        way.chain.stop().await?;
    }
    Ok(())
}

async fn a_cut_is_no_clean_end_to_the_caller(environment: Arc<Environment>) -> Result<()> {
    for mut way in ways(&environment).await? {
        let (mut caller, mut upstream) = way.open().await?;
        upstream.send("half").await?;
        ensure!(caller.exactly(4).await? == "half");
        upstream.reset()?;
        let ended = caller.rest().await?;
        ensure!(ended == (String::new(), Ended::Broken), "{ended:?}");

        let (mut caller, mut upstream) = way.open().await?;
        way.chain.client.kill()?;
        let ended = caller.rest().await?;
        ensure!(ended == (String::new(), Ended::Broken), "{ended:?}");
        upstream.rest().await?;
        way.chain.stop().await?;
    }
    Ok(())
}

const TRAILERS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
    Trailer: X-Checksum\r\n\r\n4\r\nbody\r\n0\r\nX-Checksum: abc\r\n\r\n";

async fn response_trailers_reach_callers(environment: Arc<Environment>) -> Result<()> {
    for way in ways(&environment).await? {
        let mut caller = way.chain.raw_caller().await?;
        caller
            .send(
                way.chain
                    .raw_head(false, "GET", "/x", "TE: trailers\r\nConnection: TE\r\n"),
            )
            .await?;
        let (mut upstream, request) = way.upstream.request().await?;
        ensure!(values(&request, "te") == ["trailers"], "{request}");
        upstream.send(TRAILERS).await?;
        let head = caller.head().await?;
        ensure!(
            values(&head, "trailer")
                .first()
                .is_some_and(|name| name.eq_ignore_ascii_case("x-checksum")),
            "{head}"
        );
        let body = caller.through("\r\n\r\n").await?.to_lowercase();
        ensure!(
            body == "4\r\nbody\r\n0\r\nx-checksum: abc\r\n\r\n",
            "{body:?}"
        );
        drop((caller, upstream));

        let mut over_h2 = H2Caller::connect(&way.chain).await?;
        let (answer, answered) = tokio::join!(over_h2.send(&way.chain, Vec::new(), false), async {
            let (mut upstream, _) = way.upstream.request().await?;
            upstream.send(TRAILERS).await?;
            anyhow::Ok(upstream)
        });
        let (_upstream, collected) = (answered?, answer?.into_body().collect().await?);
        let trailers = collected.trailers().context("no trailers")?.clone();
        ensure!(trailers["x-checksum"] == "abc", "{trailers:?}");
        ensure!(collected.to_bytes() == "body");
        way.chain.stop().await?;
    }
    Ok(())
}

async fn request_trailers_reach_the_upstream(environment: Arc<Environment>) -> Result<()> {
    for way in ways(&environment).await? {
        let trailers = [(
            http::HeaderName::from_static("x-checksum"),
            http::HeaderValue::from_static("abc"),
        )];
        let frames = vec![
            Frame::data(Bytes::from_static(b"body")),
            Frame::trailers(trailers.into_iter().collect()),
        ];
        let mut over_h2 = H2Caller::connect(&way.chain).await?;
        let (answer, sent) = tokio::join!(over_h2.send(&way.chain, frames, true), async {
            let (mut upstream, head) = way.upstream.request().await?;
            let body = upstream.through("\r\n\r\n").await?;
            upstream
                .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                .await?;
            anyhow::Ok((head, body))
        });
        let (head, body) = sent?;
        ensure!(values(&head, "trailer") == ["x-checksum"], "{head}");
        ensure!(
            body.to_lowercase() == "4\r\nbody\r\n0\r\nx-checksum: abc\r\n\r\n",
            "{body:?}"
        );
        ensure!(answer?.status() == 200);
        way.chain.stop().await?;
    }
    Ok(())
}

type FrameStream = StreamBody<
    futures_util::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, std::io::Error>>>,
>;

/// An HTTP/2 caller that shows trailers.
struct H2Caller {
    sender: hyper::client::conn::http2::SendRequest<FrameStream>,
    _connection: JoinSet<()>,
}

impl H2Caller {
    async fn connect(chain: &Chain) -> Result<Self> {
        let tls = client_config(&chain.ca_file(), &[b"h2"])?;
        let tcp = tokio::net::TcpStream::connect(chain.server_address).await?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(tls))
            .connect(rustls::pki_types::ServerName::try_from(chain.host())?, tcp)
            .await?;
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await?;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        Ok(Self {
            sender,
            _connection: tasks,
        })
    }

    async fn send(
        &mut self,
        chain: &Chain,
        frames: Vec<Frame<Bytes>>,
        announce: bool,
    ) -> Result<hyper::Response<hyper::body::Incoming>> {
        let frames: Vec<_> = frames.into_iter().map(Ok).collect();
        let mut request = hyper::Request::new(StreamBody::new(futures_util::stream::iter(frames)));
        *request.method_mut() = if announce {
            http::Method::POST
        } else {
            http::Method::GET
        };
        *request.uri_mut() = format!("https://{}/x", chain.host()).parse()?;
        let headers = request.headers_mut();
        headers.insert("te", http::HeaderValue::from_static("trailers"));
        if announce {
            headers.insert("trailer", http::HeaderValue::from_static("x-checksum"));
        }
        headers.insert(
            "authorization",
            http::HeaderValue::try_from(format!("Bearer {}", chain.access_token.expose()))?,
        );
        Ok(self.sender.send_request(request).await?)
    }
}
