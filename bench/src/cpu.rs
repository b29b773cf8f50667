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
    }
}
