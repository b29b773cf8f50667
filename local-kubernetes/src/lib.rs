//! A real Kubernetes control plane on loopback, for tests and the demo: etcd,
//! kube-apiserver and kubectl, without containers.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use local_kubernetes::{Binaries, ControlPlane, Options};
//!
//! let binaries = Binaries::obtain(&local_kubernetes::to_stderr)?;
//! let kubernetes = ControlPlane::start(&binaries, Options::default()).await?;
//! let token = kubernetes.service_account_token("default", "tester").await?;
//! println!("curl --oauth2-bearer {token} {}/api", kubernetes.url());
//! kubernetes.stop().await
//! # }
//! ```
//!
//! The binaries are those in `KUBEBUILDER_ASSETS`, or are built once from the
//! public Go modules that the folder `go` pins; see [`Binaries::obtain`].

mod access;
mod api_client;
mod binaries;
mod cache;
mod certificates;
pub mod cluster;
mod command;
mod control_plane;
mod data_folder;
mod environment;
mod go_build;
mod go_commands;
mod go_program;
mod kubeconfig;
mod kubernetes_api;
mod log_tail;
mod options;
mod private_file;
pub mod process;
mod reserved_port;
mod server_files;
mod token_key;
mod trust;
mod without_registry;

pub use access::Subject;
pub use binaries::{Binaries, obtain_helm, obtain_kind};
pub use cache::whole_folder;
pub use certificates::Identity;
pub use control_plane::ControlPlane;
pub use environment::cache_folder;
pub use go_program::{GoPackage, obtain_go_packages, obtain_go_program};
pub use kubeconfig::Kubeconfig;
pub use kubernetes_api::{KubernetesApi, obtain};
pub use options::{Options, ServingCertificate};

/// Shows a line of progress to whoever looks at the terminal.
pub fn to_stderr(line: &str) {
    eprintln!("{line}");
}
