//! A real SOCKS5 proxy with a password: microsocks.

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
const PORT: u16 = 1080;

/// Runs until it is dropped.
pub struct Microsocks {
    pub address: SocketAddr,
    password: String,
    // In this order: the process ends before who started it.
    _process: Process,
    _spawner: Spawner,
    _folder: TempDir,
}

impl Microsocks {
    /// Starts one that lets only those in who know its password.
    pub async fn start(secrets: &Secrets) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // It cannot be told to choose a port and say which; so it has an address
        // of its own among loopback's.
        let [a, b, c] = rand::random::<[u8; 3]>();
        let address = SocketAddr::from((Ipv4Addr::new(127, a | 1, b, c | 1), PORT));
        let password = format!("{:032x}", rand::random::<u128>());
        secrets.add("the SOCKS proxy's password", &password);
        let (ip, port) = (address.ip().to_string(), PORT.to_string());
        let arguments = ["-i", &ip, "-p", &port, "-u", USER, "-P", &password];
        let spawner = Spawner::new()?;
        let mut process = spawner.spawn(&Program {
            name: "microsocks",
            binary: &PathBuf::from("microsocks"),
            arguments: &arguments.map(str::to_owned),
            folder: folder.path(),
        })?;
        until("the start of microsocks", SOON, || {
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
            _process: process,
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
        format!("socks5://{USER}:{password}@{}", self.address)
    }
}
