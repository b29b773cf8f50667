use super::*;
use crate::args::Args;
use crate::{Config, Sidecar};
use clap::Parser;
use http_relay::body::empty;
use http_relay::raw_targets::RawTargets;
use hyper::Response;
use service_kit::tasks::Tasks;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

const SOON: Duration = Duration::from_secs(10);

/// In front of this server. Its tasks end when they are dropped.
async fn proxy(folder: &Path, server: SocketAddr) -> (Arc<Proxy>, Tasks) {
    let kubeconfig = folder.join("kubeconfig");
    let text = format!(
        "{{current-context: a, contexts: [{{name: a, context: {{cluster: a, user: a}}}}], \
         users: [{{name: a, user: {{}}}}], \
         clusters: [{{name: a, cluster: {{server: 'http://{server}'}}}}]}}"
    );
    std::fs::write(&kubeconfig, text).unwrap();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let args = Args::parse_from(["proxy-sidecar", "--port=0", &kubeconfig]);
    let sidecar = Sidecar::build(Config::try_from(args).unwrap()).await;
    let sidecar = sidecar.unwrap();
    (sidecar.proxy, sidecar.tasks)
}

async fn until_the_head_ends(stream: &mut (impl AsyncRead + Unpin)) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

/// The task that served its HTTP is over by then.
#[tokio::test]
async fn an_upgraded_connection_keeps_its_place() {
    service_kit::tls::install_provider();
    let folder = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (proxy, _tasks) = proxy(folder.path(), server.local_addr().unwrap()).await;
    let places = Arc::new(Semaphore::new(1));
    let place: Place = places.clone().try_acquire_owned().unwrap().into();
    let (mut caller, side) = duplex(4096);
    let here = Here {
        http: http(),
        proxy,
        place,
        worker: 0,
    };
    let serving = here.connection(side, None);
    let upgraded = async {
        let asks = "GET /api HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                    Upgrade: SPDY/3.1\r\n\r\n";
        caller.write_all(asks.as_bytes()).await.unwrap();
        let (mut upstream, _) = server.accept().await.unwrap();
        until_the_head_ends(&mut upstream).await;
        let switches = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                        Upgrade: SPDY/3.1\r\n\r\n";
        upstream.write_all(switches.as_bytes()).await.unwrap();
        until_the_head_ends(&mut caller).await;
        upstream
    };
    let both = async { tokio::join!(serving, upgraded) };
    let (served, upstream) = timeout(SOON, both).await.unwrap();
    served.unwrap();
    assert_eq!(places.available_permits(), 0);
    drop((caller, upstream));
    let free = timeout(SOON, places.acquire()).await;
    assert!(free.unwrap().is_ok());
}

/// A peer that sends a byte of its head every 30 s.
#[tokio::test(start_paused = true)]
async fn a_head_has_its_time_however_slowly_it_comes() {
    let (mut peer, io) = duplex(64);
    let service = service_fn(|_| async { Ok::<_, Infallible>(Response::new(empty())) });
    let serving = async move {
        let io = TokioIo::new(RawTargets::new(io));
        let http = http();
        http.serve_connection(io, service).await
    };
    let sending = async {
        let start = Instant::now();
        for byte in b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n" {
            sleep(HEADER_READ / 4).await;
            if peer.write_all(&[*byte]).await.is_err() {
                break;
            }
        }
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).await.unwrap();
        assert!(answer.is_empty(), "{answer:?}");
        start.elapsed()
    };
    let (served, lasted) = tokio::join!(serving, sending);
    assert!(served.unwrap_err().is_timeout());
    assert!(
        lasted >= HEADER_READ && lasted < HEADER_READ * 2,
        "{lasted:?}"
    );
}
