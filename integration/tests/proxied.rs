//! tunnel-client behind HTTP proxies, real ones: tinyproxy, which small networks have, and
//! squid, which large ones have.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::squid::{AUTHORITY, Asks, Squid};
use integration::tinyproxy::Tinyproxy;
use integration::wait::until;
use integration::{suite, tests};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tunnel_protocol::limits::HANDSHAKE_TIMEOUT;

fn main() -> ExitCode {
    // They wait more than they work.
    let at_once = Some(4);
    let tests = tests![
        a_link_outlives_squids_idle_timeout,
        the_chain_through_a_proxy,
        the_chain_through_a_proxy_with_tls,
        no_proxy_leads_past_it,
        a_refusal_is_named_and_healed,
        a_port_that_the_proxy_forbids_is_named,
        what_is_no_proxy_is_named,
        a_silent_proxy_is_given_up,
        a_proxy_that_closes_is_named,
        squid_asks_for_a_password,
        squid_that_asks_for_more_than_a_password_is_named,
        squid_that_forbids_is_named,
        squid_that_ends_what_it_leads_on_is_asked_again,
        squid_over_tls_with_a_ca_of_its_own,
    ];
    suite::run_sharing(Environment::default(), at_once, tests)
}

/// Nobody listens there.
const NOBODY: &str = "127.255.254.253:9";

async fn calls(chain: &Chain) -> Result<()> {
    let url = format!("{}/version", chain.url_by_host());
    let answer = chain.caller()?.get(url).send().await?.error_for_status()?;
    let version: Value = answer.json().await?;
    ensure!(version["gitVersion"].is_string(), "{version}");
    Ok(())
}

/// The fault of an attempt of the client that runs now; the log names the proxy.
async fn fault(chain: &Chain, proxy: &str, expected: &str, within: Duration) -> Result<()> {
    until(expected, within, || async {
        let lines = chain.client.log_lines();
        let faults: Vec<_> = lines
            .iter()
            .filter(|line| line["message"] == "no link")
            .collect();
        let Some(line) = faults.first() else {
            return Ok(None);
        };
        let error = line["error"].as_str().context("no error")?;
        ensure!(error.contains(expected), "another fault: {line}");
        ensure!(line["proxy"] == proxy, "another proxy: {line}");
        Ok(Some(()))
    })
    .await
}

async fn the_chain_through_a_proxy(environment: Arc<Environment>) -> Result<()> {
    let proxy = Tinyproxy::start(&environment.secrets).await?;
    let mut chain = environment
        .chain_with(ChainOptions {
            client_variables: vec![("HTTPS_PROXY".to_owned(), proxy.url())],
            ..environment.options().await?
        })
        .await?;
    calls(&chain).await?;
    ensure!(proxy.connects()? == 1, "the link did not use the proxy");
    chain.restart_server().await?;
    chain.linked().await?;
    calls(&chain).await?;
    ensure!(proxy.connects()? > 1, "the next link did not use the proxy");
    chain.stop().await
}

/// Ends TLS in front of a proxy, with the chain's certificate for localhost.
async fn tls_front(chain: &Chain, proxy: SocketAddr) -> Result<(u16, JoinSet<()>)> {
    let dev = chain.folder().join("dev");
    let certificates = CertificateDer::pem_file_iter(dev.join("tls.crt"))?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            certificates.collect::<Result<_, _>>()?,
            PrivateKeyDer::from_pem_file(dev.join("tls.key"))?,
        )?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = listener.local_addr()?.port();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            connections.spawn(async move {
                if let Ok(mut stream) = acceptor.accept(stream).await
                    && let Ok(mut there) = TcpStream::connect(proxy).await
                {
                    // A connection that fails is its ends' to notice.
                    drop(copy_bidirectional(&mut stream, &mut there).await);
                }
            });
        }
    });
    Ok((port, serving))
}

async fn the_chain_through_a_proxy_with_tls(environment: Arc<Environment>) -> Result<()> {
    let proxy = Tinyproxy::start(&environment.secrets).await?;
    let mut chain = environment.chain().await?;
    let (port, _front) = tls_front(&chain, proxy.address).await?;
    let url = proxy
        .url()
        .replace("http://", "https://")
        .replace(&proxy.address.to_string(), &format!("localhost:{port}"));
    chain.restart_client_with(&[("https_proxy", &url)]).await?;
    until("a link through the proxy", SOON, || async {
        Ok((proxy.connects()? > 0).then_some(()))
    })
    .await?;
    chain.linked().await?;
    calls(&chain).await?;
    chain.stop().await
}

