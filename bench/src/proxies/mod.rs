//! Proxies of a Kubernetes API side by side: the real `kubectl proxy`, which is the
//! measure, and proxy-sidecar. `PROXIES.md` holds what they gave.

pub mod bars;
mod bulk;
mod memory;
mod process;
mod requests;

use std::path::{Path, PathBuf};

use anyhow::Result;
use local_kubernetes::process::Spawner;

use crate::caller::Target;
use crate::lean;
use crate::origin::Origin;

pub use bars::Bars;
pub use bulk::bulk;
pub use memory::memory;
pub use process::{Kind, Proxy};
pub use requests::requests;

/// As a kube-apiserver.
const STREAMS: u32 = 100;

/// What is measured: first without any proxy, then kubectl's, then ours.
pub struct Stage {
    pub spawner: Spawner,
    pub kubectl: Kind,
    /// The first is what the bars are for.
    pub ours: Vec<Kind>,
    plain: lean::origin::Origin,
    tls: Origin,
    ca_file: PathBuf,
}

/// What the proxies call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// HTTP/1.1.
    Plain,
    /// HTTP/2 or HTTP/1.1, by ALPN.
    Tls,
}

impl Upstream {
    pub const ALL: [Self; 2] = [Self::Plain, Self::Tls];

    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain upstream",
            Self::Tls => "TLS upstream",
        }
    }
}

impl Stage {
    pub async fn new(kubectl: Kind, ours: Vec<Kind>, folder: &Path) -> Result<Self> {
        let tls = Origin::with_streams(folder, STREAMS).await?;
        Ok(Self {
            spawner: Spawner::new()?,
            kubectl,
            ours,
            plain: lean::origin::Origin::start().await?,
            ca_file: tls.certificate.file.clone(),
            tls,
        })
    }

    /// kubectl's, and ours.
    fn kinds(&self) -> impl Iterator<Item = &Kind> {
        std::iter::once(&self.kubectl).chain(&self.ours)
    }

    async fn start(&self, kind: &Kind, upstream: Upstream) -> Result<Proxy> {
        let server = match upstream {
            Upstream::Plain => format!("http://{}", self.plain.address),
            Upstream::Tls => format!("https://{}", self.tls.tls),
        };
        Proxy::start(&self.spawner, kind, &server, &self.ca_file).await
    }

    /// Without a proxy callers need TLS themselves.
    fn target(&self) -> Target {
        Target {
            address: self.tls.tls,
            host: "localhost".into(),
            ca_file: self.ca_file.clone(),
            token: None,
        }
    }
}
