//! The whole chain as processes: tunnel-server, tunnel-client, proxy-sidecar, in
//! front of a Kubernetes API or of anything else that speaks HTTP.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use local_kubernetes::process::Spawner;
use serde_json::Value;
use tempfile::TempDir;
use tunnel_protocol::token::{Token, TokenKind};

use crate::connect_proxy::ConnectProxy;
use crate::kubeconfig::{Credential, Kubeconfig};
use crate::secrets::Secrets;
use crate::server_config::{ServerConfig, new_token};
use crate::service::Service;
use crate::wait::until;

/// The cluster's name in every chain.
pub const CLUSTER: &str = "prod";
/// The base domain in every chain.
pub const BASE_DOMAIN: &str = "culvert.test";
/// The caller in every chain.
pub const CALLER: &str = "platform";

/// How long a step between our own processes may take; milliseconds when the
/// machine is idle.
pub const SOON: Duration = Duration::from_secs(20);

/// What a chain starts with.
#[derive(Clone, Debug)]
pub struct ChainOptions {
    /// Where the sidecar calls; nothing starts no sidecar.
    pub api_server: Option<ApiServer>,
    /// Where tunnel-client relays, if not to the sidecar.
    pub upstream: Option<SocketAddr>,
    pub sidecar_arguments: Vec<String>,
    pub client_arguments: Vec<String>,
    /// Environment variables of tunnel-client's.
    pub client_variables: Vec<(String, String)>,
    pub server_arguments: Vec<String>,
    /// What the server listens at: the loopback address, or all of the machine's.
    pub listen: Ipv4Addr,
    /// The server's limits from its start on, if not the defaults.
    pub limits: Option<Value>,
}

/// The sidecar's API server.
#[derive(Clone, Debug)]
pub struct ApiServer {
    pub url: String,
    pub ca_pem: String,
    pub token: String,
}

/// A running chain. Its processes end with it, and on [`Chain::stop`] all that
/// they printed is searched for secrets.
pub struct Chain {
    pub server: Service,
    pub client: Service,
    pub sidecar: Option<Service>,
    pub config: ServerConfig,
    pub access_token: Token,
    pub connector_token: Token,
    /// The port of the server, which a restarted one takes again.
    pub server_address: SocketAddr,
    connect_proxy: ConnectProxy,
    options: ChainOptions,
    secrets: Arc<Secrets>,
    spawner: Spawner,
    folder: TempDir,
}

impl Chain {
    pub async fn start(options: ChainOptions, secrets: Arc<Secrets>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("culvert-chain-")
            .tempdir()?;
        let spawner = Spawner::new()?;
        let (access_token, connector_token) = (
            new_token(TokenKind::Access),
            new_token(TokenKind::Connector),
        );
        secrets.add("the access token", access_token.expose());
        secrets.add("the connector token", connector_token.expose());
        std::fs::write(
            folder.path().join("connector-token"),
            format!("{}\n", connector_token.expose()),
        )?;

        let mut config = ServerConfig::new(BASE_DOMAIN, &format!("{}:0", options.listen));
        config.limits.clone_from(&options.limits);
        config.cluster(CLUSTER, &[&connector_token]);
        config.caller(CALLER, &[CLUSTER], &[&access_token]);
        config.write(&folder.path().join("server.yaml"))?;
        let server = start_server(&spawner, &options, folder.path()).await?;
        let listens_at = server.address.context("the server's log has no address")?;
        // A restarted server is to take the same port.
        config.listen = listens_at.to_string();
        let server_address = SocketAddr::from((Ipv4Addr::LOCALHOST, listens_at.port()));
        config.write(&folder.path().join("server.yaml"))?;

        let sidecar = match &options.api_server {
            Some(api_server) => {
                secrets.add("the service account's token", &api_server.token);
                Some(start_sidecar(&spawner, &options, api_server, "0", folder.path()).await?)
            }
            None => None,
        };
        let upstream = options
            .upstream
            .or(sidecar.as_ref().and_then(|sidecar| sidecar.address))
            .context("a chain needs an API server or an upstream")?;
        let client =
            start_client(&spawner, &options, server_address, upstream, folder.path()).await?;
        let chain = Self {
            connect_proxy: ConnectProxy::start(server_address).await?,
            server,
            client,
            sidecar,
            config,
            access_token,
            connector_token,
            server_address,
            options,
            secrets,
            spawner,
            folder,
        };
        chain.linked().await?;
        Ok(chain)
    }

    /// Waits until the server has the client's link.
    pub async fn linked(&self) -> Result<()> {
        self.links(1).await
    }

