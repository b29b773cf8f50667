//! A real HTTP load balancer: nginx, which ends TLS with the server's own certificate.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use crate::daemon::{Daemon, own_address};

/// What it passes of a request to upgrade.
#[derive(Clone, Copy, Debug)]
pub enum Upgrades {
    /// As nginx is without a word of upgrades.
    None,
    /// As many set it up for WebSocket alone.
    WebSocket,
    All,
}

/// Runs until it is dropped.
pub struct Nginx {
    pub address: SocketAddr,
    daemon: Daemon,
}

impl Nginx {
    /// Starts one in front of a server, whose certificate's files are in `certificate`. It
    /// has the server below `/culvert` as well; `/moved` leads there, and `/away` to
    /// another host.
    pub async fn start(server: SocketAddr, certificate: &Path, upgrades: Upgrades) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = own_address(8443);
        let passed = match upgrades {
            Upgrades::None => "",
            _ => {
                "proxy_set_header Upgrade $http_upgrade; \
                 proxy_set_header Connection $connection_upgrade;"
            }
        };
        let others = match upgrades {
            Upgrades::All => "upgrade",
            _ => "close",
        };
        let certificate = certificate.display();
        std::fs::write(
            folder.path().join("nginx.conf"),
            format!(
                "daemon off; master_process off; pid nginx.pid; error_log stderr; worker_processes 1;\n\
                 events {{}}\n\
                 http {{\n\
                 access_log off; client_body_temp_path body; proxy_temp_path proxy;\n\
                 fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
                 map $http_upgrade $connection_upgrade {{\n\
                 default {others}; websocket upgrade; '' close;\n}}\n\
                 server {{\n\
                 listen {address} ssl;\n\
                 ssl_certificate {certificate}/tls.crt; ssl_certificate_key {certificate}/tls.key;\n\
                 location / {{\n\
                 proxy_pass https://{server}; proxy_http_version 1.1;\n\
                 proxy_set_header Host localhost; {passed}\n\
                 }}\n\
                 location /culvert/ {{\n\
                 proxy_pass https://{server}/; proxy_http_version 1.1;\n\
                 proxy_set_header Host localhost; {passed}\n\
                 }}\n\
                 location /moved/ {{ return 302 /culvert/tunnel/v1; }}\n\
                 location /away/ {{ return 302 https://sso.example/login?next=$uri; }}\n\
                 }}\n}}\n"
            ),
        )?;
        let prefix = folder.path().display().to_string();
        let arguments = ["-p", &prefix, "-c", "nginx.conf"];
        let daemon = Daemon::start("nginx", &arguments, folder, address).await?;
        Ok(Self { address, daemon })
    }

    /// # Errors
    /// It has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.daemon.must_run()
    }
}
