//! Files that the server's user may not read any more.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;
use serde_json::json;

use crate::alone::Alone;

/// `nobody` everywhere. Root may read anything, so it must be somebody else.
const NOBODY: u32 = 65534;

fn allow(path: &Path, mode: u32) -> Result<()> {
    Ok(fs::set_permissions(path, Permissions::from_mode(mode))?)
}

pub(crate) async fn a_file_that_may_not_be_read(_: Arc<Environment>) -> Result<()> {
    let is_root = fs::metadata("/proc/self")?.uid() == 0;
    let user = is_root.then_some(NOBODY);
    let prepare = |folder: &Path| {
        fs::create_dir(folder.join("dev"))?;
        for path in [folder, &folder.join("dev"), &folder.join("server.yaml")] {
            if let Some(user) = user {
                chown(path, Some(user), Some(user))?;
            }
        }
        Ok(())
    };
    let alone = Alone::start_with(&["--dev", "dev"], &json!({}), user, prepare).await?;
    alone.knows(&alone.token).await?;
    for (file, metric, words) in [
        (
            "server.yaml",
            "config_current",
            "the configuration file cannot be read",
        ),
        ("dev/tls.key", "certificate_current", "certificate refused"),
    ] {
        let path = alone.at(file);
        allow(&path, 0)?;
        alone.metric_becomes(metric, 0.0).await?;
        alone.says_once(words).await?;
        ensure!(alone.said("Permission denied") > 0, "the reason is missing");
        allow(&path, 0o600)?;
        alone.metric_becomes(metric, 1.0).await?;
    }
    ensure!(alone.said("can be read again") == 2);
    Ok(())
}
