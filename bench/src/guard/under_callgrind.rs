//! Our three programs, each under callgrind.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use integration::wait::until;
use local_kubernetes::process::Spawner;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::generator::Entry;
use crate::peers::identity::Identity;
use crate::peers::{Programs, Tunnel, ours};
use crate::proxies::{Kind, Proxy};

/// From the request to end to callgrind's last line.
const END: Duration = Duration::from_secs(60);

/// Instructions of a process from its start to its end, by its program.
pub(super) type Totals = BTreeMap<&'static str, u64>;

const PROGRAMS: [&str; 3] = ["tunnel-server", "tunnel-client", "proxy-sidecar"];

/// The programs as scripts that run them under callgrind.
pub(super) struct Wrapped {
    folder: TempDir,
    programs: Programs,
    ca_file: PathBuf,
}

/// The chain, before an origin.
pub(super) struct Chain<'a> {
    tunnel: Tunnel<'a>,
    proxy: Proxy,
    folder: &'a Path,
}

impl Wrapped {
    pub(super) fn new(binaries: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for program in PROGRAMS {
            wrap(folder.path(), &binaries.join(program), program)?;
        }
        Ok(Self {
            programs: Programs::in_folder(folder.path().to_owned()),
            // A kubeconfig has one, whether it is used or not.
            ca_file: Identity::make(folder.path(), &[])?.ca,
            folder,
        })
    }

    /// Copies what was counted.
    pub(super) fn keep(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)?;
        for program in PROGRAMS {
            let file = counted(self.folder.path(), program);
            std::fs::copy(&file, folder.join(format!("{program}.callgrind")))?;
        }
        Ok(())
    }

    pub(super) async fn start<'a>(
        &'a self,
        spawner: &'a Spawner,
        origin: SocketAddr,
    ) -> Result<Chain<'a>> {
        let folder = self.folder.path();
        let kind = Kind {
            name: "proxy-sidecar".into(),
            binary: folder.join("proxy-sidecar"),
            arguments: Vec::new(),
        };
        let server = format!("http://{origin}");
        let proxy = Proxy::start(spawner, &kind, &server, &self.ca_file).await?;
        let upstream = proxy.address;
        let tunnel = Tunnel::start(ours(), &self.programs, spawner, upstream, 1, None).await?;
        Ok(Chain {
            tunnel,
            proxy,
            folder,
        })
    }
}

impl Chain<'_> {
    pub(super) fn entry(&self) -> Result<&Entry> {
        self.tunnel.entry()
    }

    /// Ends all of it; what each has counted.
    pub(super) async fn end(self) -> Result<Totals> {
        // Who calls ends before who is called.
        let ids = self.tunnel.parts().map(|part| part.id());
        for id in ids.chain([self.proxy.id()]) {
            let id = i32::try_from(id).ok().and_then(Pid::from_raw);
            kill_process(id.context("no process")?, Signal::TERM)?;
        }
        let mut totals = Totals::new();
        for program in PROGRAMS {
            let file = counted(self.folder, program);
            let what = format!("what {program} has counted");
            let total = until(&what, END, || {
                let text = std::fs::read_to_string(&file).unwrap_or_default();
                std::future::ready(Ok(total(&text)))
            });
            totals.insert(program, total.await?);
        }
        Ok(totals)
    }
}

/// A script that is started in the program's place.
fn wrap(folder: &Path, binary: &Path, program: &str) -> Result<()> {
    let script = folder.join(program);
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let text = format!(
        "#!/bin/sh\nexec valgrind -q --tool=callgrind --callgrind-out-file={} {} \"$@\" {}\n",
        quoted(&counted(folder, program)),
        quoted(binary),
        match program {
            // Each thread seeds a random generator of its own, which costs as much as
            // a thousand requests; how many do is chance.
            "tunnel-server" => "--worker-threads 1",
            _ => "",
        }
    );
    std::fs::write(&script, text)?;
    std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755))
        .with_context(|| format!("cannot make {} a program", script.display()))
}

fn counted(folder: &Path, program: &str) -> PathBuf {
    folder.join(format!("{program}.callgrind"))
}

/// The last line that it writes.
fn total(text: &str) -> Option<u64> {
    let line = text.lines().rev().find(|line| !line.is_empty())?;
    line.strip_prefix("totals: ")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_total_is_the_last_line() {
        assert_eq!(super::total("summary: 7\n\ntotals: 12\n"), Some(12));
        assert_eq!(super::total("summary: 7\n"), None);
        assert_eq!(super::total(""), None);
    }
}
