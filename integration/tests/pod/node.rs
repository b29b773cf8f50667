//! The cluster's node from inside: what nobody in a pod may do to its processes.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::Command;

use crate::connector::Connector;
use crate::stage::Set;

/// A process of the connector's pod, as the node sees it.
pub(crate) struct Process {
    pub(crate) program: &'static str,
    pid: u32,
}

impl Process {
    /// The one of this program in the connector's only pod.
    pub(crate) async fn of(
        connector: &Connector,
        set: &Set,
        program: &'static str,
    ) -> Result<Self> {
        connector.pod(set).await?;
        let pods = connector.pods(set).await?;
        let pod = pods.first().context("no pod")?;
        let uid = pod["metadata"]["uid"].as_str().context("no uid")?;
        // As systemd's cgroups write it, or as it is.
        let uid = uid.replace('-', "[-_]");
        let found = run(
            set,
            &format!(
                "for pid in $(pgrep -x {program}); do \
                 ! grep -q {uid} /proc/$pid/cgroup || echo $pid; done"
            ),
        )
        .await?;
        let pids: Vec<u32> = found
            .lines()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .with_context(|| found.clone())?;
        ensure!(pids.len() == 1, "{program} has the processes {pids:?}");
        Ok(Self {
            program,
            pid: pids[0],
        })
    }

    /// Sends it a signal that it cannot be asked about.
    pub(crate) async fn signal(&self, set: &Set, signal: &str) -> Result<()> {
        run(set, &format!("kill -{signal} {}", self.pid))
            .await
            .map(drop)
    }

    /// From now on nothing that its pod sends to this address arrives.
    pub(crate) async fn cut_off(&self, set: &Set, address: &str) -> Result<()> {
        self.route(set, "add", address).await
    }

    /// Undoes [`Self::cut_off`].
    pub(crate) async fn reconnect(&self, set: &Set, address: &str) -> Result<()> {
        self.route(set, "del", address).await
    }

    async fn route(&self, set: &Set, action: &str, address: &str) -> Result<()> {
        let pid = self.pid;
        run(
            set,
            &format!("nsenter -t {pid} -n ip route {action} blackhole {address}"),
        )
        .await
        .map(drop)
    }

    /// A line of `/proc/PID/status` in KiB, like `VmRSS`.
    pub(crate) async fn kib(&self, set: &Set, line: &str) -> Result<u64> {
        let status = run(set, &format!("cat /proc/{}/status", self.pid)).await?;
        status
            .lines()
            .find_map(|it| it.strip_prefix(line)?.strip_prefix(':'))
            .and_then(|value| value.trim().strip_suffix(" kB")?.parse().ok())
            .with_context(|| format!("no {line} in {status}"))
    }
}

/// Runs a script in the node; gives what it prints.
pub(crate) async fn run(set: &Set, script: &str) -> Result<String> {
    let node = set.cluster.node();
    let output = Command::from(set.cluster.engine().docker())
        .args(["exec", &node, "sh", "-ec", script])
        .kill_on_drop(true)
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{script}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// A container of the connector's only pod, as the API server knows it.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub(crate) ready: bool,
    pub(crate) running: bool,
    pub(crate) restarts: u64,
}

/// What the API server knows of the connector's only pod.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    /// Its condition `Ready`.
    pub(crate) ready: bool,
    pub(crate) client: Container,
    pub(crate) sidecar: Container,
}

impl Pod {
    /// Nothing while there is none, or another beside it.
    pub(crate) async fn of(connector: &Connector, set: &Set) -> Result<Option<Self>> {
        let pods = connector.pods(set).await?;
        Ok(match pods.as_slice() {
            [pod] => Self::read(pod),
            _ => None,
        })
    }

    fn read(pod: &Value) -> Option<Self> {
        let status = &pod["status"];
        let ready = status["conditions"]
            .as_array()?
            .iter()
            .find(|condition| condition["type"] == "Ready")?;
        let container = |name: &str| {
            let containers = status["containerStatuses"].as_array()?;
            let container = containers.iter().find(|it| it["name"] == name)?;
            Some(Container {
                ready: container["ready"] == true,
                running: container["state"]["running"].is_object(),
                restarts: container["restartCount"].as_u64()?,
            })
        };
        Some(Self {
            name: pod["metadata"]["name"].as_str()?.to_owned(),
            ready: ready["status"] == "True",
            client: container("tunnel-client")?,
            sidecar: container("proxy-sidecar")?,
        })
    }

    pub(crate) fn container(&self, program: &str) -> &Container {
        match program {
            "tunnel-client" => &self.client,
            _ => &self.sidecar,
        }
    }
}
