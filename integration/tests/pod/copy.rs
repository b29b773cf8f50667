//! `kubectl cp` both ways, over WebSocket and over SPDY.

use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};

use crate::caller::Streams;
use crate::payload::{Payload, read_payload};
use crate::stage::Stage;
use crate::workload::Workload;

const SIZE: u64 = 20 << 20;

pub(crate) async fn cp_carries_files_and_folders_both_ways(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::idle(set, "copy").await?;
    let folder = tempfile::tempdir_in(set.folder())?;
    let source = folder.path().join("source");
    std::fs::create_dir_all(source.join("below"))?;
    let mut file = tokio::fs::File::from_std(File::create(source.join("below/large"))?);
    let sum = Payload::new(SIZE).write_to(&mut file).await?;
    std::fs::write(source.join("small"), "a few words")?;

    for streams in Streams::BOTH {
        let there = format!("copy/shell:/tmp/{streams:?}");
        let back = folder.path().join(format!("back-{streams:?}"));
        let (source, back) = (
            source.to_str().context("a path")?,
            back.to_str().context("a path")?,
        );
        caller
            .kubectl_over(streams, &["cp", source, &there])
            .await?;
        caller.kubectl_over(streams, &["cp", &there, back]).await?;
        let large = tokio::fs::File::open(format!("{back}/below/large")).await?;
        let arrived = read_payload(large).await?;
        ensure!(arrived == sum, "{streams:?}: {arrived:?}, not {sum:?}");
        let small = std::fs::read_to_string(format!("{back}/small"))?;
        ensure!(small == "a few words", "{streams:?}: {small}");
    }
    shell.remove(set).await
}
