//! TCP's own look whether the other side is there: callers', the upstream's, and the
//! upstream's behind a switch, which `--keepalive` sets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;

use crate::proxies::{Proxies, Side};

const BOTH: [Side; 2] = [Side::Kubectl, Side::Ours];
const GET: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n";
const ASKS: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
                    Upgrade: websocket\r\n\r\n";
/// The kernel counts hundredths of a second, whatever its own clock's.
const TICK: Duration = Duration::from_millis(10);

pub(crate) async fn keepalives(_: Arc<Environment>) -> Result<()> {
    for (flag, of_upgrades) in [
        ("--keepalive=0s", Some(15)),
        ("--keepalive=7s", Some(7)),
        ("--keepalive=-1s", None),
    ] {
        let proxies = Proxies::start(&[flag]).await?;
        for (request, of_upstream) in [(GET, Some(30)), (ASKS, of_upgrades)] {
            for side in BOTH {
                let mut caller = proxies.caller(side).await?;
                caller.send(request).await?;
                let (upstream, _) = proxies.upstream.request().await?;
                let stream = upstream.into_inner();
                let theirs = probed(stream.peer_addr()?)?;
                must_be(theirs, of_upstream).with_context(|| format!("{side:?} {request}"))?;
                let stream = caller.into_inner();
                let callers = probed_from(stream.peer_addr()?, stream.local_addr()?)?;
                must_be(callers, Some(15)).with_context(|| format!("{side:?} {request}"))?;
            }
        }
    }
    Ok(())
}

/// Seconds until the next look; some of them have gone by.
fn must_be(found: Option<Duration>, expected: Option<u64>) -> Result<()> {
    let expected = expected.map(Duration::from_secs);
    let same = match (found, expected) {
        (Some(found), Some(expected)) => {
            found <= expected && found + Duration::from_secs(5) > expected
        }
        (found, expected) => found == expected,
    };
    ensure!(same, "{found:?}, not {expected:?}");
    Ok(())
}

/// The time until a socket's keepalive, by its own address.
fn probed(local: SocketAddr) -> Result<Option<Duration>> {
    timer(|one, _| one == local)
}

fn probed_from(local: SocketAddr, remote: SocketAddr) -> Result<Option<Duration>> {
    timer(|one, other| one == local && other == remote)
}

fn timer(is: impl Fn(SocketAddr, SocketAddr) -> bool) -> Result<Option<Duration>> {
    let table = std::fs::read_to_string("/proc/net/tcp")?;
    for line in table.lines().skip(1) {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, local, remote, state, _, timer, ..] = words.as_slice() else {
            continue;
        };
        // Connections that are open.
        if *state == "01" && is(address(local)?, address(remote)?) {
            let (kind, left) = timer.split_once(':').context("no timer")?;
            let left = u32::from_str_radix(left, 16)?;
            // 1 is a retransmission's, which hides it; nothing is lost here.
            return Ok((kind == "02").then_some(TICK * left));
        }
    }
    anyhow::bail!("no such socket")
}

/// As the kernel writes it: the address' four bytes as a number of the machine's.
fn address(text: &str) -> Result<SocketAddr> {
    let (ip, port) = text.split_once(':').context("no port")?;
    let ip = u32::from_str_radix(ip, 16)?.to_ne_bytes();
    Ok((ip, u16::from_str_radix(port, 16)?).into())
}
