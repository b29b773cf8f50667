//! An echo in a workload, by `kubectl exec`: bytes go there and come back.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::time::timeout;

use crate::caller::{Caller, Streams};
use crate::payload::{Payload, read_payload};
use crate::stage::SOON;
use crate::workload::Workload;

/// Runs until [`Workload::say`] says its word. The API server closes a stream's
/// connection at the command's end, and whatever kubectl says then makes the system
/// drop what is still to be sent: without any tunnel, 1.2 MB of 3 MB arrived at a
/// reader that paused, over SPDY with exit code 0 (kubernetes/kubernetes#124571). So
/// the command stays until all has been read.
pub(crate) struct Echo {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

/// One of which all has come.
pub(crate) struct Carried {
    child: Child,
    stdout: ChildStdout,
}

impl Echo {
    /// It has sent a byte back already.
    pub(crate) async fn start(
        caller: &Caller,
        shell: &Workload,
        streams: Streams,
        word: &str,
    ) -> Result<Self> {
        let script = format!("cat; until [ -e /tmp/{word} ]; do sleep 0.1; done");
        let namespace = format!("--namespace={}", shell.namespace);
        let exec = ["exec", &namespace, "-i", "shell", "--", "sh", "-c", &script];
        let mut child = caller
            .command_over(streams, &exec)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("stdin")?;
        let mut stdout = child.stdout.take().context("stdout")?;
        stdin.write_all(b"!").await?;
        let byte = timeout(SOON, stdout.read_u8()).await.context("no echo")??;
        ensure!(byte == b'!', "{byte}");
        Ok(Self {
            child,
            stdin,
            stdout,
        })
    }

    /// Sends so many bytes, and reads as many meanwhile.
    pub(crate) async fn carry(self, bytes: u64) -> Result<Carried> {
        let Self {
            child,
            mut stdin,
            mut stdout,
        } = self;
        let send = async move {
            let sent = Payload::new(bytes).write_to(&mut stdin).await?;
            // Tells `cat` that this is all.
            drop(stdin);
            Ok(sent)
        };
        let receive = read_payload((&mut stdout).take(bytes));
        let (sent, received) = tokio::try_join!(send, receive)?;
        ensure!(sent == received, "sent {sent:?}, received {received:?}");
        Ok(Carried { child, stdout })
    }
}

impl Carried {
    /// After its word.
    pub(crate) async fn end(mut self) -> Result<()> {
        let more = read_payload(self.stdout).await?;
        ensure!(more.bytes == 0, "{more:?} more than was sent");
        let status = self.child.wait().await?;
        ensure!(status.success(), "{status}");
        Ok(())
    }
}
