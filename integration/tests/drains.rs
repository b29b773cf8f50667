//! What ends, and how: uploads that are reset, processes that drain while
//! something is open or nothing is, and a server that falls silent.

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::Reason;
use h2::client::SendRequest;
use http::{Method, Request};
use integration::certificate_trust::client_config;
use integration::chain::{ApiServer, Chain, ChainOptions, SOON, client_arguments};
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::raw_http::{Accepted, RawUpstream};
use integration::replica::Replica;
use integration::server_config::new_token;
use integration::service::Service;
use integration::switch::Switch;
use integration::wait::until;
use integration::{suite, tests};
use local_kubernetes::process::Spawner;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::Response;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tunnel_protocol::limits::HANDSHAKE_TIMEOUT;
use tunnel_protocol::token::TokenKind;

/// Nothing is left to wait for. Milliseconds; a second for what looks around once
/// a second, and five times that on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(5);

/// The server's and the client's default.
const DRAIN: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    suite::run(tests![
        an_upload_that_is_reset_with_no_error_is_cut,
        uploads_keep_their_length,
        an_early_answer_to_an_upload_is_whole,
        a_client_that_drains_lets_a_stream_go_on,
        an_idle_client_ends_at_once,
        an_idle_sidecar_is_interrupted_at_once,
        a_server_that_drains_tells_an_idle_link,
        a_server_that_drains_lets_a_stream_go_on,
        a_server_that_drains_hands_its_client_over,
        a_server_that_falls_silent_is_given_up_on,
    ])
}

/// An upstream in the sidecar's place.
async fn chain(environment: &Environment) -> Result<(Chain, RawUpstream)> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    Ok((environment.chain_with(options).await?, upstream))
}

// --- Uploads -------------------------------------------------------------

/// A caller's HTTP/2 connection, frame by frame.
struct Http2 {
    sender: SendRequest<Bytes>,
    /// Drives it.
    _connection: JoinSet<()>,
}

impl Http2 {
    async fn connect(chain: &Chain) -> Result<Self> {
        let stream = TcpStream::connect(chain.server_address).await?;
        stream.set_nodelay(true)?;
        let config = client_config(&chain.ca_file(), &[b"h2"])?;
        let name = ServerName::try_from(chain.host())?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        let mut driver = JoinSet::new();
        driver.spawn(async { drop(connection.await) });
        Ok(Self {
            sender,
            _connection: driver,
        })
    }

    /// Starts an upload.
    async fn post(
        &mut self,
        chain: &Chain,
        length: Option<usize>,
    ) -> Result<(h2::client::ResponseFuture, h2::SendStream<Bytes>)> {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/api/v1/namespaces", chain.url_by_host()))
            .header(
                "authorization",
                format!("Bearer {}", chain.access_token.expose()),
            );
        if let Some(length) = length {
            request = request.header("content-length", length);
        }
        self.sender = self.sender.clone().ready().await?;
        Ok(self.sender.send_request(request.body(())?, false)?)
    }
}

/// What arrived of one upload has the right framing and no end.
fn must_be_cut(what: &str, head: &str, body: &str, length: Option<usize>) -> Result<()> {
    let head = head.to_lowercase();
    let Some(length) = length else {
        ensure!(
            head.contains("transfer-encoding: chunked") && !head.contains("content-length"),
            "{what}: another framing"
        );
        ensure!(!body.contains("0\r\n"), "{what} looks whole: {body:?}");
        return Ok(());
    };
    ensure!(
        head.contains(&format!("content-length: {length}\r\n")),
        "{what}: another framing"
    );
    ensure!(body.len() < length, "{what} looks whole: {body:?}");
    Ok(())
}

