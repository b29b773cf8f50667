//! A file that another program moves away, as logrotate does.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::{ChainOptions, SOON};
use integration::environment::Environment;
use integration::played_cluster;
use integration::wait::until;

use crate::lines;

pub(crate) async fn a_file_that_is_moved_away(environment: Arc<Environment>) -> Result<()> {
    let options = ChainOptions {
        server_arguments: ["--audit-log", "audit.log"].map(str::to_owned).to_vec(),
        ..ChainOptions::bare()
    };
    let (chain, _cluster) = played_cluster::start(&environment, options).await?;
    let (log, moved, again) = (
        chain.folder().join("audit.log"),
        chain.folder().join("audit.log.1"),
        chain.folder().join("audit.log.2"),
    );
    ensure!(log.metadata()?.permissions().mode() & 0o777 == 0o600);
    let refused = async |path: &str| {
        let mut caller = chain.raw_caller().await?;
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            chain.host()
        );
        caller.send(head).await?;
        caller.rest().await.map(drop)
    };
    let has = async |file: &std::path::Path, path: &str| {
        until(path, SOON, || async {
            let found =
                file.exists() && !lines::at(&lines::of_file(file)?, "request", path).is_empty();
            Ok(found.then_some(()))
        })
        .await
    };
    refused("/one").await?;
    has(&log, "/one").await?;
    std::fs::rename(&log, &moved)?;
    refused("/two").await?;
    has(&log, "/two").await?;
    let first = std::fs::read(&moved)?;
    // At the signal it lets go at once, so that the old one can be packed.
    std::fs::rename(&log, &again)?;
    let process = chain.server.id().to_string();
    ensure!(
        Command::new("kill")
            .args(["-HUP", &process])
            .status()?
            .success()
    );
    until("a new file", SOON, || async {
        Ok(log.exists().then_some(()))
    })
    .await?;
    refused("/three").await?;
    has(&log, "/three").await?;
    ensure!(lines::at(&lines::of_file(&again)?, "request", "/two").len() == 1);
    ensure!(
        std::fs::read(&moved)? == first,
        "the first file was written on"
    );
    ensure!(log.metadata()?.permissions().mode() & 0o777 == 0o600);
    // Nothing of it is on standard output.
    ensure!(lines::of(&chain.server).is_empty());
    chain.stop().await
}
