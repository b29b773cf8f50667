//! A container engine of our own, for machines where none runs: dockerd with its
//! own folder for data, state and socket. It outlives the process that starts it,
//! and ends with the last cluster.

mod firewall;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::command::run;
use crate::environment::{cache_folder, on_path};
use crate::log_tail::log_tail;

const RUNTIME: &str = include_str!("runtime.sh");
const STARTED: Duration = Duration::from_secs(60);
const STOPPED: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// The capability that `runtime.sh` is about: `CAP_SYS_RESOURCE` in
/// linux/capability.h.
const SYS_RESOURCE: u32 = 24;

/// Where our engine is, whether it runs or not.
#[derive(Clone, Debug)]
pub(super) struct OwnEngine {
    folder: PathBuf,
}

impl OwnEngine {
    pub(super) fn new() -> Result<Self> {
        let folder = std::path::absolute(cache_folder()?.join("engine"))?;
        Ok(Self { folder })
    }

    /// Its address, as in DOCKER_HOST.
    pub(super) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("docker.sock")
    }

    fn log(&self) -> PathBuf {
        self.folder.join("dockerd.log")
    }

    /// Whether it has ended without being told to, and what it changed is still so.
    pub(super) fn was_killed(&self) -> Result<bool> {
        Ok(firewall::is_changed(&self.folder) && self.process()?.is_none())
    }

    /// Starts it, unless it runs, and waits until it answers. Not for two processes
    /// at once.
    pub(super) fn start(progress: &dyn Fn(&str)) -> Result<Self> {
        let engine = Self::new()?;
        let dockerd = on_path("dockerd").context(
            "no container engine answers and dockerd is not installed (Debian: `apt-get install docker.io`)",
        )?;
        if !is_root()? {
            bail!(
                "no container engine answers, and only root can start one: start docker, let DOCKER_HOST name one, or run as root"
            );
        }
        fs::create_dir_all(&engine.folder)
            .with_context(|| format!("cannot create {}", engine.folder.display()))?;
        if engine.process()?.is_none() {
            engine.forget_killed()?;
            progress("no container engine runs: starting dockerd");
            firewall::remember(&engine.folder)?;
            engine.spawn(&dockerd)?;
        }
        engine.until_it_answers()?;
        Ok(engine)
    }

    fn spawn(&self, dockerd: &Path) -> Result<()> {
        let output = File::create(self.log())?;
        // A session of its own, so that it outlives the terminal, too.
        let mut command = Command::new("setsid");
        command
            .arg("--fork")
            .arg(dockerd)
            .args(["--host", &self.host()])
            .args(["--bridge", "none", "--oom-score-adjust", "0"])
            .arg("--data-root")
            .arg(self.folder.join("data"))
            .arg("--exec-root")
            .arg(self.folder.join("exec"))
            .arg("--pidfile")
            .arg(self.pid_file());
        if !can_raise_limits()? {
            let runtime = self.folder.join("runtime.sh");
            fs::write(&runtime, RUNTIME)?;
            fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755))?;
            command
                .args(["--default-runtime", "culvert", "--add-runtime"])
                .arg(format!("culvert={}", runtime.display()));
        }
        command
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let started = command
            .status()
            .context("cannot start setsid (util-linux)")?;
        if !started.success() {
            bail!(
                "dockerd does not start ({started}):\n{}",
                log_tail(&self.log())
            );
        }
        Ok(())
    }

    fn until_it_answers(&self) -> Result<()> {
        let started = Instant::now();
        while run(Command::new("docker").args(["--host", &self.host(), "version"])).is_err() {
            if started.elapsed() > STARTED {
                bail!("dockerd does not answer:\n{}", log_tail(&self.log()));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }

    fn pid_file(&self) -> PathBuf {
        self.folder.join("dockerd.pid")
    }

    /// The process id, if it runs.
    fn process(&self) -> Result<Option<u32>> {
        let pid_file = self.pid_file();
        process(&pid_file, &pid_file)
    }

    /// Removes what killed processes leave: dockerd would take whoever has their
    /// ids now for another dockerd, or for its containerd.
    fn forget_killed(&self) -> Result<()> {
        let containerd = self.folder.join("exec/containerd");
        let pid_file = containerd.join("containerd.pid");
        if process(&pid_file, &containerd.join("containerd.toml"))?.is_none() {
            remove(&pid_file)?;
        }
        remove(&self.pid_file())
    }

    /// Ends it and takes back what it changed of this machine's network. Images
    /// stay in its folder.
    pub(super) fn stop(&self) -> Result<()> {
        if let Some(id) = self.process()? {
            run(Command::new("kill").args(["-TERM", &id.to_string()]))?;
            let asked = Instant::now();
            while self.process()?.is_some() {
                if asked.elapsed() > STOPPED {
                    bail!("dockerd ({id}) does not end:\n{}", log_tail(&self.log()));
                }
                std::thread::sleep(LOOK_AGAIN);
            }
        }
        firewall::restore(&self.folder)
    }
}

/// The process id in a file, if that process runs with this argument. It may have
/// ended, and its id be another's now.
fn process(pid_file: &Path, argument: &Path) -> Result<Option<u32>> {
    let text = match fs::read_to_string(pid_file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| format!("cannot read {}", pid_file.display()))?,
    };
    let Ok(id) = text.trim().parse::<u32>() else {
        return Ok(None);
    };
    let arguments = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    let runs = arguments
        .split(|byte| *byte == 0)
        .any(|one| one == argument.as_os_str().as_encoded_bytes());
    Ok(runs.then_some(id))
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

fn is_root() -> Result<bool> {
    Ok(status_field("Uid:")?.split_whitespace().nth(1) == Some("0"))
}

/// Whether this process has CAP_SYS_RESOURCE.
fn can_raise_limits() -> Result<bool> {
    let text = status_field("CapEff:")?;
    let set = u64::from_str_radix(text.trim(), 16).context("CapEff in /proc/self/status")?;
    Ok(set >> SYS_RESOURCE & 1 == 1)
}

/// A line of `/proc/self/status`, without its name.
fn status_field(name: &str) -> Result<String> {
    let status =
        fs::read_to_string("/proc/self/status").context("cannot read /proc/self/status")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .map(str::to_owned)
        .with_context(|| format!("no {name} in /proc/self/status"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_one_left_is_forgotten_although_its_id_is_anothers_now() {
        let folder = tempfile::tempdir().unwrap();
        let engine = OwnEngine {
            folder: folder.path().to_owned(),
        };
        let containerd = folder.path().join("exec/containerd");
        fs::create_dir_all(&containerd).unwrap();
        let files = [engine.pid_file(), containerd.join("containerd.pid")];
        for file in &files {
            fs::write(file, std::process::id().to_string()).unwrap();
        }
        assert_eq!(engine.process().unwrap(), None);
        engine.forget_killed().unwrap();
        engine.forget_killed().unwrap();
        assert!(files.iter().all(|file| !file.exists()));
    }

    #[test]
    fn a_process_is_known_by_its_argument() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let argument = PathBuf::from(std::env::args_os().next().unwrap());
        fs::write(&file, std::process::id().to_string()).unwrap();
        assert_eq!(process(&file, &argument).unwrap(), Some(std::process::id()));
    }
}
