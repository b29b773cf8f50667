//! A body that is cut in the middle reaches whoever reads it as an error, never
//! as a complete one.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use futures_util::StreamExt;
use integration::chain::{ApiServer, Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::raw_http::{Accepted, Ended, RawUpstream};
use integration::service::Service;
use integration::{suite, tests};
use local_kubernetes::Options;
use reqwest::{Client, Response};
use tokio::task::JoinSet;
use tokio::time::timeout;

fn main() -> ExitCode {
    suite::run(tests![
        a_watch_is_cut_when_a_process_of_ours_is_killed,
        a_watch_is_cut_when_the_api_server_is_killed,
        a_stream_is_cut_when_the_client_goes_silent,
        a_stream_is_cut_when_the_server_goes_silent,
        a_stream_is_cut_when_a_process_of_ours_is_killed,
        an_answer_that_its_upstream_cuts,
        an_http_1_0_caller_sees_a_cut_by_the_missing_close_notify,
        an_upload_that_its_caller_cuts,
        an_upload_is_cut_when_a_process_of_ours_is_killed,
    ])
}

/// Which process is killed.
#[derive(Clone, Copy, Debug)]
enum Killed {
    Sidecar,
    Client,
    Server,
}

impl Killed {
    const ALL: [Self; 3] = [Self::Sidecar, Self::Client, Self::Server];

    fn kill(self, chain: &mut Chain) -> Result<()> {
        match self {
            Self::Sidecar => chain.sidecar.as_mut().context("no sidecar")?.kill(),
            Self::Client => chain.client.kill(),
            Self::Server => chain.server.kill(),
        }
    }
}

async fn is_cut(what: &str, response: Response) -> Result<()> {
    is_cut_within(SOON, what, response).await
}

/// Reads on in a body that is expected to be cut: it may bring more, but must not
/// end.
async fn is_cut_within(within: Duration, what: &str, mut response: Response) -> Result<()> {
    let reading = async {
        loop {
            match response.chunk().await {
                Ok(Some(_)) => {}
                Ok(None) => bail!("{what}: a cut body looks complete"),
                Err(_) => return Ok(()),
            }
        }
    };
    timeout(within, reading)
        .await
        .with_context(|| format!("{what}: a cut body goes on"))?
}

async fn watch(chain: &Chain, version: HttpVersion) -> Result<Response> {
    let url = format!("{}/api/v1/namespaces?watch=true", chain.url_by_host());
    let mut response = version.get(&version.caller(chain)?, &url).await?;
    let first = timeout(SOON, response.chunk()).await??;
    ensure!(first.is_some(), "a watch without an event");
    Ok(response)
}

async fn a_watch_is_cut_when_a_process_of_ours_is_killed(
    environment: Arc<Environment>,
) -> Result<()> {
    for killed in Killed::ALL {
        let mut chain = environment.chain().await?;
        let over_http1 = watch(&chain, HttpVersion::Http1).await?;
        let over_http2 = watch(&chain, HttpVersion::Http2).await?;
        killed.kill(&mut chain)?;
        is_cut(&format!("watch, {killed:?} killed, HTTP/1.1"), over_http1).await?;
        is_cut(&format!("watch, {killed:?} killed, HTTP/2"), over_http2).await?;
        chain.stop().await?;
    }
    Ok(())
}

async fn a_watch_is_cut_when_the_api_server_is_killed(_: Arc<Environment>) -> Result<()> {
    // One of its own, as the suite's is not to be killed.
    let environment = Environment::new(Options::default());
    let chain = environment.chain().await?;
    let over_http1 = watch(&chain, HttpVersion::Http1).await?;
    let over_http2 = watch(&chain, HttpVersion::Http2).await?;
    environment.kubernetes().await?.kill_api_server()?;
    is_cut("watch, API server killed, HTTP/1.1", over_http1).await?;
    is_cut("watch, API server killed, HTTP/2", over_http2).await?;
    chain.stop().await?;
    environment.stop().await
}

/// Pings find it: at most 15 s to the next one, and 10 s for its answer. The test
/// allows five times that.
const SILENCE: Duration = Duration::from_secs(25);

async fn a_stream_is_cut_when_the_client_goes_silent(environment: Arc<Environment>) -> Result<()> {
    let (chain, upstream) = in_the_sidecars_place(&environment).await?;
    let mut open = Vec::new();
    for version in HttpVersion::BOTH {
        open.push((version, call(&chain, &upstream, version, CHUNKED).await?));
    }
    let started = Instant::now();
    suspend(&chain.client).await?;
    for (version, (response, _connection)) in open {
        is_cut_within(
            SILENCE * 5,
            &format!("silent client, {version:?}"),
            response,
        )
        .await?;
    }
    println!(
        "the client's silence was noticed after {:.1?}",
        started.elapsed()
    );
    resume(&chain.client).await?;
    chain.stop().await
}

/// Its upstream notices.
async fn a_stream_is_cut_when_the_server_goes_silent(environment: Arc<Environment>) -> Result<()> {
    let (chain, upstream) = in_the_sidecars_place(&environment).await?;
    let (_response, mut connection) = call(&chain, &upstream, HttpVersion::Http2, CHUNKED).await?;
    let started = Instant::now();
    suspend(&chain.server).await?;
    connection.rest_within(SILENCE * 5).await?;
    println!(
        "the server's silence was noticed after {:.1?}",
        started.elapsed()
    );
    resume(&chain.server).await?;
    chain.stop().await
}

async fn suspend(service: &Service) -> Result<()> {
    signal("-STOP", service).await
}

async fn resume(service: &Service) -> Result<()> {
    signal("-CONT", service).await
}

async fn signal(signal: &str, service: &Service) -> Result<()> {
    let mut kill = tokio::process::Command::new("kill");
    let status = kill
        .args([signal, &service.id().to_string()])
        .status()
        .await?;
    ensure!(status.success(), "kill {signal}: {status}");
    Ok(())
}

/// An upstream where the API server would be, behind the sidecar.
async fn behind_the_sidecar(environment: &Environment) -> Result<(Chain, RawUpstream)> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        api_server: Some(ApiServer {
            url: format!("http://{}", upstream.address),
            ..environment.api_server().await?
        }),
        ..ChainOptions::bare()
    };
    Ok((environment.chain_with(options).await?, upstream))
}

