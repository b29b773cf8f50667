//! A real HTTP proxy with a password: tinyproxy.

use std::net::SocketAddr;

use anyhow::Result;

use crate::daemon::{Daemon, own_address};
use crate::secrets::Secrets;

const USER: &str = "culvert";
/// Not 3128, which a squid that Debian starts has at all addresses.
const PORT: u16 = 8888;

/// Runs until it is dropped.
pub struct Tinyproxy {
    pub address: SocketAddr,
    password: String,
    daemon: Daemon,
}

impl Tinyproxy {
    /// Starts one that lets only those in who know its password.
    pub async fn start(secrets: &Secrets) -> Result<Self> {
        Self::start_with(secrets, "").await
    }

    /// With further lines of configuration.
    pub async fn start_with(secrets: &Secrets, configuration: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = own_address(PORT);
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
        let arguments = ["-d", "-c", "tinyproxy.conf"];
        let daemon = Daemon::start("tinyproxy", &arguments, folder, address).await?;
        Ok(Self {
            address,
            password,
            daemon,
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
        Ok(self.daemon.printed()?.matches("): CONNECT ").count())
    }
}
