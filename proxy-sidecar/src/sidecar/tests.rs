use super::*;
use crate::args::Args;
use clap::Parser;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::timeout;

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
    let (mut caller, side) = tokio::io::duplex(4096);
    let http = serve_connection(proxy, side, None, place);
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
    let both = async { tokio::join!(http, upgraded) };
    let (served, upstream) = timeout(SOON, both).await.unwrap();
    served.unwrap();
    assert_eq!(places.available_permits(), 0);
    drop((caller, upstream));
    let free = timeout(SOON, places.acquire()).await;
    assert!(free.unwrap().is_ok());
}