async fn no_proxy_leads_past_it(environment: Arc<Environment>) -> Result<()> {
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let chain = environment
        .chain_with(ChainOptions {
            client_variables: vec![
                variable("ALL_PROXY", &format!("http://{NOBODY}")),
                variable("NO_PROXY", "10.0.0.0/8,localhost,.svc"),
            ],
            ..environment.options().await?
        })
        .await?;
    calls(&chain).await?;
    chain.stop().await
}

async fn a_refusal_is_named_and_healed(environment: Arc<Environment>) -> Result<()> {
    let proxy = Tinyproxy::start(&environment.secrets).await?;
    let wrong = "a-password-that-is-wrong";
    environment.secrets.add("the wrong password", wrong);
    let mut chain = environment.chain().await?;
    let shown = format!("http://{}", proxy.address);

    let url = proxy.url_with(wrong);
    chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
    let expected = format!("the proxy {shown} leads nowhere: it does not take the user");
    fault(&chain, &shown, &expected, SOON).await?;

    chain
        .restart_client_with(&[("HTTPS_PROXY", &shown)])
        .await?;
    fault(&chain, &shown, "it asks for a user and a password", SOON).await?;

    let url = proxy.url();
    chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
    chain.linked().await?;
    calls(&chain).await?;
    chain.stop().await
}

async fn a_port_that_the_proxy_forbids_is_named(environment: Arc<Environment>) -> Result<()> {
    let proxy = Tinyproxy::start_with(&environment.secrets, "ConnectPort 443\n").await?;
    let mut chain = environment.chain().await?;
    let url = proxy.url();
    chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
    let shown = format!("http://{}", proxy.address);
    let target = format!("localhost:{} (403)", chain.server_address.port());
    fault(&chain, &shown, &target, SOON).await?;
    chain.stop().await
}

async fn what_is_no_proxy_is_named(environment: Arc<Environment>) -> Result<()> {
    let plain = Tinyproxy::start(&environment.secrets).await?;
    let mut chain = environment.chain().await?;
    let tls_port = chain.server_address.to_string();
    for (scheme, address, expected) in [
        ("http", NOBODY, "cannot be reached: cannot connect to"),
        (
            "http",
            &tls_port,
            "leads nowhere: it gave no answer in HTTP",
        ),
        ("https", &plain.address.to_string(), "no answer within"),
        (
            "http",
            "nowhere.invalid:3128",
            "cannot be reached: cannot resolve",
        ),
    ] {
        let url = format!("{scheme}://{address}");
        let with_user = format!("{scheme}://user:password@{address}");
        chain
            .restart_client_with(&[("HTTPS_PROXY", &with_user)])
            .await?;
        fault(&chain, &url, expected, 5 * HANDSHAKE_TIMEOUT).await?;
    }
    chain.stop().await
}

async fn a_silent_proxy_is_given_up(environment: Arc<Environment>) -> Result<()> {
    // Takes connections, in its backlog, and says nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", silent.local_addr()?);
    let mut chain = environment.chain().await?;
    chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
    fault(&chain, &url, "no answer within", 5 * HANDSHAKE_TIMEOUT).await?;
    chain.stop().await
}

async fn a_proxy_that_closes_is_named(environment: Arc<Environment>) -> Result<()> {
    let mut chain = environment.chain().await?;
    for said in [
        &b""[..],
        b"HTTP/1.1 2",
        b"\x00\x01\x02rubbish\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer",
    ] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                // Who is gone does not mind.
                drop(stream.read(&mut [0; 4096]).await);
                drop(stream.write_all(said).await);
            }
        });
        chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
        fault(&chain, &url, "leads nowhere: it gave no answer", SOON).await?;
    }
    chain.stop().await
}

async fn squid_asks_for_a_password(environment: Arc<Environment>) -> Result<()> {
    let squid = Squid::start(&environment.secrets, Asks::Password, "").await?;
    let wrong = "another-password-that-is-wrong";
    environment.secrets.add("the wrong password", wrong);
    let mut chain = environment
        .chain_with(ChainOptions {
            client_variables: vec![("HTTPS_PROXY".to_owned(), squid.url())],
            ..environment.options().await?
        })
        .await?;
    calls(&chain).await?;
    let shown = squid.shown();
    chain
        .restart_client_with(&[("HTTPS_PROXY", &shown)])
        .await?;
    fault(&chain, &shown, "it asks for a user and a password", SOON).await?;
    // The link that is over now was squid's to lead on.
    until("the end of the link", SOON, || async {
        Ok((squid.ended()? == 1).then_some(()))
    })
    .await?;
    let url = squid.url_with(wrong);
    chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
    fault(&chain, &shown, "it does not take the user", SOON).await?;
    chain.stop().await
}

