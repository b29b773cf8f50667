//! One of our binaries as a process: started, found by its log, and ended.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use local_kubernetes::process::{Process, Program, Spawner};
use serde_json::Value;

use crate::binaries::culvert;
use crate::wait::until;

/// How long a process may take to be up. Milliseconds; on a loaded machine more.
const UP: Duration = Duration::from_secs(20);

/// A running binary.
pub struct Service {
    process: Process,
    /// Of its log, from where this process' lines start.
    offset: u64,
    pub address: Option<SocketAddr>,
    /// Of tunnel-server, where it has one without TLS, too.
    pub plain_http: Option<SocketAddr>,
    pub admin: SocketAddr,
}

impl Service {
    /// Starts one of our binaries at its most talkative.
    pub async fn start(
        spawner: &Spawner,
        name: &'static str,
        arguments: &[String],
        folder: &Path,
    ) -> Result<Self> {
        Self::start_binary(spawner, name, &culvert(name)?, "trace", arguments, folder).await
    }

    /// As [`Self::start`], with environment variables of its own.
    pub async fn start_with(
        spawner: &Spawner,
        name: &'static str,
        arguments: &[String],
        variables: &[(String, String)],
        folder: &Path,
    ) -> Result<Self> {
        let binary = culvert(name)?;
        Self::start_process(
            spawner, name, &binary, "trace", arguments, variables, folder,
        )
        .await
    }

    /// Starts a binary and waits for the line in its log with its addresses.
    pub async fn start_binary(
        spawner: &Spawner,
        name: &'static str,
        binary: &Path,
        log_level: &str,
        arguments: &[String],
        folder: &Path,
    ) -> Result<Self> {
        Self::start_process(spawner, name, binary, log_level, arguments, &[], folder).await
    }

    async fn start_process(
        spawner: &Spawner,
        name: &'static str,
        binary: &Path,
        log_level: &str,
        arguments: &[String],
        variables: &[(String, String)],
        folder: &Path,
    ) -> Result<Self> {
        let mut arguments = arguments.to_vec();
        arguments.extend(["--log-level", log_level, "--log-format", "json"].map(str::to_owned));
        let log = folder.join(format!("{name}.log"));
        let offset = std::fs::metadata(&log).map_or(0, |metadata| metadata.len());
        let program = Program {
            name,
            binary,
            arguments: &arguments,
            folder,
        };
        let mut process = spawner.spawn_with(&program, variables)?;
        let started = until(&format!("the start of {name}"), UP, || {
            let started = lines(&log, offset)
                .into_iter()
                .find(|line| line["admin"].is_string());
            let running = process.must_run();
            async move { running.map(|()| started) }
        })
        .await?;
        let address = |key: &str| started[key].as_str().and_then(|text| text.parse().ok());
        let admin = address("admin").context("no admin address in the log")?;
        let plain_http = address("plain_http");
        let address = address("address");
        Ok(Self {
            process,
            offset,
            address,
            plain_http,
            admin,
        })
    }

    /// Starts a binary that is expected to end, and gives its exit code and what
    /// it printed.
    pub async fn run_to_end(
        spawner: &Spawner,
        name: &'static str,
        arguments: &[String],
        folder: &Path,
    ) -> Result<(Option<i32>, String)> {
        let binary = culvert(name)?;
        let mut process = spawner.spawn(&Program {
            name,
            binary: &binary,
            arguments,
            folder,
        })?;
        let status = until(&format!("the end of {name}"), UP, || {
            let status = process.try_wait();
            async move { Ok(status?) }
        })
        .await?;
        Ok((status.code(), std::fs::read_to_string(process.log())?))
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    pub fn log(&self) -> PathBuf {
        self.process.log().to_owned()
    }

    /// This process' log lines that are JSON.
    pub fn log_lines(&self) -> Vec<Value> {
        lines(self.process.log(), self.offset)
    }

    /// Waits until the log has a line with this message.
    pub async fn says(&self, message: &str) -> Result<()> {
        until(message, UP, || async {
            let lines = self.log_lines();
            let said = lines.iter().any(|line| line["message"] == message);
            Ok(said.then_some(()))
        })
        .await
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        Ok(self.process.kill()?)
    }

    /// SIGTERM; does not wait.
    pub fn terminate(&self) -> Result<()> {
        Ok(self.process.terminate()?)
    }

    /// SIGINT; does not wait.
    pub fn interrupt(&self) -> Result<()> {
        Ok(self.process.interrupt()?)
    }

    /// Waits for its end; gives its exit code.
    pub async fn ended(&mut self, within: Duration) -> Result<Option<i32>> {
        let process = &mut self.process;
        let status = until("the end of a process", within, || {
            let status = process.try_wait();
            async move { Ok(status?) }
        });
        Ok(status.await?.code())
    }

    /// Resident memory's high-water mark since the start, bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        self.memory("VmHWM:")
    }

    /// Resident memory now, bytes.
    pub fn resident_memory(&self) -> Result<u64> {
        self.memory("VmRSS:")
    }

    /// Fails if the process has panicked, anywhere in it.
    pub fn must_not_have_panicked(&self) -> Result<()> {
        let log = std::fs::read_to_string(self.log())?;
        // As our panic hook says it, and as Rust does before there is one.
        let told = ["a panic, which is a fault", "panicked at"];
        let line = log
            .lines()
            .find(|line| told.iter().any(|told| line.contains(told)));
        line.map_or(Ok(()), |line| anyhow::bail!("it panicked: {line}"))
    }

    /// Processor time since the start, of the process and of the kernel for it.
    pub fn processor_time(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id()))?;
        // The name before may hold anything.
        let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
        let fields: Vec<_> = fields.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("no times in stat")?;
        // USER_HZ, which is 100 on every Linux.
        Ok(Duration::from_millis((user + system) * 10))
    }

    fn memory(&self, key: &str) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(key))
            .context("no such line")?;
        let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// A page of its admin port: status and text.
    pub async fn admin_page(&self, path: &str) -> Result<(u16, String)> {
        let response = reqwest::get(format!("http://{}{path}", self.admin)).await?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// One sample of its metrics, by its whole name with labels.
    pub async fn metric(&self, name: &str) -> Result<Option<f64>> {
        let (_, text) = self.admin_page("/metrics").await?;
        Ok(text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok()))
    }
}

fn lines(log: &Path, offset: u64) -> Vec<Value> {
    let bytes = std::fs::read(log).unwrap_or_default();
    let offset = usize::try_from(offset)
        .unwrap_or(usize::MAX)
        .min(bytes.len());
    String::from_utf8_lossy(&bytes[offset..])
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}
