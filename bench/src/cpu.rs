//! What the kernel counted for a process or a thread.

use std::time::Duration;

use anyhow::{Context, Result};

/// Of `utime` and `stime`: 100 a second on every Linux (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

/// User and system time of a process, all threads.
pub fn of_process(id: u32) -> Result<Duration> {
    read(&format!("/proc/{id}/stat"))
}

/// User and system time of a thread of this process.
pub fn of_thread(id: u32) -> Result<Duration> {
    read(&format!("/proc/self/task/{id}/stat"))
}

/// The calling thread's id.
pub fn this_thread() -> Result<u32> {
    let link = std::fs::read_link("/proc/thread-self")?;
    let id = link
        .file_name()
        .and_then(|name| name.to_str()?.parse().ok());
    id.context("/proc/thread-self is no thread")
}

/// Resident memory of a process now, bytes.
pub fn resident(id: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status"))?;
    let kib = status.lines().find_map(|line| {
        line.strip_prefix("VmRSS:")?
            .trim()
            .trim_end_matches(" kB")
            .parse::<u64>()
            .ok()
    });
    Ok(kib.context("no VmRSS")? * 1024)
}

/// User and system time of a process and of all that it has started and that run.
pub fn of_family(id: u32) -> Result<Duration> {
    family(id)?.into_iter().map(of_process).sum()
}

/// Resident memory of the same, bytes.
pub fn resident_of_family(id: u32) -> Result<u64> {
    family(id)?.into_iter().map(resident).sum()
}

/// The process and its descendants.
fn family(id: u32) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(child) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // One that has just ended has none.
        if let Ok(stat) = std::fs::read_to_string(format!("/proc/{child}/stat"))
            && let Some(parent) = parent(&stat)
        {
            parents.push((child, parent));
        }
    }
    let mut family = vec![id];
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        let children = parents.iter().filter(|(_, of)| *of == parent);
        family.extend(children.map(|(child, _)| *child));
        at += 1;
    }
    Ok(family)
}

fn parent(stat: &str) -> Option<u32> {
    let (_, fields) = stat.rsplit_once(") ")?;
    fields.split(' ').nth(4 - 3)?.parse().ok()
}

fn read(path: &str) -> Result<Duration> {
    let stat = std::fs::read_to_string(path)?;
    ticks(&stat)
        .map(|ticks| TICK * ticks)
        .with_context(|| format!("cannot read {path}"))
}

fn ticks(stat: &str) -> Option<u32> {
    // The name, in parentheses, may hold anything; the 3rd field follows it.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(14 - 3);
    let user: u32 = times.next()?.parse().ok()?;
    let system: u32 = times.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 125 0 0 0 11 22 0 0 20 0";
        assert_eq!(super::ticks(stat), Some(33));
        assert_eq!(super::parent(stat), Some(1));
    }

    #[test]
    fn a_family_holds_children() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let family = super::family(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(family.contains(&child.id()));
        assert_eq!(family.first(), Some(&std::process::id()));
    }
}
