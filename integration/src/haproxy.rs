//! A real load balancer: HAProxy, which passes TLS through and asks each server's
//! admin port whether it is ready.

use std::net::SocketAddr;

use anyhow::Result;

use crate::daemon::{Daemon, own_address};

/// Runs until it is dropped.
pub struct Haproxy {
    pub address: SocketAddr,
    daemon: Daemon,
}

impl Haproxy {
    /// Starts one in front of servers, each with its admin port.
    pub async fn start(servers: &[(SocketAddr, SocketAddr)]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = own_address(8443);
        let servers: String = servers
            .iter()
            .enumerate()
            .map(|(number, (server, admin))| {
                format!(
                    "  server s{number} {server} check port {} inter 200ms fall 1 rise 1\n",
                    admin.port()
                )
            })
            .collect();
        std::fs::write(
            folder.path().join("haproxy.cfg"),
            format!(
                "global\n  maxconn 2000\n\
                 defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 1h\n  timeout server 1h\n\
                 \x20 timeout check 5s\n\
                 \x20 option redispatch 1\n  retries 3\n\
                 listen servers\n  bind {address}\n  balance roundrobin\n\
                 \x20 option httpchk GET /readyz\n{servers}"
            ),
        )?;
        let daemon =
            Daemon::start("haproxy", &["-db", "-f", "haproxy.cfg"], folder, address).await?;
        Ok(Self { address, daemon })
    }

    /// # Errors
    /// It has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.daemon.must_run()
    }
}
