//! A real SOCKS5 proxy with a password: microsocks.

use std::net::SocketAddr;

use anyhow::Result;

use crate::daemon::{Daemon, own_address};
use crate::secrets::Secrets;

const USER: &str = "culvert";
const PORT: u16 = 1080;

/// Runs until it is dropped.
pub struct Microsocks {
    pub address: SocketAddr,
    password: String,
    _daemon: Daemon,
}

impl Microsocks {
    /// Starts one that lets only those in who know its password.
    pub async fn start(secrets: &Secrets) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = own_address(PORT);
        let password = format!("{:032x}", rand::random::<u128>());
        secrets.add("the SOCKS proxy's password", &password);
        let (ip, port) = (address.ip().to_string(), PORT.to_string());
        let arguments = ["-i", &ip, "-p", &port, "-u", USER, "-P", &password];
        let daemon = Daemon::start("microsocks", &arguments, folder, address).await?;
        Ok(Self {
            address,
            password,
            _daemon: daemon,
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
