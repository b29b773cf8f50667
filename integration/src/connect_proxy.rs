//! An HTTP CONNECT proxy that leads every name to one address on loopback: how
//! programs that use the system's resolver (kubectl, Python) call a hostname
//! that no DNS knows.

use std::net::SocketAddr;

use anyhow::Result;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Runs until it is dropped.
#[derive(Debug)]
pub struct ConnectProxy {
    address: SocketAddr,
    _stop: DropGuard,
}

impl ConnectProxy {
    /// Leads all to `target`.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let stop = CancellationToken::new();
        let serving = stop.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "owned by the guard in `ConnectProxy`"
        )]
        tokio::spawn(async move {
            serving.run_until_cancelled(serve(listener, target)).await;
        });
        Ok(Self {
            address,
            _stop: stop.drop_guard(),
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn serve(listener: TcpListener, target: SocketAddr) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(async move {
            // A connection that fails is its caller's to notice.
            drop(lead(stream, target).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn lead(caller: TcpStream, target: SocketAddr) -> std::io::Result<()> {
    caller.set_nodelay(true)?;
    let mut caller = BufReader::new(caller);
    let mut line = String::new();
    while caller.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let mut target = TcpStream::connect(target).await?;
    target.set_nodelay(true)?;
    caller.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    copy_bidirectional(&mut caller, &mut target).await?;
    Ok(())
}
