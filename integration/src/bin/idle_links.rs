//! Many links of as many clusters, each idle, in one process: a fleet for tests.
//!
//! Arguments: the server's address, its CA's file, a file of connector tokens (one a
//! line), which of its lines (from, to), and the address to dial from. Says `linked`
//! when all are there; each line on its standard input has it cut all and link anew;
//! the end of that ends it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use integration::certificate_trust::client_config;
use integration::http2_connection::frames;
use integration::http2_frames::{PREFACE, flag, headers, kind, setting, settings};
use integration::raw_http::Connection;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_rustls::TlsConnector;

/// As tunnel-client asks for.
const SETTINGS: &[(u16, u32)] = &[
    (setting::MAX_CONCURRENT_STREAMS, 4096),
    (setting::INITIAL_WINDOW_SIZE, 2 << 20),
    (setting::MAX_FRAME_SIZE, 1 << 16),
];
/// The longest wait before another try, and the first; its jitter is full.
const LONGEST: Duration = Duration::from_secs(8);
const SHORTEST: Duration = Duration::from_millis(250);

/// Of each dial, as the newest is the one that counts.
static GENERATION: AtomicU64 = AtomicU64::new(1);

struct Fleet {
    server: SocketAddr,
    from: IpAddr,
    tls: Arc<ClientConfig>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [server, ca, tokens, first, last, from] = arguments.as_slice() else {
        bail!("idle_links SERVER CA-FILE TOKEN-FILE FROM TO ADDRESS");
    };
    let tokens = std::fs::read_to_string(tokens)?;
    let tokens: Vec<_> = tokens.lines().map(str::to_owned).collect();
    let tokens = tokens
        .get(first.parse()?..last.parse()?)
        .context("the file has fewer tokens")?;
    let fleet = Arc::new(Fleet {
        server: server.parse()?,
        from: from.parse()?,
        tls: Arc::new(client_config(ca.as_ref(), &[b"http/1.1"])?),
    });
    let mut orders = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let (linked, mut links_there) = mpsc::channel(tokens.len().max(1));
        let mut links = JoinSet::new();
        for token in tokens {
            links.spawn(keep(fleet.clone(), token.clone(), linked.clone()));
        }
        for _ in tokens {
            links_there.recv().await.context("all links have ended")?;
        }
        println!("linked");
        if orders.next_line().await?.is_none() {
            return Ok(());
        }
    }
}

/// Links until it is ended, as patiently as tunnel-client.
async fn keep(fleet: Arc<Fleet>, token: String, linked: mpsc::Sender<()>) {
    let mut wait = SHORTEST;
    let mut tell = Some(linked);
    loop {
        if let Err(error) = fleet.link(&token, &mut tell).await {
            eprintln!("no link: {error:#}");
        }
        sleep(wait.mul_f64(rand::random())).await;
        wait = (wait * 2).min(LONGEST);
    }
}

impl Fleet {
    /// Makes a link, tells of it if it is the first, and keeps it to its end.
    async fn link(&self, token: &str, tell: &mut Option<mpsc::Sender<()>>) -> Result<()> {
        let generation = GENERATION.fetch_add(1, Ordering::Relaxed);
        let socket = TcpSocket::new_v4()?;
        socket.set_nodelay(true)?;
        socket.bind((self.from, 0).into())?;
        let stream = socket.connect(self.server).await?;
        let name = ServerName::try_from("localhost")?;
        let connector = TlsConnector::from(self.tls.clone());
        let mut connection = Connection::new(connector.connect(name, stream).await?);
        connection
            .send(format!(
                "GET /tunnel/v1 HTTP/1.1\r\nHost: culvert.test\r\nConnection: Upgrade\r\n\
                 Upgrade: culvert\r\nAuthorization: Bearer {token}\r\nculvert-protocol: 1\r\n\
                 culvert-instance: idle\r\nculvert-generation: {generation}\r\n\
                 culvert-client-version: 0.0.0\r\n\r\n"
            ))
            .await?;
        let head = connection.head().await?;
        ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
        let (stream, read) = connection.into_parts();
        let (mut reader, mut writer) = frames(stream, read);
        ensure!(reader.exactly(PREFACE.len()).await? == PREFACE);
        writer.send(settings(SETTINGS)).await?;
        while let Some(frame) = reader.next().await {
            if let Some(acknowledgement) = frame.acknowledgement() {
                writer.send(acknowledgement).await?;
            }
            // The control stream comes first; nothing else does here.
            if frame.kind == kind::HEADERS {
                let accepted = headers(frame.stream, flag::NONE, &[(":status", "200")]);
                writer.send(accepted).await?;
                if let Some(linked) = tell.take() {
                    linked.send(()).await?;
                }
            }
        }
        bail!("the link has ended")
    }
}
