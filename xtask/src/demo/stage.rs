//! The demo's processes and files.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::server_config::{ServerConfig, new_token};
use integration::service::Service;
use integration::wait::until;
use local_kubernetes::process::Spawner;
use local_kubernetes::{KubernetesApi, Subject};
use tunnel_protocol::token::{Token, TokenKind};

/// The cluster's name in the demo.
pub(super) const CLUSTER: &str = "demo";
/// Programs that follow RFC 6761 find its subdomains on loopback by themselves.
pub(super) const BASE_DOMAIN: &str = "culvert.localhost";
/// Taken if it is free.
const PORT: u16 = 8443;
const SOON: Duration = Duration::from_secs(30);

/// A running demo.
pub(super) struct Stage {
    pub(super) folder: PathBuf,
    pub(super) server: Service,
    pub(super) client: Service,
    pub(super) sidecar: Service,
    pub(super) port: u16,
    pub(super) access_token: Token,
    pub(super) kubectl: PathBuf,
    _spawner: Spawner,
}

impl Stage {
    pub(super) async fn start(kubernetes: &KubernetesApi, target: &Path) -> Result<Self> {
        let folder = target.join("demo");
        drop(std::fs::remove_dir_all(&folder));
        std::fs::create_dir_all(&folder)?;
        let spawner = Spawner::new()?;
        let release = target.join("release");
        let start = |name: &'static str, arguments: &[&str]| {
            let arguments: Vec<_> = arguments
                .iter()
                .map(|argument| (*argument).to_owned())
                .collect();
            let (spawner, folder, binary) = (&spawner, &folder, release.join(name));
            async move {
                Service::start_binary(spawner, name, &binary, "info", &arguments, folder).await
            }
        };

        let (access_token, connector_token) = (
            new_token(TokenKind::Access),
            new_token(TokenKind::Connector),
        );
        write_private(&folder.join("connector-token"), connector_token.expose())?;
        write_private(&folder.join("access-token"), access_token.expose())?;
        write_private(
            &folder.join("authorization-header"),
            &format!("Authorization: Bearer {}", access_token.expose()),
        )?;
        let mut config = ServerConfig::new(BASE_DOMAIN, &format!("127.0.0.1:{}", free_port()));
        config.cluster(CLUSTER, &[&connector_token]);
        config.caller("you", &[CLUSTER], &[&access_token]);
        config.write(&folder.join("tunnel-server.yaml"))?;
        println!("Starting tunnel-server, proxy-sidecar and tunnel-client");
        let server = start(
            "tunnel-server",
            &["--config", "tunnel-server.yaml", "--dev", "dev"],
        )
        .await?;
        let port = server.address.context("the server has no address")?.port();

        let kubeconfig = sidecar_kubeconfig(kubernetes, &folder).await?;
        let kubeconfig = kubeconfig.to_string_lossy();
        let arguments = [
            "--kubeconfig",
            &kubeconfig,
            "--port",
            "0",
            "--admin-address",
            "127.0.0.1:0",
            "--require-own-credential",
        ];
        let sidecar = start("proxy-sidecar", &arguments).await?;
        let upstream = sidecar
            .address
            .context("the sidecar has no address")?
            .to_string();
        let server_url = format!("https://localhost:{port}");
        let arguments = [
            "--server",
            &server_url,
            "--token-file",
            "connector-token",
            "--ca-file",
            "dev/ca.crt",
            "--upstream",
            &upstream,
            "--admin-address",
            "127.0.0.1:0",
        ];
        let client = start("tunnel-client", &arguments).await?;
        until("the link", SOON, || async {
            Ok((client.admin_page("/readyz").await?.0 == 200).then_some(()))
        })
        .await?;
        let stage = Self {
            server,
            client,
            sidecar,
            port,
            access_token,
            kubectl: kubernetes.kubectl().to_owned(),
            folder,
            _spawner: spawner,
        };
        stage.write_kubeconfigs()?;
        Ok(stage)
    }

    /// By path, through the loopback address: needs no name at all.
    pub(super) fn url_by_path(&self) -> String {
        format!("https://127.0.0.1:{}/clusters/{CLUSTER}/", self.port)
    }

    pub(super) fn host(&self) -> String {
        format!("{CLUSTER}.{BASE_DOMAIN}")
    }

    pub(super) fn url_by_host(&self) -> String {
        format!("https://{}:{}", self.host(), self.port)
    }

    pub(super) fn ca_file(&self) -> PathBuf {
        self.folder.join("dev/ca.crt")
    }

    pub(super) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    fn write_kubeconfigs(&self) -> Result<()> {
        for (path, server) in [
            (self.kubeconfig(), self.url_by_path()),
            (
                self.folder.join("kubeconfig-by-hostname"),
                self.url_by_host(),
            ),
        ] {
            let credential = Credential::Token(self.access_token.expose());
            Kubeconfig {
                server: &server,
                ca_file: &self.ca_file(),
                credential,
                proxy_url: None,
            }
            .write(&path)?;
        }
        Ok(())
    }

    /// Ends the processes in the order in which a request meets them.
    pub(super) async fn stop(mut self) -> Result<()> {
        for service in [&mut self.server, &mut self.client, &mut self.sidecar] {
            service.terminate()?;
        }
        for service in [&mut self.server, &mut self.client, &mut self.sidecar] {
            service.ended(Duration::from_secs(60)).await?;
        }
        Ok(())
    }
}

/// A service account of the demo's own cluster; a cluster that was named is
/// called as its kubeconfig says, and nothing is created in it.
async fn sidecar_kubeconfig(kubernetes: &KubernetesApi, folder: &Path) -> Result<PathBuf> {
    let KubernetesApi::Own(control_plane) = kubernetes else {
        return Ok(std::fs::canonicalize(kubernetes.kubeconfig())?);
    };
    control_plane.create_namespace("gitlab-connector").await?;
    let token = control_plane
        .service_account_token("gitlab-connector", "gitlab-connector")
        .await?;
    let subject = Subject::ServiceAccount {
        namespace: "gitlab-connector",
        name: "gitlab-connector",
    };
    control_plane
        .bind_cluster_role("cluster-admin", subject)
        .await?;
    let path = folder.join("service-account.kubeconfig");
    control_plane.kubeconfig_for(&token, &path)?;
    Ok(path)
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", PORT)).map_or(0, |_| PORT)
}

fn write_private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    Ok(writeln!(file, "{text}")?)
}
