//! A running API server with its etcd.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::time::{Instant, sleep};

use crate::api_client::{ApiClient, EtcdClient};
use crate::data_folder::DataFolder;
use crate::process::{Process, Program, Spawner};
use crate::reserved_port::ReservedPort;
use crate::trust::Trust;
use crate::{Binaries, Kubeconfig, Options, ServingCertificate, certificates, server_files};

/// How often a starting API server is asked whether it is ready.
const POLL_EVERY: Duration = Duration::from_millis(50);

/// A real Kubernetes control plane on loopback: an API server and its etcd.
///
/// There is no controller manager and no node. So nobody makes pods of
/// Deployments, a deleted namespace stays, a namespace gets no `default`
/// service account, and the aggregated cluster roles (`admin`, `edit`, `view`)
/// are empty. Lists, watches, RBAC, impersonation, token requests and
/// admission are the real ones.
///
/// Dropping it kills both processes and removes their folder, which blocks for
/// some milliseconds; [`stop`](Self::stop) does the same without blocking.
/// Where `setpriv` is installed, the kernel kills them also when this program
/// is killed.
pub struct ControlPlane {
    // Fields are dropped in this order: the processes end before who started
    // them, and the folder goes last.
    processes: Mutex<Processes>,
    spawner: Spawner,
    pub(crate) folder: DataFolder,
    pub(crate) port: ReservedPort,
    binaries: Binaries,
    api_server_arguments: Vec<String>,
    ready_within: Duration,
    pub(crate) api: ApiClient,
    etcd_client: EtcdClient,
    url: String,
    pub(crate) ca_pem: String,
    pub(crate) trust: Trust,
    pub(crate) admin_token: String,
    admin_kubeconfig: PathBuf,
}

struct Processes {
    api_server: Process,
    etcd: Process,
}

impl Processes {
    fn must_run(&mut self) -> Result<()> {
        // Without etcd the API server ends, too: the cause comes first.
        self.etcd.must_run()?;
        self.api_server.must_run()
    }
}

impl ControlPlane {
    /// Starts etcd and the API server, and returns when `/readyz` says yes and
    /// the namespace `default` is there: 2 to 3 seconds on an idle machine.
    ///
    /// The API server listens on a port of 127.0.0.1 that was free, etcd on a
    /// socket in the data folder. Any number of them can run at once.
    ///
    /// # Errors
    /// If a process cannot be started or ends, or if it takes longer than
    /// [`Options::ready_within`]. The message has the end of its log.
    pub async fn start(binaries: &Binaries, options: Options) -> Result<Self> {
        let folder = DataFolder::new()?;
        let port = ReservedPort::new()?;
        let admin_token = format!("{:032x}", rand::random::<u128>());
        let trust = Trust::new().context("cannot make certificates")?;
        server_files::write_server_certificate(&folder, &trust.ca.server()?)?;
        let ca_pem = match options.serving_certificate {
            ServingCertificate::OwnCa => {
                let own = certificates::own_ca()?;
                server_files::write_own_ca(&folder, &own)?;
                own.certificate
            }
            _ => trust.ca.pem(),
        };
        let api_server_arguments = server_files::api_server_arguments(
            &folder,
            port.number(),
            &trust,
            &admin_token,
            &options,
        )?;
        let spawner = Spawner::new()?;
        let etcd = spawner.spawn(&Program {
            name: "etcd",
            binary: &binaries.etcd,
            arguments: &server_files::etcd_arguments(),
            folder: folder.path(),
        })?;
        let api_server = start_api_server(&spawner, binaries, &api_server_arguments, &folder)?;
        let mut control_plane = Self {
            processes: Mutex::new(Processes { api_server, etcd }),
            spawner,
            binaries: binaries.clone(),
            api_server_arguments,
            ready_within: options.ready_within,
            api: ApiClient::new(port.number(), &trust.ca.pem(), &admin_token)?,
            etcd_client: EtcdClient::new(&server_files::etcd_socket(&folder))?,
            url: format!("https://127.0.0.1:{}", port.number()),
            port,
            ca_pem,
            trust,
            admin_kubeconfig: folder.join("admin.kubeconfig"),
            admin_token,
            folder,
        };
        control_plane.ready().await?;
        if options.serving_certificate == ServingCertificate::SelfMade {
            let made = server_files::self_made_certificate(&control_plane.folder);
            control_plane.ca_pem = std::fs::read_to_string(&made)
                .with_context(|| format!("cannot read {}", made.display()))?;
        }
        control_plane.write_admin_kubeconfig()?;
        Ok(control_plane)
    }

    /// Stops both processes and removes their folder.
    ///
    /// # Errors
    /// If the runtime is shutting down; then it is stopped all the same.
    pub async fn stop(self) -> Result<()> {
        tokio::task::spawn_blocking(move || drop(self)).await?;
        Ok(())
    }

