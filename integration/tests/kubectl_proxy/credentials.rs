//! Who asks: over TLS, where both send their credential.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::http1::{self, Request};
use integration::raw_http::{Connection, RawUpstream};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::proxies::{Proxies, Side, TOKEN, sorted};

const BOTH: [Side; 2] = [Side::Kubectl, Side::Ours];

/// An API server that speaks HTTP/1.1 over TLS and keeps what it is asked.
struct Upstream {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    address: SocketAddr,
    ca: String,
}

impl Upstream {
    async fn bind() -> Result<Self> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let ca = authority.self_signed(&authority_key)?.pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate()?;
        let names = vec!["127.0.0.1".to_owned()];
        let leaf = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(anyhow::Error::msg)?;
        let mut config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self {
            listener,
            acceptor,
            address,
            ca,
        })
    }

    /// What a proxy asks for when it is sent this.
    async fn asked(&self, proxies: &Proxies, side: Side, request: &str) -> Result<Request> {
        let mut caller = proxies.caller(side).await?;
        caller.send(request).await?;
        let accept = timeout(SOON, self.listener.accept());
        let (stream, _): (TcpStream, _) = accept.await.context("nobody called")??;
        let mut upstream = Connection::new(self.acceptor.accept(stream).await?);
        let head = upstream.head().await?;
        upstream
            .send("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .await?;
        upstream.finish().await?;
        caller.head().await?;
        Ok(http1::request(head.as_bytes())?.context("a cut request")?.0)
    }
}

/// Of the caller, each as it stands in the request.
const CALLERS: &[&str] = &[
    "",
    "Authorization: Bearer callers\r\n",
    "Authorization:\r\n",
    "Authorization: \r\nAuthorization: Bearer callers\r\n",
    "Authorization: Bearer callers\r\nAuthorization: Bearer other\r\n",
    "Authorization: Bearer callers\r\nAuthorization:\r\n",
    "Authorization: Basic YTpi\r\n",
    "Connection: Authorization\r\n",
    "Connection: Authorization\r\nAuthorization: Bearer callers\r\n",
    "Impersonate-User: theirs\r\n",
    "Impersonate-User:\r\n",
    "Impersonate-Group: theirs\r\n",
    "Impersonate-Group: one\r\nImpersonate-Group: two\r\n",
    "Impersonate-Uid: 1\r\n",
    "Impersonate-Extra-Scopes: a\r\n",
    "Impersonate-User: theirs\r\nImpersonate-Group: theirs\r\n",
    "Connection: Impersonate-User\r\nImpersonate-User: theirs\r\n",
    "X-Remote-User: admin\r\nX-Remote-Group: system:masters\r\n",
];

const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";

/// Nobody is trusted who is not named; a port that nobody has.
pub(crate) async fn unreachable_in_kubectls_words(_: Arc<Environment>) -> Result<()> {
    let upstream = Upstream::bind().await?;
    for server in [
        format!("https://{}", upstream.address),
        "http://127.0.0.1:1".to_owned(),
    ] {
        let nobody = RawUpstream::bind().await?;
        let proxies = Proxies::start_at(nobody, &server, &[], &["--kubectl-errors"]).await?;
        // To switch it says of TLS no more than "unexpected EOF".
        let upgrades: &[_] = match server.starts_with("https") {
            true => &[""],
            false => &["", UPGRADE],
        };
        for upgrade in upgrades {
            let request = format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{upgrade}\r\n");
            let mut both = Vec::new();
            for side in BOTH {
                let mut caller = proxies.caller(side).await?;
                caller.send(&request).await?;
                let answering = caller.through("\n\r\n");
                let refusing = async {
                    loop {
                        let (stream, _) = upstream.listener.accept().await?;
                        // It is told that its certificate is not trusted.
                        drop(upstream.acceptor.accept(stream).await);
                    }
                };
                let head = tokio::select! {
                    head = answering => head?,
                    failed = refusing => return failed,
                };
                ensure!(head.starts_with("HTTP/1.1 500 "), "{side:?}: {head}");
                both.push(caller.through("\n").await?);
            }
            ensure!(both[0] == both[1], "{both:?}");
        }
    }
    Ok(())
}

