//! Two processes of idle links.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use integration::chain::Chain;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::LINKED;

/// Ends with its processes.
pub(crate) struct Fleet(Vec<Half>);

struct Half {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Fleet {
    /// Each half dials from an address of its own, with its half of the chain's
    /// `tokens`.
    pub(crate) fn start(chain: &Chain, count: usize) -> Result<Self> {
        let middle = count / 2;
        let halves = [(0, middle, "127.0.0.11"), (middle, count, "127.0.0.12")];
        let halves = halves.map(|(first, last, from)| {
            let mut child = Command::new(env!("CARGO_BIN_EXE_idle_links"))
                .arg(chain.server_address.to_string())
                .arg(chain.ca_file())
                .arg(chain.folder().join("tokens"))
                .args([first.to_string(), last.to_string(), from.to_owned()])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(std::fs::File::create(
                    chain.folder().join(format!("idle-links-{first}.log")),
                )?)
                .kill_on_drop(true)
                .spawn()?;
            let stdout = child.stdout.take().context("stdout")?;
            Ok(Half {
                stdin: child.stdin.take().context("stdin")?,
                lines: BufReader::new(stdout).lines(),
                _child: child,
            })
        });
        Ok(Self(halves.into_iter().collect::<Result<_>>()?))
    }

    /// Waits until all are there.
    pub(crate) async fn linked(&mut self) -> Result<()> {
        for half in &mut self.0 {
            let line = timeout(LINKED, half.lines.next_line()).await;
            let line = line.context("links are missing")??;
            ensure!(line.as_deref() == Some("linked"), "{line:?}");
        }
        Ok(())
    }

    /// Cuts all, at once, and waits until they are there again.
    pub(crate) async fn link_anew(&mut self) -> Result<()> {
        for half in &mut self.0 {
            half.stdin.write_all(b"\n").await?;
        }
        self.linked().await
    }
}
