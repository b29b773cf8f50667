//! Links that are refused, lost, found again, doubled and drained; and what the
//! admin ports say meanwhile.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::certificate_trust::client_config;
use integration::chain::{BASE_DOMAIN, Chain, ChainOptions, SOON, client_arguments};
use integration::environment::Environment;
use integration::played_cluster;
use integration::raw_http::{Accepted, Connection, RawUpstream};
use integration::server_config::{new_token, no_limits};
use integration::service::Service;
use integration::wait::until;
use integration::{suite, tests};
use reqwest::Response;
use rustls::HandshakeKind;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tunnel_protocol::token::TokenKind;

/// A second after the server is ready, and the chain's jitter; five times that
/// on a loaded machine.
const BACK: Duration = Duration::from_millis(5 * (1_000 + 250));

/// More sessions than a server's cache would hold, which is rustls' default.
const OTHERS: usize = 300;

fn main() -> ExitCode {
    suite::run(tests![
        a_client_that_is_refused_stops_with_one_line,
        with_the_server_away_it_goes_on_trying,
        the_api_is_back_after_the_server_was_killed,
        a_second_client_serves_beside,
        the_client_lets_open_requests_end,
        the_sidecar_lets_open_requests_end,
        the_server_lets_open_requests_end,
        a_drain_has_a_deadline,
        admin_ports,
        whoever_comes_back_resumes_its_tls_session,
    ])
}

/// Also when many others have come since: nothing is kept for them.
async fn whoever_comes_back_resumes_its_tls_session(environment: Arc<Environment>) -> Result<()> {
    let options = ChainOptions {
        limits: Some(no_limits()),
        ..ChainOptions::bare()
    };
    let (chain, _cluster) = played_cluster::start(&environment, options).await?;
    let connector = || -> Result<_> {
        let config = client_config(&chain.ca_file(), &[])?;
        Ok(TlsConnector::from(Arc::new(config)))
    };
    let client = connector()?;
    let first = tls_session(&chain, &client).await?;
    for _ in 0..OTHERS {
        tls_session(&chain, &connector()?).await?;
    }
    let again = tls_session(&chain, &client).await?;
    ensure!(first == Some(HandshakeKind::Full), "{first:?}");
    ensure!(again == Some(HandshakeKind::Resumed), "{again:?}");
    chain.stop().await
}

async fn tls_session(chain: &Chain, client: &TlsConnector) -> Result<Option<HandshakeKind>> {
    let stream = TcpStream::connect(chain.server_address).await?;
    let name = ServerName::try_from(chain.host())?;
    let mut connection = Connection::new(client.connect(name, stream).await?);
    let page = format!("GET / HTTP/1.1\r\nHost: {BASE_DOMAIN}\r\n\r\n");
    connection.send(page).await?;
    // The ticket comes before the answer.
    connection.head().await?;
    Ok(connection.into_inner().get_ref().1.handshake_kind())
}

/// A folder for another tunnel-client of the chain's cluster.
fn another_client(chain: &Chain) -> Result<PathBuf> {
    let folder = chain.folder().join("another");
    std::fs::create_dir_all(folder.join("dev"))?;
    for file in ["connector-token", "dev/ca.crt"] {
        std::fs::copy(chain.folder().join(file), folder.join(file))?;
    }
    Ok(folder)
}