async fn an_upload_that_is_reset_with_no_error_is_cut(environment: Arc<Environment>) -> Result<()> {
    let (chain, upstream) = chain(&environment).await?;
    let mut caller = Http2::connect(&chain).await?;
    for round in 0..30 {
        for length in [None, Some(1000)] {
            for reason in [Reason::NO_ERROR, Reason::CANCEL] {
                let what = format!("upload {round}, length {length:?}, reset with {reason:?}");
                let (answer, mut body) = caller.post(&chain, length).await?;
                body.send_data(Bytes::from_static(b"abcde"), false)?;
                let (mut connection, head) = upstream.request().await?;
                if round % 2 == 0 {
                    connection.through("abcde").await?;
                } else {
                    // The reset follows its data closely.
                    body.send_data(Bytes::from_static(b"fghij"), false)?;
                }
                body.send_reset(reason);
                let (rest, _) = connection.rest().await.context(what.clone())?;
                must_be_cut(&what, &head, &rest, length)?;
                ensure!(answer.await.is_err(), "{what}: an answer");
            }
        }
    }
    chain.stop().await
}

async fn uploads_keep_their_length(environment: Arc<Environment>) -> Result<()> {
    let (chain, upstream) = chain(&environment).await?;
    for version in HttpVersion::BOTH {
        let caller = version.caller(&chain)?;
        for (body, expected) in [
            ("abc", "content-length: 3\r\n"),
            ("", "content-length: 0\r\n"),
        ] {
            let url = format!("{}/api/v1/namespaces", chain.url_by_host());
            // As curl -d does, which also names the length of nothing.
            let request = caller
                .post(&url)
                .header("content-length", body.len())
                .body(body);
            let answer = async {
                let (mut connection, head) = upstream.request().await?;
                let head = head.to_lowercase();
                ensure!(
                    head.contains(expected) && !head.contains("transfer-encoding"),
                    "{version:?}, {body:?}: another framing"
                );
                ensure!(connection.exactly(body.len()).await? == body);
                connection
                    .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    .await
            };
            let call = async { anyhow::Ok(request.send().await?) };
            let (response, ()) = tokio::try_join!(call, answer)?;
            ensure!(response.status() == 200, "{version:?}, {body:?}");
        }
    }
    chain.stop().await
}

/// The hop that answers resets the rest of the upload with NO_ERROR, which must
/// not make the answer look cut.
async fn an_early_answer_to_an_upload_is_whole(environment: Arc<Environment>) -> Result<()> {
    const ANSWERS: [&str; 2] = [
        "HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\nConnection: close\r\n\r\ntoo large",
        "HTTP/1.1 413 Too Large\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n9\r\ntoo large\r\n0\r\n\r\n",
    ];
    let (chain, upstream) = chain(&environment).await?;
    let mut caller = Http2::connect(&chain).await?;
    for round in 0..20 {
        for answer in ANSWERS {
            for length in [None, Some(1000)] {
                let what = format!("round {round}, length {length:?}");
                let (response, mut body) = caller.post(&chain, length).await?;
                body.send_data(Bytes::from_static(b"abcde"), false)?;
                let (mut connection, _) = upstream.request().await?;
                connection.through("abcde").await?;
                connection.send(answer).await?;
                connection.finish().await?;
                let response = timeout(SOON, response).await?.context(what.clone())?;
                ensure!(response.status() == 413, "{what}: {}", response.status());
                let mut received = Vec::new();
                let mut answer = response.into_body();
                while let Some(data) = timeout(SOON, answer.data()).await? {
                    received.extend_from_slice(&data.context(what.clone())?);
                }
                ensure!(received == b"too large", "{what}: {received:?}");
            }
        }
    }
    chain.stop().await
}

// --- Drains --------------------------------------------------------------

/// An answer that streams; both of its ends.
struct Open {
    caller: Response,
    upstream: Accepted,
}

impl Open {
    async fn start(chain: &Chain, upstream: &RawUpstream, version: HttpVersion) -> Result<Self> {
        let client = version.caller(chain)?;
        let url = format!("{}/api/v1/pods?watch=true", chain.url_by_host());
        let answer = async {
            let (mut connection, _) = upstream.request().await?;
            connection
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            anyhow::Ok(connection)
        };
        let (caller, upstream) = tokio::try_join!(version.get(&client, &url), answer)?;
        let mut open = Self { caller, upstream };
        open.goes_on().await?;
        Ok(open)
    }

