//! An upstream that remembers each byte it gets, and answers each whole request
//! with its own target, so that an answer tells whose it is.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use integration::http1::{self, Request};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

/// Runs until it is dropped.
pub(crate) struct Witness {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    _stop: DropGuard,
}

#[derive(Default)]
struct Seen {
    requests: Vec<Request>,
    /// What could not be read as requests.
    faults: Vec<String>,
}

impl Witness {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let seen = Arc::default();
        let stop = CancellationToken::new();
        let serving = serve(listener, Arc::clone(&seen));
        let token = stop.clone();
        #[expect(clippy::disallowed_methods, reason = "owned by the guard in `Witness`")]
        tokio::spawn(async move { token.run_until_cancelled(serving).await });
        Ok(Self {
            address,
            seen,
            _stop: stop.drop_guard(),
        })
    }

    /// The requests since the last call, without the chain's own looks whether
    /// its upstream is there.
    pub(crate) fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.lock().requests)
    }

    /// What came and was no request.
    pub(crate) fn faults(&self) -> Vec<String> {
        self.lock().faults.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn serve(listener: TcpListener, seen: Arc<Mutex<Seen>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let seen = seen.clone();
        connections.spawn(async move {
            // A connection that breaks is its caller's to notice.
            drop(answer_all(stream, &seen).await);
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer_all(mut stream: TcpStream, seen: &Mutex<Seen>) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        loop {
            let (request, length) = match http1::request(&buffer) {
                Ok(Some(whole)) => whole,
                Ok(None) => break,
                Err(error) => {
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    let text = String::from_utf8_lossy(&buffer).into_owned();
                    seen.faults.push(format!("{error}: {text:?}"));
                    return Ok(());
                }
            };
            buffer.drain(..length);
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}",
                request.target.len(),
                request.target
            );
            if !is_the_chains_own(&request) {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                seen.requests.push(request);
            }
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}

/// tunnel-client and the sidecar look whether their upstream is there.
fn is_the_chains_own(request: &Request) -> bool {
    request.target == "*" || request.target == "/version" || request.target == "/readyz"
}