async fn a_client_that_is_refused_stops_with_one_line(environment: Arc<Environment>) -> Result<()> {
    let (chain, _cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let folder = another_client(&chain)?;
    let good = chain.connector_token.expose();
    let (revoked, access) = (
        new_token(TokenKind::Connector),
        new_token(TokenKind::Access),
    );
    environment
        .secrets
        .add("an unknown token", revoked.expose());
    environment
        .secrets
        .add("a wrong kind's token", access.expose());
    let cut = &good[..good.len() - 1];
    environment.secrets.add("a cut token", cut);
    let cases = [
        (
            Some(revoked.expose()),
            "",
            "the connector token is not known",
        ),
        (
            Some(good),
            "staging",
            "the token is cluster prod's, not staging's",
        ),
        (Some(cut), "", "the token is damaged"),
        (Some(access.expose()), "", "this is not a connector token"),
        (Some(""), "", "this is not a connector token"),
        (None, "", "--token-file connector-token: No such file"),
        (Some(good), "Not A Label", "--subdomain: "),
    ];
    for (token, subdomain, expected) in cases {
        let file = folder.join("connector-token");
        match token {
            Some(token) => std::fs::write(file, token)?,
            None => std::fs::remove_file(file)?,
        }
        let mut arguments = client_arguments(chain.server_address, chain.upstream()?);
        if !subdomain.is_empty() {
            arguments.extend(["--subdomain".to_owned(), subdomain.to_owned()]);
        }
        let log = folder.join("tunnel-client.log");
        if log.exists() {
            std::fs::remove_file(&log)?;
        }
        let (code, printed) =
            Service::run_to_end(chain.spawner(), "tunnel-client", &arguments, &folder).await?;
        ensure!(code == Some(1), "{expected}: its code was {code:?}");
        // Log lines start with the year; what is left is for people.
        let told: Vec<_> = printed
            .lines()
            .filter(|line| !line.starts_with("20"))
            .collect();
        ensure!(told.len() == 1, "not one line: {printed}");
        ensure!(
            told[0].starts_with("Error: ") && told[0].contains(expected),
            "{} does not say: {expected}",
            told[0]
        );
        environment.secrets.must_not_be_in_file(&log)?;
    }
    // Nobody was disturbed by the attempts.
    chain.linked().await?;
    chain.stop().await
}

async fn failed_attempts(chain: &Chain) -> Result<f64> {
    let name = "tunnel_client_attempts_total{outcome=\"failed\"}";
    Ok(chain.client.metric(name).await?.unwrap_or_default())
}

async fn with_the_server_away_it_goes_on_trying(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, _cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    chain.server.kill()?;
    until("five attempts", SOON, || async {
        Ok((failed_attempts(&chain).await? >= 5.0).then_some(()))
    })
    .await?;
    let lines = chain.client.log_lines();
    let told = lines
        .iter()
        .find(|line| line["message"] == "no link")
        .context("the attempts are not in the log")?;
    let error = told["error"].as_str().unwrap_or_default();
    ensure!(error.contains("cannot connect to"), "{error}");
    chain.restart_server().await?;
    chain.linked().await?;
    chain.stop().await
}

async fn the_api_is_back_after_the_server_was_killed(environment: Arc<Environment>) -> Result<()> {
    let mut chain = environment.chain().await?;
    let url = format!("{}/api", chain.url_by_host());
    for _ in 0..3 {
        chain.restart_server().await?;
        let ready = Instant::now();
        let client = chain.caller()?;
        until("the API", SOON, || async {
            let response = client.get(&url).send().await?;
            Ok((response.status() == 200).then_some(()))
        })
        .await?;
        let took = ready.elapsed();
        println!("the API was back {took:?} after the restarted server was ready");
        ensure!(took < BACK, "{took:?}");
    }
    chain.stop().await
}

/// A request whose answer has begun; both of its ends.
struct Open {
    caller: Response,
    cluster: Accepted,
}

impl Open {
    async fn start(chain: &Chain, cluster: &RawUpstream, http1: bool) -> Result<Self> {
        let builder = if http1 {
            chain.http().http1_only()
        } else {
            chain.http()
        };
        let request = builder
            .build()?
            .get(format!("{}/api/v1/pods?watch=true", chain.url_by_host()))
            .bearer_auth(chain.access_token.expose());
        let call = async { anyhow::Ok(request.send().await?) };
        let answer = async {
            let (mut connection, _) = cluster.request().await?;
            connection
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                .await?;
            anyhow::Ok(connection)
        };
        let (mut caller, cluster) = tokio::try_join!(call, answer)?;
        let first = timeout(SOON, caller.chunk()).await??;
        ensure!(first.as_deref() == Some(&b"first"[..]));
        Ok(Self { caller, cluster })
    }

    /// The rest of the answer arrives, and it is whole.
    async fn end(mut self) -> Result<()> {
        self.cluster.send("4\r\nlast\r\n0\r\n\r\n").await?;
        let rest = timeout(SOON, self.caller.bytes()).await??;
        ensure!(rest == "last", "{rest:?}");
        Ok(())
    }

    /// Waits until the caller sees that it was cut.
    async fn cut(mut self) -> Result<()> {
        let end = timeout(SOON, self.caller.chunk()).await?;
        ensure!(end.is_err(), "an answer that was cut looks whole");
        Ok(())
    }
}

/// An open request of each kind: over HTTP/2, over HTTP/1.1, and an upgraded
/// connection.
struct OpenRequests {
    over_http2: Open,
    over_http1: Open,
    upgraded: (integration::raw_http::Caller, Accepted),
}

impl OpenRequests {
    async fn start(chain: &Chain, cluster: &RawUpstream) -> Result<Self> {
        let over_http2 = Open::start(chain, cluster, false).await?;
        let over_http1 = Open::start(chain, cluster, true).await?;
        let mut caller = chain.raw_caller().await?;
        let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        caller
            .send(chain.raw_head(false, "GET", "/api/v1/pods?watch=true", lines))
            .await?;
        let (mut connection, _) = cluster.request().await?;
        connection
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await?;
        ensure!(caller.head().await?.starts_with("HTTP/1.1 101"));
        Ok(Self {
            over_http2,
            over_http1,
            upgraded: (caller, connection),
        })
    }

    async fn end(self) -> Result<()> {
        self.over_http2.end().await?;
        self.over_http1.end().await?;
        let (mut caller, mut cluster) = self.upgraded;
        caller.send("ping").await?;
        ensure!(cluster.exactly(4).await? == "ping");
        cluster.send("pong").await?;
        cluster.finish().await?;
        ensure!(caller.exactly(4).await? == "pong");
        caller.finish().await
    }
}

/// Waits until a process says that it takes no new work.
async fn draining(service: &Service) -> Result<()> {
    until("a drain", SOON, || async {
        let (status, text) = service.admin_page("/readyz").await?;
        Ok((status == 503 && text.contains("draining")).then_some(()))
    })
    .await
}

async fn ended_by_itself(service: &mut Service, what: &str) -> Result<()> {
    let started = Instant::now();
    let code = service.ended(SOON).await?;
    println!(
        "{what} ended {:?} after its last request",
        started.elapsed()
    );
    ensure!(code == Some(0), "{what} ended with {code:?}");
    let lines = service.log_lines();
    let end = lines
        .iter()
        .rfind(|line| line["message"] == "ended")
        .context("its end is not in the log")?;
    ensure!(end["cut"] == 0, "{what} cut {} tasks", end["cut"]);
    Ok(())
}

async fn the_client_lets_open_requests_end(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let open = OpenRequests::start(&chain, &cluster).await?;
    chain.client.terminate()?;
    draining(&chain.client).await?;
    // New requests are not given to it; another one may come soon.
    let caller = chain.caller()?;
    let refused = until("a refusal", SOON, || async {
        let call = caller.get(chain.url_by_host()).send();
        let answer = async {
            let (mut connection, _) = cluster.request().await?;
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await?;
            std::future::pending::<Result<Response>>().await
        };
        let response = tokio::select! {
            response = call => response?,
            failed = answer => failed?,
        };
        Ok((response.status() == 503).then_some(response))
    })
    .await?;
    ensure!(refused.headers()["retry-after"] == "1");
    // Whatever else the server does meanwhile is no reason to cut them.
    chain.config.cluster("unrelated", &[]);
    chain.write_config()?;
    until("a reload", SOON, || async {
        let lines = chain.server.log_lines();
        Ok(lines.iter().any(|line| line["clusters"] == 2).then_some(()))
    })
    .await?;
    open.end().await?;
    ended_by_itself(&mut chain.client, "tunnel-client").await?;
    chain.stop().await
}

async fn the_sidecar_lets_open_requests_end(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let open = OpenRequests::start(&chain, &cluster).await?;
    let mut sidecar = chain.sidecar.take().context("no sidecar")?;
    sidecar.terminate()?;
    draining(&sidecar).await?;
    open.end().await?;
    // It serves who is connected until that one goes.
    chain.client.terminate()?;
    ended_by_itself(&mut sidecar, "proxy-sidecar").await?;
    chain.sidecar = Some(sidecar);
    chain.stop().await
}

async fn the_server_lets_open_requests_end(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let open = OpenRequests::start(&chain, &cluster).await?;
    chain.server.terminate()?;
    draining(&chain.server).await?;
    open.end().await?;
    ended_by_itself(&mut chain.server, "tunnel-server").await?;
    // The client has gone on to look for it.
    chain.restart_server().await?;
    chain.linked().await?;
    chain.stop().await
}

async fn a_drain_has_a_deadline(environment: Arc<Environment>) -> Result<()> {
    let deadline = || ["--drain-seconds", "1"].map(str::to_owned).to_vec();
    let options = || ChainOptions {
        sidecar_arguments: deadline(),
        client_arguments: deadline(),
        server_arguments: deadline(),
        ..ChainOptions::bare()
    };
    for what in ["tunnel-client", "proxy-sidecar", "tunnel-server"] {
        let (mut chain, cluster) = played_cluster::start(&environment, options()).await?;
        let silent = Open::start(&chain, &cluster, false).await?;
        let service = match what {
            "tunnel-client" => &mut chain.client,
            "proxy-sidecar" => chain.sidecar.as_mut().context("no sidecar")?,
            _ => &mut chain.server,
        };
        service.terminate()?;
        let asked = Instant::now();
        silent.cut().await.context(what)?;
        let code = service.ended(SOON).await?;
        let took = asked.elapsed();
        println!("{what} ended after {took:?}; its deadline was 1 s");
        ensure!(code == Some(0), "{what} ended with {code:?}");
        ensure!(took < Duration::from_secs(5), "{what} took {took:?}");
        chain.stop().await?;
    }
    Ok(())
}

async fn a_second_client_serves_beside(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let folder = another_client(&chain)?;
    let arguments = client_arguments(chain.server_address, chain.upstream()?);
    let second = Service::start(chain.spawner(), "tunnel-client", &arguments, &folder).await?;
    chain.links(2).await?;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(Open::start(&chain, &cluster, false).await?);
    }
    for client in [&chain.client, &second] {
        let count = client.metric("tunnel_client_open_requests").await?;
        ensure!(count == Some(2.0), "it has {count:?} of four requests");
    }
    // One goes; what is open with the other stays, and new requests come to it.
    chain.client.kill()?;
    chain.links(1).await?;
    Open::start(&chain, &cluster, false).await?.end().await?;
    let mut whole = 0;
    for open in open {
        whole += u32::from(open.end().await.is_ok());
    }
    ensure!(whole == 2, "{whole} of four requests outlived one client");
    environment.secrets.must_not_be_in_file(&second.log())?;
    chain.stop().await
}