    async fn goes_on(&mut self) -> Result<()> {
        self.upstream.send("5\r\nevent\r\n").await?;
        let mut received = Vec::new();
        while received.len() < 5 {
            let chunk = timeout(SOON, self.caller.chunk()).await??;
            received.extend_from_slice(&chunk.context("the answer ended")?);
        }
        ensure!(received == b"event", "{received:?}");
        Ok(())
    }

    async fn end(mut self) -> Result<()> {
        self.upstream.send("4\r\nlast\r\n0\r\n\r\n").await?;
        let rest = timeout(SOON, self.caller.bytes()).await??;
        ensure!(rest == "last", "{rest:?}");
        Ok(())
    }
}

async fn both(chain: &Chain, upstream: &RawUpstream) -> Result<[Open; 2]> {
    Ok([
        Open::start(chain, upstream, HttpVersion::Http1).await?,
        Open::start(chain, upstream, HttpVersion::Http2).await?,
    ])
}

/// A request that is answered, over a connection that its caller keeps.
async fn exchange(chain: &Chain, upstream: &RawUpstream) -> Result<(reqwest::Client, Accepted)> {
    let caller = HttpVersion::Http2.caller(chain)?;
    let answer = async {
        let (mut connection, _) = upstream.request().await?;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await?;
        anyhow::Ok(connection)
    };
    let call = async {
        let response = caller.get(chain.url_by_host()).send().await?;
        anyhow::Ok(response.text().await?)
    };
    let (text, connection) = tokio::try_join!(call, answer)?;
    ensure!(text == "ok", "{text}");
    Ok((caller, connection))
}

async fn log_line(service: &Service, message: &str) -> Result<serde_json::Value> {
    until(&format!("{message:?} in a log"), SOON, || async {
        let lines = service.log_lines();
        Ok(lines.into_iter().find(|line| line["message"] == message))
    })
    .await
}

/// Waits for a process that is to end by itself, with nothing cut.
async fn ends_within(
    limit: Duration,
    what: &str,
    since: Instant,
    service: &mut Service,
) -> Result<()> {
    let code = service.ended(limit + SOON).await?;
    let took = since.elapsed();
    println!("{what} ended after {took:.1?}");
    ensure!(code == Some(0), "{what} ended with {code:?}");
    ensure!(took < limit, "{what} took {took:?}");
    let end = log_line(service, "ended").await?;
    ensure!(end["cut"] == 0, "{what} cut {}", end["cut"]);
    ensure!(
        end.get("cut_links").is_none_or(|cut| cut == 0),
        "{what} cut {} links",
        end["cut_links"]
    );
    Ok(())
}

async fn a_client_that_drains_lets_a_stream_go_on(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, upstream) = chain(&environment).await?;
    let mut open = both(&chain, &upstream).await?;
    chain.client.terminate()?;
    log_line(&chain.server, "the client drains").await?;
    for open in &mut open {
        open.goes_on().await?;
    }
    // The cluster has no other link.
    let refused = chain.caller()?.get(chain.url_by_host()).send().await?;
    ensure!(refused.status() == 503, "{}", refused.status());
    for open in &mut open {
        open.goes_on().await?;
    }
    chain.config.cluster("unrelated", &[]);
    chain.write_config()?;
    until("a reload", SOON, || async {
        let lines = chain.server.log_lines();
        Ok(lines.iter().any(|line| line["clusters"] == 2).then_some(()))
    })
    .await?;
    for mut open in open {
        open.goes_on().await?;
        open.end().await?;
    }
    let last = Instant::now();
    ends_within(
        AT_ONCE,
        "tunnel-client, its last stream",
        last,
        &mut chain.client,
    )
    .await?;
    chain.stop().await
}