    /// Waits until the server has that many links.
    pub async fn links(&self, count: u32) -> Result<()> {
        until("a link", SOON, || async {
            let links = self
                .server
                .metric("tunnel_server_links")
                .await
                .ok()
                .flatten();
            Ok((links == Some(f64::from(count))).then_some(()))
        })
        .await
    }

    /// `prod.culvert.test`
    pub fn host(&self) -> String {
        format!("{CLUSTER}.{BASE_DOMAIN}")
    }

    /// The cluster's API by hostname, without a final slash.
    pub fn url_by_host(&self) -> String {
        format!("https://{}:{}", self.host(), self.server_address.port())
    }

    /// The cluster's API by path, without a final slash. By the loopback address,
    /// which is no name of the server's: use [`Self::http`], which resolves.
    pub fn url_by_path(&self) -> String {
        format!(
            "https://{BASE_DOMAIN}:{}/clusters/{CLUSTER}",
            self.server_address.port()
        )
    }

    pub fn ca_file(&self) -> PathBuf {
        self.folder.path().join("dev/ca.crt")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn spawner(&self) -> &Spawner {
        &self.spawner
    }

    /// The URL of a CONNECT proxy that knows the chain's hostnames.
    pub fn connect_proxy(&self) -> String {
        self.connect_proxy.url()
    }

    /// An HTTP client that trusts the server and resolves its names; sends no
    /// token by itself.
    pub fn http(&self) -> reqwest::ClientBuilder {
        let ca = std::fs::read(self.ca_file()).unwrap_or_default();
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .resolve(BASE_DOMAIN, self.server_address)
            .resolve(&self.host(), self.server_address);
        if let Ok(ca) = reqwest::Certificate::from_pem(&ca) {
            builder = builder.tls_certs_only([ca]);
        }
        builder
    }

    /// An HTTP client as [`Self::http`] that sends the access token.
    pub fn caller(&self) -> Result<reqwest::Client> {
        let mut token = reqwest::header::HeaderValue::try_from(format!(
            "Bearer {}",
            self.access_token.expose()
        ))?;
        token.set_sensitive(true);
        let headers = [(reqwest::header::AUTHORIZATION, token)]
            .into_iter()
            .collect();
        Ok(self.http().default_headers(headers).build()?)
    }

    /// A kubeconfig for callers, by `server`'s URL.
    pub fn kubeconfig(&self, server: &str) -> Result<PathBuf> {
        let name = if server.contains("/clusters/") {
            "by-path.kubeconfig"
        } else {
            "by-host.kubeconfig"
        };
        let path = self.folder.path().join(name);
        let kubeconfig = Kubeconfig {
            server,
            ca_file: &self.ca_file(),
            credential: Credential::Token(self.access_token.expose()),
            proxy_url: Some(&self.connect_proxy()),
        };
        kubeconfig.write(&path)?;
        Ok(path)
    }

    /// Writes the configuration as it is now.
    pub fn write_config(&self) -> Result<()> {
        self.config.write(&self.folder.path().join("server.yaml"))
    }

    /// The server's configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.folder.path().join("server.yaml")
    }

    /// Further flags of the server, from its next start on.
    pub fn set_server_arguments(&mut self, arguments: Vec<String>) {
        self.options.server_arguments = arguments;
    }

    /// Further flags of the client, from its next start on.
    pub fn set_client_arguments(&mut self, arguments: &[&str]) {
        let arguments = arguments.iter().map(ToString::to_string);
        self.options.client_arguments = arguments.collect();
    }

    /// Starts the server again, on the same port.
    pub async fn restart_server(&mut self) -> Result<()> {
        self.server.kill()?;
        self.server = start_server(&self.spawner, &self.options, self.folder.path()).await?;
        Ok(())
    }

    /// Starts the sidecar again, on the same port.
    pub async fn restart_sidecar(&mut self) -> Result<()> {
        let (Some(sidecar), Some(api_server)) = (&mut self.sidecar, &self.options.api_server)
        else {
            return Ok(());
        };
        sidecar.kill()?;
        let port = sidecar.address.context("no address")?.port().to_string();
        *sidecar = start_sidecar(
            &self.spawner,
            &self.options,
            api_server,
            &port,
            self.folder.path(),
        )
        .await?;
        Ok(())
    }

    /// Starts the client again.
    pub async fn restart_client(&mut self) -> Result<()> {
        self.client.kill()?;
        let upstream = self.upstream()?;
        self.client = start_client(
            &self.spawner,
            &self.options,
            self.server_address,
            upstream,
            self.folder.path(),
        )
        .await?;
        Ok(())
    }