/// An upstream in the sidecar's place.
async fn in_the_sidecars_place(environment: &Environment) -> Result<(Chain, RawUpstream)> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    Ok((environment.chain_with(options).await?, upstream))
}

/// Calls, and gives the answer and the upstream's connection, where `answer` has
/// been sent.
async fn call(
    chain: &Chain,
    upstream: &RawUpstream,
    version: HttpVersion,
    answer: &str,
) -> Result<(Response, Accepted)> {
    let caller = version.caller(chain)?;
    let url = format!("{}/api/v1/secrets", chain.url_by_host());
    let (response, connection) = tokio::join!(version.get(&caller, &url), async {
        let (mut connection, _) = upstream.request().await?;
        connection.send(answer).await?;
        anyhow::Ok(connection)
    });
    Ok((response?, connection?))
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const LENGTH: &str = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
const PIECE: usize = 64 * 1024;

/// Large answers that are in full flow.
async fn a_stream_is_cut_when_a_process_of_ours_is_killed(
    environment: Arc<Environment>,
) -> Result<()> {
    for killed in Killed::ALL {
        for (framing, head) in [("chunked", CHUNKED), ("with a length", LENGTH)] {
            let (mut chain, upstream) = behind_the_sidecar(&environment).await?;
            let mut open = Vec::new();
            let mut sending = JoinSet::new();
            for version in HttpVersion::BOTH {
                let (mut response, connection) = call(&chain, &upstream, version, head).await?;
                sending.spawn(send_on(connection, framing == "chunked"));
                // More than all windows on the way hold: the stream really flows.
                flows(&mut response, 32 << 20).await?;
                open.push((version, response));
            }
            killed.kill(&mut chain)?;
            for (version, response) in open {
                let what = format!("stream {framing}, {killed:?} killed, {version:?}");
                is_cut(&what, response).await?;
            }
            // The upstream notices, too.
            while let Some(ended) = timeout(SOON, sending.join_next()).await? {
                ended?;
            }
            chain.stop().await?;
        }
    }
    Ok(())
}

/// Sends without end.
async fn send_on(mut connection: Accepted, chunked: bool) {
    let piece = "x".repeat(PIECE);
    let message = if chunked {
        format!("{PIECE:x}\r\n{piece}\r\n")
    } else {
        piece
    };
    while connection.send(&message).await.is_ok() {}
}

async fn flows(response: &mut Response, bytes: usize) -> Result<()> {
    let mut received = 0;
    while received < bytes {
        let chunk = timeout(SOON, response.chunk()).await??;
        received += chunk.context("the stream ended")?.len();
    }
    Ok(())
}

async fn an_answer_that_its_upstream_cuts(environment: Arc<Environment>) -> Result<()> {
    let answers = [
        ("within a chunk", format!("{CHUNKED}a\r\n01234")),
        (
            "between two chunks",
            format!("{CHUNKED}a\r\n0123456789\r\n"),
        ),
        (
            "before its last line",
            format!("{CHUNKED}a\r\n0123456789\r\n0\r\n"),
        ),
        ("before its first chunk", CHUNKED.to_owned()),
        ("within its length", format!("{LENGTH}01234")),
        ("before its first byte", LENGTH.to_owned()),
    ];
    for (chain, upstream) in [
        in_the_sidecars_place(&environment).await?,
        behind_the_sidecar(&environment).await?,
    ] {
        for (place, answer) in &answers {
            for version in HttpVersion::BOTH {
                for resets in [false, true] {
                    let (response, connection) = call(&chain, &upstream, version, answer).await?;
                    if resets {
                        connection.reset()?;
                    } else {
                        drop(connection);
                    }
                    let what = format!("{place}, {version:?}, reset: {resets}");
                    is_cut(&what, response).await?;
                }
            }
            // Byte by byte: no last chunk, and the connection is not used again.
            let mut caller = chain.raw_caller().await?;
            caller.send(chain.raw_head(false, "GET", "/x", "")).await?;
            let (mut connection, _) = upstream.request().await?;
            connection.send(answer).await?;
            let head = caller.head().await?;
            ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
            drop(connection);
            let (body, _) = caller.rest().await?;
            ensure!(!body.contains("0\r\n\r\n"), "{place}: {body:?}");
        }
        chain.stop().await?;
    }
    Ok(())
}

/// HTTP/1.0 has no chunks: there the end of the connection is the body's.
async fn an_http_1_0_caller_sees_a_cut_by_the_missing_close_notify(
    environment: Arc<Environment>,
) -> Result<()> {
    let (chain, upstream) = in_the_sidecars_place(&environment).await?;
    for (end, expected) in [
        ("5\r\nabcde\r\n0\r\n\r\n", Ended::Closed),
        ("a\r\nabcde", Ended::Broken),
    ] {
        let mut caller = chain.raw_caller().await?;
        let head = chain
            .raw_head(false, "GET", "/x", "")
            .replacen("HTTP/1.1", "HTTP/1.0", 1);
        caller.send(head).await?;
        let (mut connection, _) = upstream.request().await?;
        connection.send(format!("{CHUNKED}{end}")).await?;
        caller.head().await?;
        ensure!(caller.exactly(5).await? == "abcde");
        drop(connection);
        let (rest, ended) = caller.rest().await?;
        ensure!(
            rest.is_empty() && ended == expected,
            "{end:?}: {rest:?}, {ended:?}"
        );
    }
    chain.stop().await
}

/// The framing of an upload, and the first bytes of a body that it announces to be
/// longer.
const UPLOADS: [(&str, &str, &str); 3] = [
    ("with a length", "Content-Length: 1000\r\n", "01234"),
    (
        "within a chunk",
        "Transfer-Encoding: chunked\r\n",
        "a\r\n01234",
    ),
    (
        "between two chunks",
        "Transfer-Encoding: chunked\r\n",
        "5\r\n01234\r\n",
    ),
];

/// Fails if what an upstream got, a head and then a body, has another framing than
/// was sent or is complete.
async fn upload_is_cut(
    what: &str,
    sent: &str,
    head: &str,
    connection: &mut Accepted,
) -> Result<()> {
    let (rest, _) = connection.rest().await?;
    ensure!(
        head.to_lowercase().contains(&sent.to_lowercase()),
        "{what}: another framing"
    );
    let complete = if sent.contains("chunked") {
        rest.contains("0\r\n\r\n")
    } else {
        rest.len() >= 1000 - 5
    };
    ensure!(!complete, "{what}: looks complete with {rest:?}");
    Ok(())
}

async fn an_upload_that_its_caller_cuts(environment: Arc<Environment>) -> Result<()> {
    for (chain, upstream) in [
        in_the_sidecars_place(&environment).await?,
        behind_the_sidecar(&environment).await?,
    ] {
        for (place, framing, body) in UPLOADS {
            for half_closes in [false, true] {
                let mut caller = chain.raw_caller().await?;
                let head = chain.raw_head(false, "POST", "/api/v1/namespaces", framing);
                caller.send(format!("{head}{body}")).await?;
                let (mut connection, head) = upstream.request().await?;
                ensure!(head.starts_with("POST "), "{head}");
                connection.through("01234").await?;
                if half_closes {
                    caller.finish().await?;
                } else {
                    drop(caller);
                }
                let what = format!("upload {place}, HTTP/1.1, half-close: {half_closes}");
                upload_is_cut(&what, framing, &head, &mut connection).await?;
            }
        }
        for length in [None, Some(1000)] {
            let client = HttpVersion::Http2.caller(&chain)?;
            let what = format!("upload with length {length:?}, HTTP/2");
            cut_upload_over_http2(&what, &chain, &upstream, &client, length).await?;
        }
        chain.stop().await?;
    }
    Ok(())
}

async fn cut_upload_over_http2(
    what: &str,
    chain: &Chain,
    upstream: &RawUpstream,
    client: &Client,
    length: Option<usize>,
) -> Result<()> {
    let (cut, told) = tokio::sync::oneshot::channel::<()>();
    let first = std::future::ready(Ok(Bytes::from_static(b"01234")));
    let then = async {
        // Told or dropped, it fails.
        drop(told.await);
        Err(std::io::Error::other("cut by the test"))
    };
    let body = futures_util::stream::once(first).chain(futures_util::stream::once(then));
    let mut request = client
        .post(format!("{}/api/v1/namespaces", chain.url_by_host()))
        .body(reqwest::Body::wrap_stream(body));
    let framing = match length {
        Some(length) => {
            request = request.header("content-length", length);
            "Content-Length: 1000\r\n"
        }
        None => "Transfer-Encoding: chunked\r\n",
    };
    let (answer, seen) = tokio::join!(request.send(), async {
        let (mut connection, head) = upstream.request().await?;
        connection.through("01234").await?;
        drop(cut);
        upload_is_cut(what, framing, &head, &mut connection).await
    });
    seen?;
    ensure!(answer.is_err(), "{what}: {answer:?}");
    Ok(())
}

async fn an_upload_is_cut_when_a_process_of_ours_is_killed(
    environment: Arc<Environment>,
) -> Result<()> {
    for killed in Killed::ALL {
        for (place, framing, body) in UPLOADS {
            let (mut chain, upstream) = behind_the_sidecar(&environment).await?;
            let mut caller = chain.raw_caller().await?;
            let head = chain.raw_head(false, "POST", "/api/v1/namespaces", framing);
            caller.send(format!("{head}{body}")).await?;
            let (mut connection, head) = upstream.request().await?;
            connection.through("01234").await?;
            killed.kill(&mut chain)?;
            let what = format!("upload {place}, {killed:?} killed");
            upload_is_cut(&what, framing, &head, &mut connection).await?;
            chain.stop().await?;
        }
    }
    Ok(())
}
