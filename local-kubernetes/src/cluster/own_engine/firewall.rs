//! What dockerd changes of this machine's network and does not take back: its
//! chains, the policy for forwarded packets, and whether packets are forwarded.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{output, run};

const FORWARDING: &str = "/proc/sys/net/ipv4/ip_forward";
const REMEMBERED: &str = "network-before";

/// Writes down how it is before dockerd starts.
pub(super) fn remember(folder: &Path) -> Result<()> {
    let forwarding = fs::read_to_string(FORWARDING).context(FORWARDING)?;
    let policy = output(Command::new("iptables").args(["--list-rules", "FORWARD"]))
        .context("cannot ask the firewall; is iptables installed?")?;
    let policy = policy.split_whitespace().nth(2).unwrap_or("ACCEPT");
    fs::write(
        folder.join(REMEMBERED),
        format!("{} {policy}\n", forwarding.trim()),
    )?;
    Ok(())
}

/// Makes it so again.
pub(super) fn restore(folder: &Path) -> Result<()> {
    let file = folder.join(REMEMBERED);
    let Ok(text) = fs::read_to_string(&file) else {
        return Ok(());
    };
    let (forwarding, policy) = text
        .trim()
        .split_once(' ')
        .with_context(|| format!("{} is not as it was written", file.display()))?;
    // All rules but docker's: it names each of its chains so.
    run(Command::new("sh").args(["-c", "iptables-save | grep -v DOCKER | iptables-restore"]))?;
    run(Command::new("iptables").args(["--policy", "FORWARD", policy]))?;
    fs::write(FORWARDING, forwarding).context(FORWARDING)?;
    fs::remove_file(file)?;
    Ok(())
}
