//! The configuration file is missing, empty, no file, too large, half written or
//! wrong.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;
use integration::server_config::new_token;
use serde_json::json;
use tunnel_protocol::token::TokenKind;

use crate::alone::{Alone, replace};

const GIGABYTE: u64 = 1 << 30;
const MEGABYTE: u64 = 1 << 20;

pub(crate) async fn each_fault_is_told_once(_: Arc<Environment>) -> Result<()> {
    let alone = Alone::start().await?;
    let path = alone.at("server.yaml");
    let good = alone.text(&alone.token);
    replace(&path, &good)?;
    alone
        .metric_becomes("config_reloads_total{outcome=\"applied\"}", 1.0)
        .await?;
    let peak = alone.service.peak_memory()?;
    type Harm<'a> = Box<dyn Fn() -> Result<()> + Send + Sync + 'a>;
    let faults: [(&str, Harm<'_>); 6] = [
        ("No such file", Box::new(|| Ok(fs::remove_file(&path)?))),
        ("the file is empty", Box::new(|| Ok(fs::write(&path, "")?))),
        (
            "this is no file",
            Box::new(|| {
                fs::remove_file(&path)?;
                Ok(fs::create_dir(&path)?)
            }),
        ),
        (
            "the file is larger than 67108864 bytes",
            // It takes no room on the disk.
            Box::new(|| Ok(fs::File::create(&path)?.set_len(GIGABYTE)?)),
        ),
        (
            "not YAML",
            Box::new(|| Ok(fs::write(&path, &good[..good.len() / 2])?)),
        ),
        (
            "baseDomain: missing",
            Box::new(|| replace(&path, "clusters: []\n")),
        ),
    ];
    for (words, harm) in faults {
        harm()?;
        alone.says_once(words).await?;
        ensure!(
            alone.metric("config_current").await? == 0.0,
            "{words}: the metric says fine"
        );
        if path.is_dir() {
            fs::remove_dir(&path)?;
        }
        replace(&path, &good)?;
        alone.metric_becomes("config_current", 1.0).await?;
    }
    let refused = alone
        .metric("config_reloads_total{outcome=\"refused\"}")
        .await?;
    ensure!(refused == 2.0, "{refused} files were refused");
    let restored = alone.said("can be read again, and is what it was");
    ensure!(restored == 4, "recovery was told {restored} times");
    let grown = alone.service.peak_memory()? - peak;
    println!(
        "faults, one of them a file of 1 GB, took {} MB",
        grown / MEGABYTE
    );
    ensure!(grown < 50 * MEGABYTE);
    // And another good one is taken after all that.
    let another = new_token(TokenKind::Access);
    replace(&path, &alone.text(&another))?;
    alone.knows(&another).await
}

/// As a ConfigMap is mounted: the file is a link through a folder that is swapped.
pub(crate) async fn kubernetes_swaps_the_file(_: Arc<Environment>) -> Result<()> {
    let prepare = |folder: &std::path::Path| {
        let version = folder.join("..version1");
        fs::create_dir(&version)?;
        fs::rename(folder.join("server.yaml"), version.join("server.yaml"))?;
        symlink("..version1", folder.join("..data"))?;
        Ok(symlink("..data/server.yaml", folder.join("server.yaml"))?)
    };
    let alone = Alone::start_with(&["--dev", "dev"], &json!({}), None, prepare).await?;
    for version in 2..5 {
        let token = new_token(TokenKind::Access);
        let name = format!("..version{version}");
        fs::create_dir(alone.at(&name))?;
        fs::write(alone.at(&name).join("server.yaml"), alone.text(&token))?;
        symlink(&name, alone.at("..data_tmp"))?;
        fs::rename(alone.at("..data_tmp"), alone.at("..data"))?;
        fs::remove_dir_all(alone.at(&format!("..version{}", version - 1)))?;
        alone.knows(&token).await?;
    }
    let refused = alone
        .metric("config_reloads_total{outcome=\"refused\"}")
        .await?;
    ensure!(refused == 0.0 && alone.said("cannot be read") == 0);
    Ok(())
}