/// Waits until a process is ready, or is not and says why.
async fn readiness(service: &Service, expected: Result<(), &str>) -> Result<()> {
    let what = format!("readiness: {expected:?}");
    until(&what, SOON, || async {
        let (status, text) = service.admin_page("/readyz").await?;
        let as_expected = match expected {
            Ok(()) => status == 200 && text == "ok\n",
            Err(reason) => status == 503 && text.contains(reason),
        };
        Ok(as_expected.then_some(()))
    })
    .await
}

async fn admin_ports(environment: Arc<Environment>) -> Result<()> {
    let mut chain = environment.chain().await?;
    let url = format!("{}/api", chain.url_by_host());
    ensure!(chain.caller()?.get(&url).send().await?.status() == 200);
    for service in chain.services() {
        readiness(service, Ok(())).await?;
        ensure!(service.admin_page("/livez").await? == (200, "ok\n".to_owned()));
        let (status, metrics) = service.admin_page("/metrics").await?;
        ensure!(status == 200 && metrics.ends_with("# EOF\n"), "{metrics}");
        for path in ["/", "/api", "/readyz/x"] {
            ensure!(service.admin_page(path).await?.0 == 404, "{path}");
        }
    }
    for (service, sample) in [
        (
            &chain.server,
            "tunnel_server_requests_total{outcome=\"answered\"}",
        ),
        (&chain.server, "tunnel_server_links"),
        (
            &chain.client,
            "tunnel_client_requests_total{outcome=\"answered\"}",
        ),
        (&chain.client, "tunnel_client_links"),
    ] {
        let value = service.metric(sample).await?;
        ensure!(value == Some(1.0), "{sample} is {value:?}");
    }

    chain.sidecar.as_mut().context("no sidecar")?.kill()?;
    readiness(&chain.client, Err("cannot reach")).await?;
    ensure!(chain.client.admin_page("/livez").await?.0 == 200);
    chain.restart_sidecar().await?;
    readiness(&chain.client, Ok(())).await?;

    chain.server.kill()?;
    readiness(&chain.client, Err("no link to")).await?;
    chain.restart_server().await?;
    readiness(&chain.client, Ok(())).await?;
    chain.stop().await
}
