//! `kubectl attach`, over WebSocket and over SPDY.

use std::sync::Arc;

use anyhow::{Result, ensure};

use crate::caller::Streams;
use crate::stage::Stage;
use crate::terminal::Terminal;
use crate::workload::Workload;

/// Answers each line, so that one sees both directions.
const ECHO: &str = "while true; do while read line; do echo got-$line; done; sleep 0.1; done";

pub(crate) async fn attach_joins_the_running_process(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::start(set, "attach", ECHO).await?;
    for streams in Streams::BOTH {
        let arguments = ["attach", "--namespace=attach", "-i", "shell", "--quiet"];
        let command = caller.command_over(streams, &arguments);
        let mut terminal = Terminal::start(command, (24, 80))?;
        terminal.type_line("hello").await?;
        terminal.shows("got-hello").await?;
        terminal.type_line("again").await?;
        terminal.shows("got-again").await?;
        // Leaves, and the process goes on.
        terminal.press(3).await?;
        let status = terminal.ended().await?;
        ensure!(!status.success(), "{streams:?}: {status}");
    }
    let restarts = caller
        .kubectl(&[
            "get",
            "pod/shell",
            "--namespace=attach",
            "--output=jsonpath={.status.containerStatuses[0].restartCount}",
        ])
        .await?;
    ensure!(restarts == "0", "{restarts}");
    shell.remove(set).await
}
