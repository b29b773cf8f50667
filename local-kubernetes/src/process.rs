//! Child processes that never outlive their owner.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;

use anyhow::{Context, Result};

use crate::environment;
use crate::log_tail::log_tail;

/// Whatever is started here talks on loopback, where no proxy leads.
const PROXY_VARIABLES: [&str; 6] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Starts processes from one thread of its own, which lives as long as the
/// `Spawner`.
///
/// The kernel's parent-death signal follows the thread that spawned, not the
/// process: from a worker thread of a runtime it would come too early. With a
/// thread of its own it comes when the owner drops the `Spawner`, or when the
/// whole program is killed and nothing can be dropped.
pub struct Spawner {
    requests: mpsc::Sender<Request>,
}

struct Request {
    command: Command,
    reply: mpsc::Sender<io::Result<Child>>,
}

/// What to start.
pub struct Program<'a> {
    /// For errors and the name of the log.
    pub name: &'static str,
    /// The file to run.
    pub binary: &'a Path,
    /// What it is given.
    pub arguments: &'a [String],
    /// The folder that it runs in.
    pub folder: &'a Path,
}

/// A running child process. Dropping it kills it.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Spawner {
    /// Starts the thread.
    ///
    /// # Errors
    /// If the system gives none.
    pub fn new() -> Result<Self> {
        let (requests, received) = mpsc::channel::<Request>();
        thread::Builder::new()
            .name("child-processes".to_owned())
            .spawn(move || {
                for mut request in received {
                    // Who asked waits for the reply, so it is there.
                    let _ = request.reply.send(request.command.spawn());
                }
            })
            .context("cannot start a thread")?;
        Ok(Self { requests })
    }

    /// Starts `program`; what it prints is added to `<name>.log` in its folder.
    ///
    /// # Errors
    /// If the log or the binary cannot be opened.
    pub fn spawn(&self, program: &Program<'_>) -> Result<Process> {
        self.spawn_with(program, &[])
    }

    /// As [`Self::spawn`], with environment variables of its own.
    ///
    /// # Errors
    /// If the log or the binary cannot be opened.
    pub fn spawn_with(
        &self,
        program: &Program<'_>,
        variables: &[(String, String)],
    ) -> Result<Process> {
        let Program { name, folder, .. } = *program;
        let log = folder.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot open {}", log.display()))?;
        let mut command = signalled_at_parent_death("KILL", program.binary);
        for variable in PROXY_VARIABLES {
            command.env_remove(variable);
        }
        command
            .args(program.arguments)
            .current_dir(folder)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            // Ctrl-C in a terminal goes to the owner alone, which then stops
            // its children in order.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let (reply, replied) = mpsc::channel();
        let child = self
            .requests
            .send(Request { command, reply })
            .ok()
            .and_then(|()| replied.recv().ok())
            .context("the thread that starts processes has ended")?
            .with_context(|| format!("cannot start {name} ({})", program.binary.display()))?;
        Ok(Process { name, child, log })
    }
}

/// A command for `binary` that is sent `signal` when the thread that spawns it
/// ends, for whatever reason; `setpriv` (util-linux) asks the kernel for that.
/// Where there is none it is a plain command.
pub(crate) fn signalled_at_parent_death(signal: &str, binary: &Path) -> Command {
    match environment::on_path("setpriv") {
        Some(setpriv) => {
            let mut command = Command::new(setpriv);
            command.args(["--pdeathsig", signal, "--"]).arg(binary);
            command
        }
        None => Command::new(binary),
    }
}

impl Process {
    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where what it prints goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Asks it to end (SIGTERM); does not wait.
    ///
    /// # Errors
    /// If there is no `kill` command.
    pub fn terminate(&self) -> io::Result<()> {
        self.signal("-TERM")
    }

    /// As Ctrl-C does (SIGINT); does not wait.
    ///
    /// # Errors
    /// If there is no `kill` command.
    pub fn interrupt(&self) -> io::Result<()> {
        self.signal("-INT")
    }

    fn signal(&self, name: &str) -> io::Result<()> {
        Command::new("kill")
            .args([name, &self.id().to_string()])
            .status()
            .map(drop)
    }

    /// An error with the end of its log if it has ended by itself.
    ///
    /// # Errors
    /// That one.
    pub fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// The end of what it printed.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    /// Kills it (SIGKILL) and waits for its end. A second time is no error.
    ///
    /// # Errors
    /// Of the operating system.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    fn ended(&self, status: ExitStatus) -> anyhow::Error {
        anyhow::anyhow!("{} has ended ({status}):\n{}", self.name, self.log_tail())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended already, or there is nobody to tell.
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(spawner: &Spawner, folder: &Path, script: &str) -> Process {
        spawner
            .spawn(&Program {
                name: "shell",
                binary: Path::new("/bin/sh"),
                arguments: &["-c".to_owned(), script.to_owned()],
                folder,
            })
            .unwrap()
    }

    #[test]
    fn one_that_ends_by_itself_is_told_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let spawner = Spawner::new().unwrap();
        let mut process = shell(&spawner, folder.path(), "echo no such flag >&2; exit 3");
        let _ = process.child.wait();
        let error = process.must_run().unwrap_err().to_string();
        assert_eq!(error, "shell has ended (exit status: 3):\nno such flag");
    }

    #[test]
    fn one_that_runs_is_killed_when_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let spawner = Spawner::new().unwrap();
        let mut process = shell(&spawner, folder.path(), "exec tail -f /dev/null");
        process.must_run().unwrap();
        let id = process.child.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{id}")).exists());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernel_kills_what_the_spawner_started_when_its_thread_ends() {
        let folder = tempfile::tempdir().unwrap();
        let spawner = Spawner::new().unwrap();
        let up = folder.path().join("up");
        assert!(Command::new("mkfifo").arg(&up).status().unwrap().success());
        let mut process = shell(&spawner, folder.path(), "echo > up; exec tail -f /dev/null");
        // Before this setpriv may not have asked for the signal yet.
        std::fs::read(up).unwrap();
        drop(spawner);
        let status = process.child.wait().unwrap();
        assert_eq!(status.to_string(), "signal: 9 (SIGKILL)");
    }
}
