//! Another tunnel-server with a chain's configuration and certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_kubernetes::process::Spawner;

use crate::chain::Chain;
use crate::server_config::ServerConfig;
use crate::service::Service;

/// Runs until it is dropped.
pub struct Replica {
    pub service: Service,
    /// Where callers and links connect, also after a restart.
    pub address: SocketAddr,
    /// What it is configured with; [`Self::write_config`] makes it so.
    pub config: ServerConfig,
    folder: PathBuf,
    arguments: Vec<String>,
}

impl Replica {
    /// Starts it in a folder of its own beside the chain's, `name`.
    pub async fn start(chain: &Chain, name: &str, arguments: &[&str]) -> Result<Self> {
        let folder = chain.folder().join(name);
        std::fs::create_dir_all(folder.join("dev"))?;
        for entry in std::fs::read_dir(chain.folder().join("dev"))? {
            let entry = entry?;
            std::fs::copy(entry.path(), folder.join("dev").join(entry.file_name()))?;
        }
        let mut config = chain.config.clone();
        config.listen = "127.0.0.1:0".to_owned();
        config.admin_listen.clone_from(&config.listen);
        config.write(&folder.join("server.yaml"))?;
        let all = ["--config", "server.yaml", "--dev", "dev"];
        let arguments: Vec<_> = all
            .iter()
            .chain(arguments)
            .map(ToString::to_string)
            .collect();
        let service = Service::start(chain.spawner(), "tunnel-server", &arguments, &folder).await?;
        let address = service.address.context("no address")?;
        // A restarted one is to take the same port.
        config.listen = address.to_string();
        config.admin_listen = service.admin.to_string();
        config.write(&folder.join("server.yaml"))?;
        Ok(Self {
            service,
            address,
            config,
            folder,
            arguments,
        })
    }

    /// The URL that a tunnel-client dials.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Ends it as an operator does, however long that takes, and starts it again.
    pub async fn restart_as_planned(&mut self, spawner: &Spawner, within: Duration) -> Result<()> {
        self.service.terminate()?;
        let code = self.service.ended(within).await?;
        ensure!(code == Some(0), "ended with {code:?}");
        self.restart(spawner).await
    }

    /// Ends it at once and starts it again, on the same ports.
    pub async fn restart(&mut self, spawner: &Spawner) -> Result<()> {
        self.service.kill()?;
        self.service =
            Service::start(spawner, "tunnel-server", &self.arguments, &self.folder).await?;
        Ok(())
    }

    /// Writes the configuration as it is now.
    pub fn write_config(&self) -> Result<()> {
        self.config.write(&self.folder.join("server.yaml"))
    }

    /// How many links it has.
    pub async fn links(&self) -> Result<usize> {
        links(&self.service).await
    }
}

/// How many links a tunnel-server has; none while it does not answer.
pub async fn links(server: &Service) -> Result<usize> {
    let links = server.metric("tunnel_server_links").await;
    let links = links.ok().flatten().unwrap_or_default();
    Ok(format!("{links:.0}").parse()?)
}
