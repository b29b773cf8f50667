//! `kubectl port-forward`, over WebSocket and over SPDY: many connections at once,
//! and a half-close.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::caller::{Caller, Streams};
use crate::payload::{Payload, Sum, read_payload};
use crate::stage::{SOON, Stage};
use crate::workload::Workload;

/// Answers when it has read a line. It cannot wait for the end of what is sent:
/// containerd's end of a port-forward does not pass a half-close on, and closes
/// both directions a second after the first one ends.
const ANSWER: &str = "exec nc -ll -p 7000 -e sh -c 'read line; echo $line and done'";
const ECHO: &str = "exec nc -ll -p 7000 -e cat";
const PORT: u16 = 7000;
const CONNECTIONS: usize = 50;

pub(crate) async fn port_forward_carries_50_connections(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::listening(set, "forward", ECHO, PORT).await?;
    for streams in Streams::BOTH {
        let mut forward = Forward::start(&caller, streams, "forward").await?;
        let mut open = Vec::new();
        for _ in 0..CONNECTIONS {
            open.push(open_and_echo(forward.address).await?);
        }
        let mut connections = JoinSet::new();
        for (number, stream) in open.into_iter().enumerate() {
            connections.spawn(echo(stream, 100_000 + number as u64));
        }
        while let Some(sums) = connections.join_next().await {
            let (sent, received) = sums??;
            ensure!(sent == received, "{streams:?}: {sent:?}, {received:?}");
        }
        forward.must_still_run()?;
    }
    shell.remove(set).await
}

/// Opens a connection and has one byte back, before the next one is opened:
/// busybox's nc lets one wait for it, and the kernel drops more.
async fn open_and_echo(address: SocketAddr) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"!").await?;
    let byte = timeout(SOON, stream.read_u8())
        .await
        .context("a connection does not open")??;
    ensure!(byte == b'!', "{byte}");
    Ok(stream)
}

/// Sends and receives at once.
async fn echo(mut stream: TcpStream, bytes: u64) -> Result<(Sum, Sum)> {
    let (read, mut write) = stream.split();
    let exchange = async {
        let send = Payload::new(bytes).write_to(&mut write);
        tokio::try_join!(send, read_payload(read.take(bytes)))
    };
    timeout(SOON, exchange)
        .await
        .context("a connection hangs")?
}

pub(crate) async fn port_forward_passes_a_half_close(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::listening(set, "half-close", ANSWER, PORT).await?;
    for streams in Streams::BOTH {
        let forward = Forward::start(&caller, streams, "half-close").await?;
        let mut stream = TcpStream::connect(forward.address).await?;
        stream.write_all(b"one line\n").await?;
        stream.shutdown().await?;
        let mut answer = String::new();
        timeout(SOON, stream.read_to_string(&mut answer))
            .await
            .with_context(|| format!("{streams:?}: no answer after the half-close"))??;
        ensure!(answer == "one line and done\n", "{streams:?}: {answer:?}");
    }
    shell.remove(set).await
}

/// A running `kubectl port-forward` to a workload's port 7000.
struct Forward {
    child: Child,
    address: SocketAddr,
}

impl Forward {
    async fn start(caller: &Caller, streams: Streams, namespace: &str) -> Result<Self> {
        let arguments = [
            "port-forward",
            "--namespace",
            namespace,
            "pod/shell",
            ":7000",
        ];
        let mut child = caller
            .command_over(streams, &arguments)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("stdout")?;
        let mut lines = BufReader::new(stdout).lines();
        let line = timeout(SOON, lines.next_line())
            .await
            .context("kubectl forwards nothing")??
            .context("kubectl has ended")?;
        // It says one line a connection, and stops where nobody reads them.
        #[expect(clippy::disallowed_methods, reason = "ends with kubectl")]
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let address = line
            .strip_prefix("Forwarding from ")
            .and_then(|rest| rest.split(' ').next())
            .with_context(|| format!("no address in {line:?}"))?
            .parse()?;
        Ok(Self { child, address })
    }

    fn must_still_run(&mut self) -> Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "kubectl has ended: {ended:?}");
        Ok(())
    }
}