async fn an_idle_client_ends_at_once(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, upstream) = chain(&environment).await?;
    for used in [false, true] {
        let kept = match used {
            true => Some(exchange(&chain, &upstream).await?),
            false => None,
        };
        let asked = Instant::now();
        chain.client.terminate()?;
        let what = format!("tunnel-client, idle, used: {used},");
        ends_within(AT_ONCE, &what, asked, &mut chain.client).await?;
        drop(kept);
        chain.restart_client().await?;
        chain.linked().await?;
    }
    chain.stop().await
}

async fn an_idle_sidecar_is_interrupted_at_once(environment: Arc<Environment>) -> Result<()> {
    let cluster = RawUpstream::bind().await?;
    let options = ChainOptions {
        api_server: Some(ApiServer {
            url: format!("http://{}", cluster.address),
            ca_pem: Certificate::new()?.ca_pem,
            token: "the-service-accounts-own-token-0123456789".to_owned(),
        }),
        ..ChainOptions::bare()
    };
    let mut chain = environment.chain_with(options).await?;
    // Its connections to both sides stay open, and so does one that says nothing.
    let kept = exchange(&chain, &cluster).await?;
    let mut sidecar = chain.sidecar.take().context("no sidecar")?;
    let silent = TcpStream::connect(sidecar.address.context("no address")?).await?;
    let asked = Instant::now();
    sidecar.interrupt()?;
    ends_within(AT_ONCE, "proxy-sidecar, idle,", asked, &mut sidecar).await?;
    drop((kept, silent));
    chain.sidecar = Some(sidecar);
    chain.stop().await
}

async fn a_server_that_drains_tells_an_idle_link(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, upstream) = chain(&environment).await?;
    let kept = exchange(&chain, &upstream).await?;
    let asked = Instant::now();
    chain.server.terminate()?;
    log_line(&chain.client, "the server drains").await?;
    println!("tunnel-client knew after {:.1?}", asked.elapsed());
    ends_within(DRAIN, "tunnel-server, idle,", asked, &mut chain.server).await?;
    drop(kept);
    // The client has gone on to look for it.
    chain.restart_server().await?;
    chain.linked().await?;
    chain.stop().await
}

async fn a_server_that_drains_lets_a_stream_go_on(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, upstream) = chain(&environment).await?;
    let mut open = both(&chain, &upstream).await?;
    chain.server.terminate()?;
    log_line(&chain.client, "the server drains").await?;
    // It finds nobody, and keeps what it has.
    log_line(&chain.client, "no link").await?;
    for open in &mut open {
        open.goes_on().await?;
    }
    for open in open {
        open.end().await?;
    }
    let last = Instant::now();
    ends_within(
        AT_ONCE,
        "tunnel-server, its last stream",
        last,
        &mut chain.server,
    )
    .await?;
    chain.stop().await
}

/// The new link is there while the old one still has its streams.
async fn a_server_that_drains_hands_its_client_over(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, upstream) = chain(&environment).await?;
    chain.client.kill()?;
    let switch = Switch::start(chain.server_address).await?;
    let arguments = client_arguments(switch.address, upstream.address);
    let folder = chain.folder().to_owned();
    chain.client = Service::start(chain.spawner(), "tunnel-client", &arguments, &folder).await?;
    log_line(&chain.client, "linked").await?;
    chain.linked().await?;
    let mut open = both(&chain, &upstream).await?;

    let another = Replica::start(&chain, "another-server", &[]).await?;
    switch.to(another.address);
    chain.server.terminate()?;
    until("a link with the other server", SOON, || async {
        Ok((another.links().await? == 1).then_some(()))
    })
    .await?;
    for open in &mut open {
        open.goes_on().await?;
    }
    let url = format!("https://{}:{}/", chain.host(), another.address.port());
    let call = async { anyhow::Ok(chain.caller()?.get(url).send().await?) };
    let answer = async {
        let (mut connection, _) = upstream.request().await?;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await
    };
    let (response, ()) = tokio::try_join!(call, answer)?;
    ensure!(response.status() == 200, "{}", response.status());
    for mut open in open {
        open.goes_on().await?;
        open.end().await?;
    }
    let last = Instant::now();
    ends_within(
        AT_ONCE,
        "tunnel-server, handed over,",
        last,
        &mut chain.server,
    )
    .await?;
    environment
        .secrets
        .must_not_be_in_file(&another.service.log())?;
    chain.stop().await
}