    /// The API server's URL: `https://127.0.0.1:<port>`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The CA that the API server's certificate is of, in PEM. The certificate
    /// is good for 127.0.0.1, `localhost` and `kubernetes.default.svc`; one that
    /// [the API server has made](ServingCertificate::SelfMade) not for the last.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The bearer token of user `admin` in group `system:masters`.
    pub fn admin_token(&self) -> &str {
        &self.admin_token
    }

    /// A kubeconfig file with the administrator's token, mode 0600.
    pub fn admin_kubeconfig(&self) -> &Path {
        &self.admin_kubeconfig
    }

    /// Writes a kubeconfig file, mode 0600, for whoever has `token`.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn kubeconfig_for(&self, token: &str, path: &Path) -> Result<()> {
        let kubeconfig = Kubeconfig {
            server: &self.url,
            ca_pem: Some(&self.ca_pem),
            token,
            namespace: None,
        };
        kubeconfig.write(path)
    }

    /// The path of kubectl.
    pub fn kubectl(&self) -> &Path {
        &self.binaries.kubectl
    }

    /// A `kubectl` that is the administrator, without arguments yet.
    pub fn kubectl_command(&self) -> Command {
        let mut kubectl = Command::new(self.kubectl());
        kubectl.env("KUBECONFIG", &self.admin_kubeconfig);
        kubectl
    }

    /// The folder with the logs (`kube-apiserver.log`, `etcd.log`), keys and
    /// data. It goes with the control plane.
    pub fn data_folder(&self) -> &Path {
        self.folder.path()
    }

    /// The API server's audit log: one line of JSON for each request that was
    /// answered, and one for each watch that was opened. The file is there if
    /// [`Options::audit`] was set.
    pub fn audit_log(&self) -> PathBuf {
        server_files::audit_log(&self.folder)
    }

    /// The API server's metrics, in Prometheus's text format.
    ///
    /// # Errors
    /// If the API server does not answer.
    pub async fn metrics(&self) -> Result<String> {
        self.api.get_text("/metrics").await
    }

    /// Makes etcd forget every resource version that there has been, and
    /// returns the oldest one that it still knows. Lists and new watches from
    /// older ones are answered with 410 Gone; watches that run go on.
    ///
    /// What the API server itself remembers it still serves: snapshots for
    /// lists up to 15 seconds longer, events for watches much longer. With
    /// `--watch-cache=false` it remembers nothing; else
    /// [`restart_api_server`](Self::restart_api_server) makes it forget.
    ///
    /// # Errors
    /// If etcd does not answer.
    pub async fn compact_etcd(&self) -> Result<u64> {
        self.etcd_client.compact().await
    }

    /// Kills the API server (SIGKILL). From now on connections are refused.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub fn kill_api_server(&self) -> Result<()> {
        Ok(self.processes().api_server.kill()?)
    }

    /// Starts the API server again, on the same port and with the same data,
    /// and returns when it is ready. One that still runs is killed first.
    ///
    /// # Errors
    /// As for [`start`](Self::start).
    pub async fn restart_api_server(&self) -> Result<()> {
        {
            let mut processes = self.processes();
            processes.api_server.kill()?;
            processes.api_server = start_api_server(
                &self.spawner,
                &self.binaries,
                &self.api_server_arguments,
                &self.folder,
            )?;
        }
        self.ready().await
    }

    pub(crate) fn write_admin_kubeconfig(&self) -> Result<()> {
        self.kubeconfig_for(&self.admin_token, &self.admin_kubeconfig)
    }

    async fn ready(&self) -> Result<()> {
        let deadline = Instant::now() + self.ready_within;
        loop {
            self.processes().must_run()?;
            // The namespace comes a moment after the server is ready.
            let error = match self.api.get_text("/readyz").await {
                Ok(_) => match self.api.get_text("/api/v1/namespaces/default").await {
                    Ok(_) => return Ok(()),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if Instant::now() >= deadline {
                let processes = self.processes();
                bail!(
                    "the API server is not ready after {} s: {error:#}\n{}\netcd:\n{}",
                    self.ready_within.as_secs(),
                    processes.api_server.log_tail(),
                    processes.etcd.log_tail(),
                );
            }
            sleep(POLL_EVERY).await;
        }
    }

    fn processes(&self) -> MutexGuard<'_, Processes> {
        // A panic elsewhere leaves them as they were.
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_api_server(
    spawner: &Spawner,
    binaries: &Binaries,
    arguments: &[String],
    folder: &DataFolder,
) -> Result<Process> {
    spawner.spawn(&Program {
        name: "kube-apiserver",
        binary: &binaries.kube_apiserver,
        arguments,
        folder: folder.path(),
    })
}
