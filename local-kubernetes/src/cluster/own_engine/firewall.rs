//! What dockerd changes of this machine's network and does not take back: its
//! chains, the policy for forwarded packets, and whether packets are forwarded.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{output, run};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const REMEMBERED: &str = "network-before";
/// In the place of a flag: docker's chains are another engine's, too.
const OTHERS: &str = "others";

/// How it was before dockerd started, as a line of words.
#[derive(Debug, PartialEq, Eq)]
struct Before {
    forwarding: String,
    policy: String,
    others_chains: bool,
    /// Where that was so. Nothing is to be taken back after a restart.
    network: String,
}

impl Before {
    fn now() -> Result<Self> {
        let forwarding = fs::read_to_string(FORWARDING).context(FORWARDING)?;
        let rules = output(Command::new("iptables").arg("--list-rules"))
            .context("cannot ask the firewall; is iptables installed?")?;
        let policy = rules
            .lines()
            .find_map(|line| line.strip_prefix("-P FORWARD "));
        Ok(Self {
            forwarding: forwarding.trim().to_owned(),
            policy: policy.unwrap_or("ACCEPT").to_owned(),
            others_chains: rules.contains("DOCKER"),
            network: network()?,
        })
    }

    fn write(&self) -> String {
        let chains = if self.others_chains { OTHERS } else { "none" };
        let Self {
            forwarding,
            policy,
            network,
            ..
        } = self;
        format!("{forwarding} {policy} {chains} {network}\n")
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace().map(str::to_owned);
        Some(Self {
            forwarding: words.next()?,
            policy: words.next()?,
            others_chains: words.next()? == OTHERS,
            network: words.next()?,
        })
    }

    /// What was written down, if it is about the network that is there now.
    fn remembered(folder: &Path) -> Option<Self> {
        let text = fs::read_to_string(folder.join(REMEMBERED)).ok()?;
        let before = Self::parse(&text)?;
        (before.network == network().ok()?).then_some(before)
    }
}

/// This start of the machine, and this network of its perhaps many.
fn network() -> Result<String> {
    let start = fs::read_to_string("/proc/sys/kernel/random/boot_id").context("boot_id")?;
    let space = fs::read_link("/proc/self/ns/net").context("/proc/self/ns/net")?;
    Ok(format!("{}/{}", start.trim(), space.display()))
}

/// Writes down how it is before dockerd starts; not again after one that was
/// killed, whose changes are still there.
pub(super) fn remember(folder: &Path) -> Result<()> {
    if !is_changed(folder) {
        fs::write(folder.join(REMEMBERED), Before::now()?.write())?;
    }
    Ok(())
}

/// Whether there is something to restore.
pub(super) fn is_changed(folder: &Path) -> bool {
    Before::remembered(folder).is_some()
}

/// Makes it so again.
pub(super) fn restore(folder: &Path) -> Result<()> {
    let Some(before) = Before::remembered(folder) else {
        return Ok(());
    };
    if !before.others_chains {
        // All rules but docker's: it names each of its chains so.
        run(Command::new("sh").args(["-c", "iptables-save | grep -v DOCKER | iptables-restore"]))?;
    }
    run(Command::new("iptables").args(["--policy", "FORWARD", &before.policy]))?;
    fs::write(FORWARDING, before.forwarding).context(FORWARDING)?;
    fs::remove_file(folder.join(REMEMBERED))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(network: String) -> Before {
        Before {
            forwarding: "0".to_owned(),
            policy: "ACCEPT".to_owned(),
            others_chains: true,
            network,
        }
    }

    #[test]
    fn what_was_before_outlives_a_dockerd_that_is_killed_but_no_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(REMEMBERED);
        assert!(!is_changed(folder.path()));
        let here = before(network().unwrap());
        fs::write(&file, here.write()).unwrap();
        remember(folder.path()).unwrap();
        assert_eq!(Before::remembered(folder.path()), Some(here));
        fs::write(&file, before("another/net:[1]".to_owned()).write()).unwrap();
        assert!(!is_changed(folder.path()));
        restore(folder.path()).unwrap();
    }
}