// --- A server that falls silent -------------------------------------------

/// A certificate for localhost, of an authority of its own.
struct Certificate {
    ca_pem: String,
    server: ServerConfig,
}

impl Certificate {
    fn new() -> Result<Self> {
        let mut ca = CertificateParams::default();
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &ca)?;
        let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?;
        let mut server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            ca_pem: ca.pem(),
            server,
        })
    }
}

/// A tunnel-server that accepts every client.
struct Accepting {
    listener: TcpListener,
    tls: TlsAcceptor,
}

impl Accepting {
    /// The next client's connection, behind its 101.
    async fn next(&self, within: Duration) -> Result<TlsStream<TcpStream>> {
        let accepted = timeout(within, self.listener.accept()).await;
        let (stream, _) = accepted.context("nobody dialled")??;
        let mut stream = self.tls.accept(stream).await?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            ensure!(stream.read_buf(&mut head).await? > 0, "it hung up");
        }
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: culvert\r\n\
                  culvert-answer: accepted\r\n\r\n",
            )
            .await?;
        stream.flush().await?;
        Ok(stream)
    }
}

async fn a_server_that_falls_silent_is_given_up_on(environment: Arc<Environment>) -> Result<()> {
    for speaks_http2 in [false, true] {
        let folder = tempfile::tempdir()?;
        let certificate = Certificate::new()?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = Accepting {
            listener,
            tls: TlsAcceptor::from(Arc::new(certificate.server)),
        };
        let spawner = Spawner::new()?;
        let (client, first) = tokio::try_join!(
            start_client(
                &environment,
                &spawner,
                folder.path(),
                &certificate.ca_pem,
                address
            ),
            server.next(SOON),
        )?;
        let accepted = Instant::now();
        let mut first = first;
        let mut pings_are_answered = JoinSet::new();
        if speaks_http2 {
            // It answers pings, and says no more.
            let (sender, connection) = h2::client::handshake(first).await?;
            pings_are_answered.spawn(async move {
                drop(connection.await);
                drop(sender);
            });
        } else {
            let mut nothing = Vec::new();
            let ended = timeout(HANDSHAKE_TIMEOUT * 5, first.read_to_end(&mut nothing));
            // With or without a close_notify.
            drop(ended.await.context("it holds on")?);
        }
        let second = server.next(HANDSHAKE_TIMEOUT * 5).await?;
        let took = accepted.elapsed();
        println!("given up on after {took:.1?}, speaks HTTP/2: {speaks_http2}");
        ensure!(took < HANDSHAKE_TIMEOUT * 5, "{took:?}");
        let end = log_line(&client, "the link ended").await?;
        ensure!(
            end["reason"] == "the server did not register it",
            "{}",
            end["reason"]
        );
        drop(second);
        environment.secrets.must_not_be_in_file(&client.log())?;
    }
    Ok(())
}

async fn start_client(
    environment: &Environment,
    spawner: &Spawner,
    folder: &Path,
    ca_pem: &str,
    server: SocketAddr,
) -> Result<Service> {
    let token = new_token(TokenKind::Connector);
    environment
        .secrets
        .add("a connector token of no server", token.expose());
    std::fs::write(folder.join("connector-token"), token.expose())?;
    std::fs::create_dir(folder.join("dev"))?;
    std::fs::write(folder.join("dev/ca.crt"), ca_pem)?;
    // Nothing is relayed; the client only looks whether it is there.
    let upstream = RawUpstream::bind().await?;
    let arguments = client_arguments(server, upstream.address);
    Service::start(spawner, "tunnel-client", &arguments, folder).await
}
