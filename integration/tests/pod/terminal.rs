//! A terminal, for commands that want one.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use pty_process::{OwnedReadPty, OwnedWritePty, Pty, Size};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long the other side may take to answer a line.
const ANSWER: Duration = Duration::from_secs(30);

pub(crate) struct Terminal {
    child: Child,
    read: OwnedReadPty,
    write: OwnedWritePty,
    shown: String,
}

impl Terminal {
    /// Starts a command in a terminal with so many rows and columns.
    pub(crate) fn start(command: Command, (rows, columns): (u16, u16)) -> Result<Self> {
        let (pty, pts) = pty_process::open()?;
        pty.resize(Size::new(rows, columns))?;
        let command = command.into_std();
        let child = pty_process::Command::new(command.get_program())
            .args(command.get_args())
            .envs(
                command
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .kill_on_drop(true)
            .spawn(pts)?;
        let (read, write) = Pty::into_split(pty);
        Ok(Self {
            child,
            read,
            write,
            shown: String::new(),
        })
    }

    pub(crate) fn resize(&mut self, (rows, columns): (u16, u16)) -> Result<()> {
        Ok(self.write.resize(Size::new(rows, columns))?)
    }

    pub(crate) async fn type_line(&mut self, line: &str) -> Result<()> {
        Ok(self.write.write_all(format!("{line}\r").as_bytes()).await?)
    }

    /// Sends one byte as a key does, like 3 for Ctrl-C.
    pub(crate) async fn press(&mut self, key: u8) -> Result<()> {
        Ok(self.write.write_all(&[key]).await?)
    }

    /// Waits until `text` is on the screen, after what was waited for before.
    pub(crate) async fn shows(&mut self, text: &str) -> Result<()> {
        let seen = timeout(ANSWER, self.read_until(text)).await;
        match seen {
            Ok(result) => result,
            Err(_) => bail!("the terminal does not show {text:?}, but {:?}", self.shown),
        }
    }

    async fn read_until(&mut self, text: &str) -> Result<()> {
        let mut chunk = [0; 4096];
        loop {
            if let Some(at) = self.shown.find(text) {
                self.shown.drain(..at + text.len());
                return Ok(());
            }
            let read = self.read.read(&mut chunk).await.with_context(|| {
                format!("the terminal has ended without {text:?}: {:?}", self.shown)
            })?;
            self.shown
                .push_str(&String::from_utf8_lossy(&chunk[..read]));
        }
    }

    /// Waits for the command's end.
    pub(crate) async fn ended(mut self) -> Result<ExitStatus> {
        // It would block on what nobody reads.
        let mut rest = Vec::new();
        let wait = async {
            // The end of a terminal is an error on Linux.
            drop(self.read.read_to_end(&mut rest).await);
            self.child.wait().await
        };
        Ok(timeout(ANSWER, wait)
            .await
            .context("the command goes on")??)
    }
}
