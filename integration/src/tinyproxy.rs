//! A real HTTP proxy with a password: tinyproxy.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Result;
use local_kubernetes::process::{Process, Program, Spawner};
use tempfile::TempDir;
use tokio::net::TcpStream;

use crate::chain::SOON;
use crate::secrets::Secrets;
use crate::wait::until;

const USER: &str = "culvert";

/// Runs until it is dropped.
pub struct Tinyproxy {
    pub address: SocketAddr,
    password: String,
    // In this order: the process ends before who started it.
    process: Process,
    _spawner: Spawner,
    _folder: TempDir,
}

impl Tinyproxy {
    /// Starts one that lets only those in who know its password.
    pub async fn start(secrets: &Secrets) -> Result<Self> {
        Self::start_with(secrets, "").await
    }

    /// With further lines of configuration.
    pub async fn start_with(secrets: &Secrets, configuration: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // It cannot be told to choose a port and say which; so it has an address
        // of its own among loopback's.
        let [a, b, c] = rand::random::<[u8; 3]>();
        let address = SocketAddr::from((Ipv4Addr::new(127, a | 1, b, c | 1), 3128));
        let password = format!("{:032x}", rand::random::<u128>());
        secrets.add("the proxy's password", &password);
        secrets.add(
            "the proxy's password in base64",
            data_encoding::BASE64.encode(format!("{USER}:{password}").as_bytes()),
        );
        std::fs::write(
            folder.path().join("tinyproxy.conf"),
            format!(
                "Listen {}\nPort {}\nBasicAuth {USER} {password}\n\
                 LogLevel Connect\nMaxClients 100\nTimeout 600\n{configuration}",
                address.ip(),
                address.port()
            ),
        )?;
        let spawner = Spawner::new()?;
        let mut process = spawner.spawn(&Program {
            name: "tinyproxy",
            binary: &PathBuf::from("tinyproxy"),
            arguments: &["-d", "-c", "tinyproxy.conf"].map(str::to_owned),
            folder: folder.path(),
        })?;
        until("the start of tinyproxy", SOON, || {
            let running = process.must_run();
            async move {
                running?;
                Ok(TcpStream::connect(address).await.ok())
            }
        })
        .await?;
        Ok(Self {
            address,
            password,
            process,
            _spawner: spawner,
            _folder: folder,
        })
    }

    /// Its URL, with the password.
    pub fn url(&self) -> String {
        self.url_with(&self.password)
    }

    /// Its URL, with another password.
    pub fn url_with(&self, password: &str) -> String {
        format!("http://{USER}:{password}@{}", self.address)
    }

    /// How many connections it was asked for.
    pub fn connects(&self) -> Result<usize> {
        let log = std::fs::read_to_string(self.process.log())?;
        Ok(log.matches("): CONNECT ").count())
    }
}