/// Each with and without a switch, where the proxies have these flags; `differs` tells
/// of a caller's lines whether the two ask otherwise.
async fn compared(flags: &[&str], differs: impl Fn(&str) -> bool) -> Result<()> {
    let upstream = Upstream::bind().await?;
    let folder = tempfile::tempdir()?;
    let ca = folder.path().join("ca.crt");
    std::fs::write(&ca, &upstream.ca)?;
    let server = format!("https://{}", upstream.address);
    let ca = format!("--certificate-authority={}", ca.display());
    let flags = [&[ca.as_str()], flags].concat();
    let proxies = Proxies::start_at(RawUpstream::bind().await?, &server, &flags, &[]).await?;
    for lines in CALLERS {
        for upgrade in ["", UPGRADE] {
            if !upgrade.is_empty() && lines.contains("Connection:") {
                continue;
            }
            let request = format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{lines}{upgrade}\r\n");
            let mut both = Vec::new();
            for side in BOTH {
                let asked = upstream.asked(&proxies, side, &request).await;
                let asked = asked.with_context(|| format!("{side:?}: {request}"))?;
                both.push(sorted(&asked.headers, &["user-agent", "accept-encoding"]));
            }
            ensure!(
                (both[0] == both[1]) != differs(lines),
                "{flags:?} {lines:?}: {both:#?}"
            );
            let own = format!("Bearer {TOKEN}");
            let sends_own = both[1].iter().any(|(_, value)| *value == own);
            ensure!(
                sends_own != lines.starts_with("Authorization: B"),
                "{lines:?}"
            );
        }
    }
    Ok(())
}

pub(crate) async fn the_callers_or_the_proxys(_: Arc<Environment>) -> Result<()> {
    compared(&[], |_| false).await
}

/// kubectl adds its own user to what only the caller says beside a user; ours leaves
/// none of the caller's, or a group of its choice would be the proxy's user's, too.
pub(crate) async fn as_somebody_else(_: Arc<Environment>) -> Result<()> {
    for (flags, replaced) in [
        (&["--as=ours"][..], None),
        (&["--as=ours", "--as-group=g", "--as-group=h"], None),
        (&["--as=ours", "--as-uid=7"], Some("Impersonate-Uid")),
        (
            &[
                "--as=ours",
                "--as-user-extra=a=b=c",
                "--as-user-extra=a=",
                "--as-user-extra=Example.com/x=d",
            ],
            None,
        ),
    ] {
        let adds = |lines: &str| {
            let beside = ["Impersonate-Group", "Impersonate-Uid", "Impersonate-Extra"];
            let mut beside = beside.iter().filter(|name| Some(**name) != replaced);
            beside.any(|name| lines.starts_with(name))
        };
        compared(flags, adds).await?;
    }
    Ok(())
}

/// By flags alone, as kubectl takes no password beside a kubeconfig's token.
pub(crate) async fn passwords(_: Arc<Environment>) -> Result<()> {
    let upstream = Upstream::bind().await?;
    let server = format!("https://{}", upstream.address);
    let folder = tempfile::tempdir()?;
    let (ca, nobody) = (folder.path().join("ca.crt"), folder.path().join("nobody"));
    std::fs::write(&ca, &upstream.ca)?;
    std::fs::write(&nobody, "{apiVersion: v1, kind: Config}")?;
    let ca = format!("--certificate-authority={}", ca.display());
    let nobody = format!("--kubeconfig={}", nobody.display());
    let at = format!("--server={server}");
    let common = [nobody.as_str(), &at, &ca];
    for own in [
        &["--username=me", "--password=a:b c"][..],
        &["--username=me"],
    ] {
        let flags = [&common[..], own].concat();
        let proxies = Proxies::start_at(RawUpstream::bind().await?, &server, &flags, &[]).await?;
        let request = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let mut both = Vec::new();
        for side in BOTH {
            let asked = upstream.asked(&proxies, side, request).await?;
            both.push(sorted(&asked.headers, &["user-agent", "accept-encoding"]));
        }
        let basic = |(name, value): &(String, String)| {
            name == "authorization" && value.starts_with("Basic ")
        };
        ensure!(both[0].iter().any(basic), "{own:?}: {both:?}");
        ensure!(both[0] == both[1], "{own:?}: {both:?}");
    }
    Ok(())
}

/// The caller's name for itself goes through as it stands; kubectl gives its own where
/// there is none, or an empty one, and passes on the first of several.
pub(crate) async fn user_agents(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for (lines, there, here) in [
        ("User-Agent: mine\r\n", &["mine"][..], &["mine"][..]),
        ("", &["kubectl/"], &[]),
        ("User-Agent:\r\n", &["kubectl/"], &[""]),
        ("User-Agent: a\r\nUser-Agent: b\r\n", &["a"], &["a", "b"]),
    ] {
        for (side, expected) in BOTH.into_iter().zip([there, here]) {
            let request =
                format!("GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{lines}\r\n");
            let exchange = proxies.exchange(side, request.as_bytes()).await?;
            let asked = exchange.asked.context("nothing came")?;
            let agents = http1::values(&asked.headers, "user-agent");
            let agents: Vec<_> = agents.map(String::from_utf8_lossy).collect();
            let same = agents.len() == expected.len()
                && agents
                    .iter()
                    .zip(expected)
                    .all(|(one, other)| match *other {
                        "kubectl/" => one.starts_with(other),
                        other => one == other,
                    });
            ensure!(same, "{side:?} {lines:?}: {agents:?}");
        }
    }
    Ok(())
}