    /// Starts the client again, with these environment variables.
    pub async fn restart_client_with(&mut self, variables: &[(&str, &str)]) -> Result<()> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.options.client_variables = variables.iter().map(owned).collect();
        self.restart_client().await
    }

    /// Another tunnel-client in the place of the chain's: it dials `servers`.
    pub async fn restart_client_to(&mut self, servers: &str, arguments: &[&str]) -> Result<()> {
        self.client.kill()?;
        let mut all = client_arguments(self.server_address, self.upstream()?);
        let server = all.iter().position(|flag| flag == "--server");
        let server = server.and_then(|at| all.get_mut(at + 1));
        *server.context("no --server")? = servers.to_owned();
        all.extend(arguments.iter().map(ToString::to_string));
        let folder = self.folder.path();
        self.client = Service::start(&self.spawner, "tunnel-client", &all, folder).await?;
        Ok(())
    }

    /// Where tunnel-client relays.
    pub fn upstream(&self) -> Result<SocketAddr> {
        self.options
            .upstream
            .or(self.sidecar.as_ref().and_then(|sidecar| sidecar.address))
            .context("no upstream")
    }

    /// All processes of the chain.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        [&self.server, &self.client]
            .into_iter()
            .chain(&self.sidecar)
    }

    /// Ends the chain and searches all that it showed for secrets.
    pub async fn stop(self) -> Result<()> {
        for service in self.services() {
            self.secrets.must_not_be_in_arguments(service.id())?;
            if let Ok((_, metrics)) = service.admin_page("/metrics").await {
                self.secrets.must_not_be_in("the metrics", &metrics)?;
            }
        }
        self.search_logs()
    }

    fn search_logs(&self) -> Result<()> {
        for service in self.services() {
            self.secrets.must_not_be_in_file(&service.log())?;
        }
        Ok(())
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        // A test that fails before `stop` is searched, too, and keeps its logs.
        if let Err(error) = self.search_logs() {
            eprintln!("SECRET IN A LOG: {error:#}");
            std::process::exit(1);
        }
        if std::thread::panicking() || std::env::var_os("CULVERT_KEEP_LOGS").is_some() {
            self.folder.disable_cleanup(true);
            eprintln!("the chain's logs are in {}", self.folder.path().display());
        }
    }
}

async fn start_server(spawner: &Spawner, options: &ChainOptions, folder: &Path) -> Result<Service> {
    let mut arguments = ["--config", "server.yaml", "--dev", "dev"]
        .map(str::to_owned)
        .to_vec();
    arguments.extend(options.server_arguments.iter().cloned());
    Service::start(spawner, "tunnel-server", &arguments, folder).await
}

async fn start_client(
    spawner: &Spawner,
    options: &ChainOptions,
    server: SocketAddr,
    upstream: SocketAddr,
    folder: &Path,
) -> Result<Service> {
    let mut arguments = client_arguments(server, upstream);
    arguments.extend(options.client_arguments.iter().cloned());
    let variables = &options.client_variables;
    Service::start_with(spawner, "tunnel-client", &arguments, variables, folder).await
}

/// tunnel-client's flags in a chain: by the loopback address, which the
/// development certificate also holds, and without the spread that a fleet needs.
pub fn client_arguments(server: SocketAddr, upstream: SocketAddr) -> Vec<String> {
    let server = format!("https://localhost:{}", server.port());
    let upstream = upstream.to_string();
    [
        "--server",
        &server,
        "--token-file",
        "connector-token",
        "--ca-file",
        "dev/ca.crt",
        "--upstream",
        &upstream,
        "--admin-address",
        "127.0.0.1:0",
        "--reconnect-spread-ms",
        "0",
        "--reconnect-cap-ms",
        "250",
    ]
    .map(str::to_owned)
    .to_vec()
}

async fn start_sidecar(
    spawner: &Spawner,
    options: &ChainOptions,
    api_server: &ApiServer,
    port: &str,
    folder: &Path,
) -> Result<Service> {
    let (ca, token, kubeconfig) = (
        folder.join("cluster-ca.crt"),
        folder.join("sa-token"),
        folder.join("sidecar.kubeconfig"),
    );
    std::fs::write(&ca, &api_server.ca_pem)?;
    std::fs::write(&token, &api_server.token)?;
    Kubeconfig {
        server: &api_server.url,
        ca_file: &ca,
        credential: Credential::File(&token),
        proxy_url: None,
    }
    .write(&kubeconfig)?;
    let mut arguments = [
        "--kubeconfig",
        "sidecar.kubeconfig",
        "--port",
        port,
        "--admin-address",
        "127.0.0.1:0",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(options.sidecar_arguments.iter().cloned());
    let sidecar = Service::start(spawner, "proxy-sidecar", &arguments, folder).await?;
    ensure!(
        sidecar.address.is_some(),
        "the sidecar's log has no address"
    );
    Ok(sidecar)
}
