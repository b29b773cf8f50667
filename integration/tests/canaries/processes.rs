//! What the system lets others see of a process.

use std::fs::metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::binaries::culvert;
use integration::environment::Environment;
use integration::server_config::ServerConfig;
use integration::service::Service;
use local_kubernetes::process::Spawner;

/// `nobody` everywhere; root may look into anything.
const NOBODY: u32 = 65534;

/// The kernel gives the files of a process that may be dumped to its user, and
/// those of one that may not to root: no core is written, and nobody of the same
/// user reads its memory or environment.
pub(crate) async fn no_core_and_no_look_into_the_server(_: Arc<Environment>) -> Result<()> {
    let own = metadata("/proc/self")?.uid();
    let folder = tempfile::tempdir()?;
    std::fs::create_dir(folder.path().join("dev"))?;
    ServerConfig::new("culvert.test", "127.0.0.1:0").write(&folder.path().join("server.yaml"))?;
    let server = culvert("tunnel-server")?;
    let mut arguments = ["--config", "server.yaml", "--dev", "dev"]
        .map(str::to_owned)
        .to_vec();
    let (mut binary, mut user) = (server.clone(), own);
    if own == 0 {
        user = NOBODY;
        for path in [folder.path(), Path::new("dev"), Path::new("server.yaml")] {
            std::os::unix::fs::chown(folder.path().join(path), Some(user), Some(user))?;
        }
        let before = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"].map(str::to_owned);
        let before = before.into_iter().chain([server.display().to_string()]);
        arguments = before.chain(arguments).collect();
        binary = PathBuf::from("/usr/bin/setpriv");
    }
    let spawner = Spawner::new()?;
    let service = Service::start_binary(
        &spawner,
        "tunnel-server",
        &binary,
        "info",
        &arguments,
        folder.path(),
    )
    .await?;
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.id()))?;
    ensure!(status.contains(&format!("Uid:\t{user}\t")), "{status}");
    for file in ["environ", "mem", "maps", "fd"] {
        let owner = metadata(format!("/proc/{}/{file}", service.id()))?.uid();
        ensure!(
            owner == 0,
            "{file} is user {owner}'s: the process may be dumped"
        );
    }
    Ok(())
}