async fn squid_that_asks_for_more_than_a_password_is_named(
    environment: Arc<Environment>,
) -> Result<()> {
    let squid = Squid::start(&environment.secrets, Asks::Kerberos, "").await?;
    let mut chain = environment.chain().await?;
    let shown = squid.shown();
    let expected = "it asks for Negotiate or NTLM (407), and only Basic is supported";
    for url in [shown.clone(), squid.url()] {
        chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
        fault(&chain, &shown, expected, SOON).await?;
    }
    chain.stop().await
}

async fn squid_that_forbids_is_named(environment: Arc<Environment>) -> Result<()> {
    let lines = "acl https port 443\nhttp_access deny !https";
    let squid = Squid::start(&environment.secrets, Asks::Nothing, lines).await?;
    let mut chain = environment.chain().await?;
    let shown = squid.shown();
    chain
        .restart_client_with(&[("HTTPS_PROXY", &shown)])
        .await?;
    let target = format!("localhost:{} (403)", chain.server_address.port());
    fault(&chain, &shown, &target, SOON).await?;
    chain.stop().await
}

/// Handshakes that the server has accepted.
async fn handshakes(chain: &Chain) -> Result<f64> {
    let name = "tunnel_server_handshakes_total{outcome=\"accepted\"}";
    let accepted = chain.server.metric(name).await?;
    accepted.context("no such metric")
}

/// A ping at least every 15 s, from either side; squid's own timeout is 15 minutes.
async fn a_link_outlives_squids_idle_timeout(environment: Arc<Environment>) -> Result<()> {
    const IDLE: Duration = Duration::from_secs(18);
    let lines = format!("read_timeout {} seconds", IDLE.as_secs());
    let squid = Squid::start(&environment.secrets, Asks::Nothing, &lines).await?;
    let mut chain = environment.chain().await?;
    let url = squid.shown();
    chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
    chain.linked().await?;
    let (linked, before) = (Instant::now(), handshakes(&chain).await?);
    until("twice that time", 5 * IDLE, || async {
        let now = handshakes(&chain).await?;
        ensure!(now == before, "it ended after {:?}", linked.elapsed());
        Ok((linked.elapsed() > 2 * IDLE).then_some(()))
    })
    .await?;
    calls(&chain).await?;
    ensure!(squid.ended()? == 0, "another connection was led on");
    chain.stop().await
}

/// Its `client_lifetime`, a day, ends none: once bytes have passed, what counts is how
/// long none do.
async fn squid_that_ends_what_it_leads_on_is_asked_again(
    environment: Arc<Environment>,
) -> Result<()> {
    let lines = "read_timeout 2 seconds";
    let squid = Squid::start(&environment.secrets, Asks::Nothing, lines).await?;
    let mut chain = environment.chain().await?;
    let url = squid.shown();
    chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
    until("two links that have ended", 2 * SOON, || async {
        Ok((squid.ended()? >= 2).then_some(()))
    })
    .await?;
    // It waits for a link that was there a moment ago.
    calls(&chain).await?;
    chain.stop().await
}

async fn squid_over_tls_with_a_ca_of_its_own(environment: Arc<Environment>) -> Result<()> {
    let squid = Squid::start_with_tls(&environment.secrets, Asks::Password).await?;
    let mut chain = environment.chain().await?;
    let (url, shown) = (squid.url(), squid.shown());
    chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
    let expected = format!("issued by 'CN={AUTHORITY}'");
    fault(&chain, &shown, &expected, SOON).await?;

    let ca_file = squid.ca_file().display().to_string();
    chain.set_client_arguments(&["--proxy-ca-file", &ca_file]);
    chain.restart_client_with(&[("HTTPS_PROXY", &url)]).await?;
    chain.linked().await?;
    calls(&chain).await?;
    chain.client.kill()?;
    until("the end of the link", SOON, || async {
        Ok((squid.ended()? == 1).then_some(()))
    })
    .await?;
    chain.stop().await
}
