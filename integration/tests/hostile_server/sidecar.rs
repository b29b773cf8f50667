//! The connector's upstream: answers everything, and remembers the head of each
//! request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What it answers.
pub(crate) const ANSWER: &str = "the sidecar's";

pub(crate) struct Sidecar {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Sidecar {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let heads = Arc::<Mutex<_>>::default();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, heads.clone()));
        Ok(Self {
            address,
            heads,
            _tasks: tasks,
        })
    }

    /// Of the requests so far, without the connector's own looks whether there is
    /// an upstream.
    pub(crate) fn heads(&self) -> Vec<String> {
        let heads = lock(&self.heads);
        heads
            .iter()
            .filter(|head| !head.starts_with("OPTIONS * "))
            .cloned()
            .collect()
    }

    /// Every request was to the sidecar itself, and carried nothing of the
    /// tunnel's own but its id.
    pub(crate) fn only_plain_requests(&self) -> Result<()> {
        for head in self.heads() {
            let (line, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
            let words: Vec<_> = line.split(' ').collect();
            ensure!(words.len() == 3 && words[2] == "HTTP/1.1", "{head}");
            ensure!(words[0] != "CONNECT", "{head}");
            ensure!(words[1].starts_with('/') || words[1] == "*", "{head}");
            let mut hosts = 0;
            for field in fields.split("\r\n").filter(|field| !field.is_empty()) {
                let (name, value) = field.split_once(':').unwrap_or((field, ""));
                let name = name.to_ascii_lowercase();
                if name == "host" {
                    hosts += 1;
                    ensure!(value.trim() == "localhost", "{head}");
                }
                let ours = name.starts_with("culvert-") && name != "culvert-request-id";
                ensure!(!ours, "{head}");
                ensure!(!value.contains("forged"), "{head}");
            }
            ensure!(hosts == 1, "{head}");
        }
        Ok(())
    }
}

fn lock(heads: &Mutex<Vec<String>>) -> MutexGuard<'_, Vec<String>> {
    heads.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(listener: TcpListener, heads: Arc<Mutex<Vec<String>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let heads = heads.clone();
        connections.spawn(async move { drop(answer(stream, &heads).await) });
        while connections.try_join_next().is_some() {}
    }
}

/// One request a connection: what follows its head is its body.
async fn answer(mut stream: TcpStream, heads: &Mutex<Vec<String>>) -> Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            break end;
        }
        ensure!(stream.read_buf(&mut bytes).await? > 0, "no request");
    };
    lock(heads).push(String::from_utf8_lossy(&bytes[..end]).into_owned());
    let length = ANSWER.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{ANSWER}");
    stream.write_all(head.as_bytes()).await?;
    // Else what is still under way would reset the answer.
    stream.shutdown().await?;
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}
