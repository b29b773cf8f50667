//! `ssh -R`: OpenSSH as the system has it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;

use super::{About, Callers, Carries, Link, Part, Peer, Place, Programs, Role, Running, Workshop};
use crate::generator::Entry;

const LINK: u16 = 2222;
const CALLERS: u16 = 5000;
/// It wants its own whole path.
const SERVER: &str = "/usr/sbin/sshd";
/// Where it keeps what is not privileged apart; packages make it when the system starts.
const SEPARATED: &str = "/run/sshd";

pub(super) struct Ssh;

#[async_trait(?Send)]
impl Peer for Ssh {
    fn about(&self) -> About {
        About {
            name: "ssh -R",
            version: "the system's",
            link: Link::Ssh,
            callers: Callers::Plain,
            carries: Carries::Bytes,
            note: "",
        }
    }

    fn obtain(&self, _: &Workshop) -> Result<Programs> {
        ensure!(
            Path::new(SERVER).is_file(),
            "{SERVER} is missing: install the package openssh-server"
        );
        if !Path::new(SEPARATED).is_dir() {
            std::fs::create_dir(SEPARATED)
                .with_context(|| format!("sshd needs the folder {SEPARATED}"))?;
        }
        Ok(Programs::of_the_system())
    }

    async fn server(&self, place: &Place<'_>, links: usize) -> Result<Running> {
        for key in ["host-key", "client-key"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(place.folder.join(key))
                .status()
                .context("cannot run ssh-keygen")?;
            ensure!(made.success(), "ssh-keygen failed");
        }
        let folder = place.folder.display();
        let config = format!(
            "ListenAddress {}\nHostKey {folder}/host-key\nPidFile none\nUsePAM no\n\
             StrictModes no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n\
             AuthorizedKeysFile {folder}/client-key.pub\nGatewayPorts clientspecified\n\
             MaxStartups 1000\nMaxSessions 1000\nUseDNS no\n",
            place.at(LINK)
        );
        let config = place.folder.join(place.write("sshd_config", &config)?);
        let arguments = ["-D", "-e", "-f", &config.display().to_string()].map(str::to_owned);
        let entries = (0..links).map(|number| Entry::plain(place.at(CALLERS + number as u16)));
        Ok(Running {
            server: place.start_at(Role::Server, Path::new(SERVER), arguments)?,
            link: place.at(LINK),
            entries: entries.collect(),
        })
    }

    async fn client(&self, place: &Place<'_>, _: &Running, number: usize) -> Result<Part> {
        let callers = place.at(CALLERS + number as u16);
        let host_key = std::fs::read_to_string(place.folder.join("host-key.pub"))?;
        let dial = place.dial;
        place.write(
            "known_hosts",
            &format!("[{}]:{} {host_key}", dial.ip(), dial.port()),
        )?;
        let arguments = [
            "-N".to_owned(),
            "-T".to_owned(),
            "-F/dev/null".to_owned(),
            "-oBatchMode=yes".to_owned(),
            "-oExitOnForwardFailure=yes".to_owned(),
            "-oIdentitiesOnly=yes".to_owned(),
            format!(
                "-oUserKnownHostsFile={}/known_hosts",
                place.folder.display()
            ),
            format!("-i{}/client-key", place.folder.display()),
            format!("-R{callers}:{}", place.upstream),
            format!("-p{}", dial.port()),
            dial.ip().to_string(),
        ];
        place.start_at(Role::Client, Path::new("ssh"), arguments)
    }
}
