//! Our processes between callers and the origin.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use integration::binaries::culvert;
use integration::chain::{BASE_DOMAIN, CALLER, CLUSTER, SOON, client_arguments};
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::server_config::{ServerConfig, new_token, no_limits};
use integration::service::Service;
use integration::wait::until;
use local_kubernetes::process::Spawner;
use tempfile::TempDir;
use tunnel_protocol::token::TokenKind;

use crate::caller::Target;
use crate::cpu;
use crate::origin::Origin;

/// Worker threads of each process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Workers {
    pub server: usize,
    pub client: usize,
    /// Without one tunnel-client calls the origin itself.
    pub sidecar: Option<usize>,
}

/// Other binaries to measure beside ours.
#[derive(Clone, Debug)]
pub struct Variant {
    pub name: String,
    /// What is not in it is ours.
    pub folder: PathBuf,
}

impl Variant {
    /// `NAME=FOLDER`.
    pub fn parse(text: &str) -> Result<Self> {
        let (name, folder) = text.split_once('=').context("give NAME=FOLDER")?;
        Ok(Self {
            name: name.into(),
            folder: PathBuf::from(folder).canonicalize()?,
        })
    }

    pub fn binary(this: Option<&Self>, name: &str) -> Result<PathBuf> {
        match this.map(|variant| variant.folder.join(name)) {
            Some(path) if path.is_file() => Ok(path),
            _ => culvert(name),
        }
    }
}

/// A running chain.
pub struct Chain {
    pub target: Target,
    server: Service,
    client: Service,
    sidecar: Option<Service>,
    _folder: TempDir,
}

impl Chain {
    pub async fn start(
        spawner: &Spawner,
        origin: &Origin,
        workers: Workers,
        variant: Option<&Variant>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("culvert-bench-")
            .tempdir()?;
        let path = folder.path();
        let (access, connector) = (
            new_token(TokenKind::Access),
            new_token(TokenKind::Connector),
        );
        std::fs::write(path.join("connector-token"), connector.expose())?;
        let mut config = ServerConfig::new(BASE_DOMAIN, "127.0.0.1:0");
        // What is measured is the way of a request, not where it would be held up.
        config.limits = Some(no_limits());
        config.cluster(CLUSTER, &[&connector]);
        config.caller(CALLER, &[CLUSTER], &[&access]);
        config.write(&path.join("server.yaml"))?;

        let arguments = ["--config", "server.yaml", "--dev", "dev"].map(str::to_owned);
        let server = start(
            spawner,
            "tunnel-server",
            &Variant::binary(variant, "tunnel-server")?,
            workers.server,
            &arguments,
            path,
        )
        .await?;
        let sidecar_binary = Variant::binary(variant, "proxy-sidecar")?;
        let sidecar = match workers.sidecar {
            Some(workers) => {
                Some(start_sidecar(spawner, origin, workers, &sidecar_binary, path).await?)
            }
            None => None,
        };
        let address = server.address.context("no address")?;
        let upstream = sidecar
            .as_ref()
            .and_then(|sidecar| sidecar.address)
            .unwrap_or(origin.plain);
        let client = start(
            spawner,
            "tunnel-client",
            &Variant::binary(variant, "tunnel-client")?,
            workers.client,
            &client_arguments(address, upstream),
            path,
        )
        .await?;
        until("a link", SOON, || async {
            let links = server.metric("tunnel_server_links").await?;
            Ok((links == Some(1.0)).then_some(()))
        })
        .await?;
        let target = Target {
            address,
            host: format!("{CLUSTER}.{BASE_DOMAIN}"),
            ca_file: path.join("dev/ca.crt"),
            token: Some(access.expose().to_owned()),
        };
        Ok(Self {
            target,
            server,
            client,
            sidecar,
            _folder: folder,
        })
    }

    /// CPU time of tunnel-server, tunnel-client and proxy-sidecar so far.
    pub fn cpu(&self) -> Result<Vec<Duration>> {
        self.ids().map(cpu::of_process).collect()
    }

    /// Resident memory of the same, bytes.
    pub fn resident(&self) -> Result<Vec<u64>> {
        self.ids().map(cpu::resident).collect()
    }

    fn ids(&self) -> impl Iterator<Item = u32> {
        [&self.server, &self.client]
            .into_iter()
            .chain(&self.sidecar)
            .map(Service::id)
    }
}

async fn start_sidecar(
    spawner: &Spawner,
    origin: &Origin,
    workers: usize,
    binary: &Path,
    folder: &Path,
) -> Result<Service> {
    let token = folder.join("sa-token");
    std::fs::write(&token, new_token(TokenKind::Access).expose())?;
    Kubeconfig {
        server: &format!("https://127.0.0.1:{}", origin.tls.port()),
        ca_file: &origin.certificate.file,
        credential: Credential::File(&token),
        proxy_url: None,
    }
    .write(&folder.join("sidecar.kubeconfig"))?;
    let arguments = [
        "--kubeconfig",
        "sidecar.kubeconfig",
        "--port",
        "0",
        "--admin-address",
        "127.0.0.1:0",
    ]
    .map(str::to_owned);
    start(
        spawner,
        "proxy-sidecar",
        binary,
        workers,
        &arguments,
        folder,
    )
    .await
}

async fn start(
    spawner: &Spawner,
    name: &'static str,
    binary: &Path,
    workers: usize,
    arguments: &[String],
    folder: &Path,
) -> Result<Service> {
    let mut arguments = arguments.to_vec();
    arguments.extend(["--worker-threads".to_owned(), workers.to_string()]);
    // As it is shipped: the server writes one line a request.
    Service::start_binary(spawner, name, binary, "info", &arguments, folder).await
}
