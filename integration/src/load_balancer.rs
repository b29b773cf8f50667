//! nginx and HAProxy as `docs/load-balancers` sets them up: from the very files, but for
//! addresses and paths.

use std::net::{Ipv6Addr, SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::chain::Chain;
use crate::daemon::{Daemon, own_address};
use crate::http_version::HttpVersion;

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    /// Ends TLS.
    NginxHttp,
    /// Passes TCP.
    NginxTcp,
    HaproxyHttp,
    HaproxyTcp,
}

/// Runs until it is dropped.
pub struct LoadBalancer {
    pub setup: Setup,
    /// On loopback's IPv4 network; callers and links connect here.
    pub address: SocketAddr,
    /// The same by IPv6.
    pub address_v6: SocketAddr,
    daemon: Daemon,
}

impl Setup {
    pub const ALL: [Self; 4] = [
        Self::NginxHttp,
        Self::NginxTcp,
        Self::HaproxyHttp,
        Self::HaproxyTcp,
    ];

    /// Whether the server gets plain HTTP of it.
    pub fn ends_tls(self) -> bool {
        matches!(self, Self::NginxHttp | Self::HaproxyHttp)
    }

    /// What it speaks with callers, the best one last.
    pub fn versions(self) -> &'static [HttpVersion] {
        match self {
            // The file says why.
            Self::HaproxyHttp => &[HttpVersion::Http1],
            _ => &HttpVersion::BOTH,
        }
    }

    fn is_nginx(self) -> bool {
        matches!(self, Self::NginxHttp | Self::NginxTcp)
    }

    fn file(self) -> &'static str {
        match self {
            Self::NginxHttp => "nginx-http.conf",
            Self::NginxTcp => "nginx-tcp.conf",
            Self::HaproxyHttp => "haproxy-http.cfg",
            Self::HaproxyTcp => "haproxy-tcp.cfg",
        }
    }

    /// Its times to wait for a peer that says nothing, as they stand in the file; each is
    /// to be replaced by another value.
    fn idle_times(self) -> &'static [&'static str] {
        match self {
            Self::NginxHttp => &["proxy_read_timeout ", "proxy_send_timeout "],
            Self::NginxTcp => &["proxy_timeout "],
            Self::HaproxyHttp => &["timeout client ", "timeout server ", "timeout tunnel "],
            Self::HaproxyTcp => &["timeout client ", "timeout server "],
        }
    }
}

impl LoadBalancer {
    /// Puts one before the chain's server, which is started again as the documents have it
    /// there, and has the chain's tunnel-client dial it. With `idle` it waits that long
    /// for a peer that says nothing, like `20s`.
    pub async fn before(chain: &mut Chain, setup: Setup, idle: Option<&str>) -> Result<Self> {
        let further = match setup.ends_tls() {
            true => json!({ "trustedProxies": ["127.0.0.1"] }),
            false => json!({ "proxyProtocol": "required" }),
        };
        chain.config.further = further;
        let address = own_address(8443);
        // Links come to it by its address.
        chain.config.extra_hosts = vec![address.ip().to_string()];
        chain.write_config()?;
        if setup.ends_tls() {
            chain.set_server_arguments(vec!["--plain-http".to_owned()]);
        }
        chain.restart_server().await?;
        let balancer = Self::start(chain, setup, address, idle).await?;
        let url = format!("https://{address}");
        chain.restart_client_to(&url, &[]).await?;
        chain.linked().await?;
        Ok(balancer)
    }

    async fn start(
        chain: &Chain,
        setup: Setup,
        address: SocketAddr,
        idle: Option<&str>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        // There is but one of IPv6: a port that was free.
        let address_v6 = TcpListener::bind((Ipv6Addr::LOCALHOST, 0))?.local_addr()?;
        let certificate = chain.folder().join("dev");
        let pem = folder.path().join("culvert.pem");
        let parts = ["tls.crt", "tls.key"].map(|name| std::fs::read(certificate.join(name)));
        let [chain_part, key] = parts;
        std::fs::write(&pem, [chain_part?, key?].concat())?;

        let mut text = documented(setup.file())?;
        let mut replace = |from: &str, to: &str| -> Result<()> {
            ensure!(text.contains(from), "{from:?} is not in {}", setup.file());
            text = text.replace(from, to);
            Ok(())
        };
        replace("10.0.0.10:8443", &chain.server_address.to_string())?;
        let (v4, v6) = (address.to_string(), address_v6.to_string());
        if setup.is_nginx() {
            replace("listen 443", &format!("listen {v4}"))?;
            replace("listen [::]:443", &format!("listen {v6}"))?;
        } else {
            replace("bind :443", &format!("bind {v4}"))?;
            replace("bind [::]:443", &format!("bind {v6}"))?;
            let admin = format!("check port {}", chain.server.admin.port());
            replace("check port 9090", &admin)?;
        }
        match setup {
            Setup::NginxHttp => {
                let certificate = certificate.display().to_string();
                replace("/etc/nginx/culvert", &certificate)?;
                replace("clusters.example.com", crate::chain::BASE_DOMAIN)?;
            }
            Setup::HaproxyHttp => {
                replace("/etc/haproxy/culvert.pem", &pem.display().to_string())?;
            }
            Setup::NginxTcp | Setup::HaproxyTcp => {}
        }
        if let Some(idle) = idle {
            for time in setup.idle_times() {
                replace(&format!("{time}1d"), &format!("{time}{idle}"))?;
            }
        }
        std::fs::write(folder.path().join("main"), main_file(setup, &text))?;

        let prefix = folder.path().display().to_string();
        let (name, arguments) = match setup.is_nginx() {
            true => ("nginx", vec!["-p", &prefix, "-c", "main"]),
            false => ("haproxy", vec!["-db", "-f", "main"]),
        };
        Ok(Self {
            setup,
            address,
            address_v6,
            daemon: Daemon::start(name, &arguments, folder, address).await?,
        })
    }

    /// The chain's cluster through it, without a final slash.
    pub fn url(&self, chain: &Chain) -> String {
        format!("https://{}:{}", chain.host(), self.address.port())
    }

    /// SIGKILL, of whatever it has started, too.
    pub fn kill(&mut self) -> Result<()> {
        self.daemon.kill()
    }

    /// # Errors
    /// It has ended.
    pub fn must_run(&mut self) -> Result<()> {
        self.daemon.must_run()
    }
}

/// What a file of the documents is put into.
fn main_file(setup: Setup, text: &str) -> String {
    match setup {
        // One process, so that a signal meets all of it.
        Setup::NginxHttp => format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
             events {{}}\n\
             http {{\naccess_log off; client_body_temp_path body; proxy_temp_path proxy;\n\
             fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n{text}}}\n"
        ),
        Setup::NginxTcp => format!(
            "load_module /usr/lib/nginx/modules/ngx_stream_module.so;\n\
             daemon off; master_process off; pid nginx.pid; error_log stderr;\n\
             events {{}}\n{text}"
        ),
        Setup::HaproxyHttp | Setup::HaproxyTcp => text.to_owned(),
    }
}

/// A file of `docs/load-balancers`.
fn documented(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/load-balancers");
    std::fs::read_to_string(path.join(name)).with_context(|| format!("no file {name}"))
}
