//! tunnel-server as a container on the cluster's network: outside the cluster, as a
//! hosted one is.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use integration::server_config::ServerConfig;
use integration::wait::until;
use local_kubernetes::cluster::{Engine, NETWORK};
use testcontainers::core::{ContainerPort, Mount};
use testcontainers::runners::AsyncRunner;
use testcontainers::{ContainerAsync, GenericImage, ImageExt};
use tunnel_protocol::token::Token;

use crate::images::SERVER;
use crate::stage::{SOON, Set};

/// The base domain, and so the container's name: the engine's DNS leads pods to it.
pub(crate) const BASE_DOMAIN: &str = "culvert.test";
pub(crate) const PORT: u16 = 8443;
/// Another name of its, which no DNS knows.
pub(crate) const ALIAS: &str = "tunnel-server.invalid";
/// Where its files are, in the container.
const FOLDER: &str = "/data";

/// The client of testcontainers finds the engine by DOCKER_HOST alone. Where that
/// is another one, this program starts itself again with it: no safe code can set
/// a variable of its own process.
pub(crate) fn lead_testcontainers_to_the_engine() -> Result<()> {
    let engine = Engine::obtain(&local_kubernetes::to_stderr)?;
    match engine.host() {
        Some(host) if std::env::var("DOCKER_HOST").as_deref() != Ok(host) => {
            let error = Command::new(std::env::current_exe()?)
                .args(std::env::args_os().skip(1))
                .env("DOCKER_HOST", host)
                .exec();
            bail!("cannot start again with DOCKER_HOST: {error}")
        }
        _ => Ok(()),
    }
}

/// Where the server is for pods.
pub(crate) fn address_in_the_network(set: &Set) -> Result<SocketAddr> {
    let format = format!("{{{{(index .NetworkSettings.Networks \"{NETWORK}\").IPAddress}}}}");
    let inspected = set
        .cluster
        .engine()
        .docker()
        .args(["inspect", "--format", &format, BASE_DOMAIN])
        .output()?;
    let address = String::from_utf8(inspected.stdout)?;
    Ok(SocketAddr::new(address.trim().parse()?, PORT))
}

pub(crate) struct Server {
    container: ContainerAsync<GenericImage>,
    config: Mutex<ServerConfig>,
    folder: PathBuf,
    /// On loopback, for callers outside.
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) async fn start(folder: &Path) -> Result<Self> {
        let folder = folder.join("server");
        std::fs::create_dir(&folder)?;
        // The server runs as a user that this machine does not know, and writes its
        // development certificate there.
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777))?;
        let config = ServerConfig {
            public_port: Some(PORT),
            extra_hosts: vec![ALIAS.to_owned()],
            ..ServerConfig::new(BASE_DOMAIN, &format!("0.0.0.0:{PORT}"))
        };
        config.write(&folder.join("server.yaml"))?;
        let data = folder.to_str().context("a folder's name")?;
        let (image, tag) = SERVER;
        let container = GenericImage::new(image, tag)
            .with_exposed_port(ContainerPort::Tcp(PORT))
            .with_network(NETWORK)
            .with_container_name(BASE_DOMAIN)
            .with_mount(Mount::bind_mount(data, FOLDER))
            .with_cmd([
                format!("--config={FOLDER}/server.yaml"),
                format!("--dev={FOLDER}/dev"),
                "--log-format=json".to_owned(),
            ])
            .start()
            .await
            .context("cannot start tunnel-server's image")?;
        let port = container.get_host_port_ipv4(PORT).await?;
        let server = Self {
            container,
            config: Mutex::new(config),
            folder,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
        };
        until("the server's certificate", SOON, || async {
            Ok(server.ca_file().is_file().then_some(()))
        })
        .await?;
        Ok(server)
    }

    /// The CA of its development certificate.
    pub(crate) fn ca_file(&self) -> PathBuf {
        self.folder.join("dev/ca.crt")
    }

    /// Adds a cluster, and lets a caller call it.
    pub(crate) fn add(
        &self,
        cluster: &str,
        connector_token: &Token,
        access_token: &Token,
    ) -> Result<()> {
        self.change(|config| {
            config.cluster(cluster, &[connector_token]);
            config.caller(cluster, &[cluster], &[access_token]);
            Ok(())
        })
    }

    /// Changes its configuration, which it takes over while it runs.
    pub(crate) fn change(
        &self,
        change: impl FnOnce(&mut ServerConfig) -> Result<()>,
    ) -> Result<()> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut config)?;
        config.write(&self.folder.join("server.yaml"))
    }

    /// All that it printed.
    pub(crate) async fn log(&self) -> Result<String> {
        let out = self.container.stdout_to_vec().await?;
        let err = self.container.stderr_to_vec().await?;
        Ok(String::from_utf8_lossy(&[out, err].concat()).into_owned())
    }

    pub(crate) async fn remove(self) -> Result<()> {
        Ok(self.container.rm().await?)
    }
}
