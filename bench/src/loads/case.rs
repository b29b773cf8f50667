//! A row: the direct connection, or a tunnel that runs.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;

use crate::cpu;
use crate::generator::Entry;
use crate::generator::closed_loop::{self, Caller, Looped, Times};
use crate::peers::{Role, Tunnel};
use crate::proxies::Proxy;

/// How the direct connection is called in tables.
pub const DIRECT: &str = "direct";
/// Of bytes.
const MEGA: f64 = 1e6;

pub struct Case<'a> {
    pub name: String,
    /// Why there is nothing to measure.
    pub failed: Option<String>,
    pub entry: Entry,
    tunnel: Option<Tunnel<'a>>,
    /// Behind the tunnel's client.
    proxy: Option<Proxy>,
    /// What lies on the way.
    _held: Option<Box<dyn Any>>,
}

/// CPU time of the processes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    server: Duration,
    client: Duration,
    /// Where there is one.
    proxy: Option<Duration>,
    /// Of this process: what calls, and what is called.
    ends: Duration,
    is_direct: bool,
}

impl<'a> Case<'a> {
    pub fn direct(entry: Entry) -> Self {
        Self {
            name: DIRECT.into(),
            failed: None,
            entry,
            tunnel: None,
            proxy: None,
            _held: None,
        }
    }

    pub fn tunnel(name: &str, tunnel: Tunnel<'a>) -> Result<Self> {
        let entry = tunnel.entry()?.clone();
        Ok(Self {
            name: name.into(),
            tunnel: Some(tunnel),
            ..Self::direct(entry)
        })
    }

    /// Without a tunnel that runs.
    pub fn named(name: &str, entry: Entry) -> Self {
        Self {
            name: name.into(),
            ..Self::direct(entry)
        }
    }

    pub fn failed(name: &str, reason: String) -> Self {
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self {
            failed: Some(reason),
            ..Self::named(name, Entry::plain(nowhere))
        }
    }

    /// Keeps what lies on its way.
    pub fn with(mut self, held: impl Any) -> Self {
        self._held = Some(Box::new(held));
        self
    }

    /// Keeps the proxy behind its client, and shows it in its name.
    pub fn before(mut self, proxy: Proxy, name: &str) -> Self {
        self.name = format!("{} + {name}", self.name);
        self.proxy = Some(proxy);
        self
    }

    /// Runs callers of it in a closed loop. Beside what they got, the CPU time of 1,000 of
    /// their requests, as [`Spent::since`] shares it out.
    pub(super) async fn closed_loop<C: Caller>(
        &self,
        callers: Vec<C>,
        times: Times,
    ) -> Result<(Looped, [f64; 5])> {
        let mut before = None;
        let looped = closed_loop::run(callers, times, || {
            before = Some(self.spent()?);
            Ok(())
        })
        .await?;
        let thousands = looped.latencies.count() as f64 / 1000.0;
        let cpu = self.spent()?.since(before.unwrap_or_default(), thousands);
        Ok((looped, cpu))
    }

    /// CPU time so far.
    pub fn spent(&self) -> Result<Spent> {
        let of = |role| {
            let part = self.tunnel.as_ref().and_then(|tunnel| tunnel.part(role));
            part.map_or(Ok(Duration::ZERO), |part| part.cpu())
        };
        Ok(Spent {
            server: of(Role::Server)?,
            client: of(Role::Client)?,
            proxy: self.proxy.as_ref().map(Proxy::cpu).transpose()?,
            ends: cpu::of_process(std::process::id())?,
            is_direct: self.tunnel.is_none(),
        })
    }

    /// Resident memory of server and client now, MB.
    pub fn memory(&self) -> Result<[f64; 2]> {
        let of = |role| -> Result<f64> {
            let part = self.tunnel.as_ref().and_then(|tunnel| tunnel.part(role));
            part.map_or(Ok(f64::NAN), |part| Ok(part.resident()? as f64 / MEGA))
        };
        Ok([of(Role::Server)?, of(Role::Client)?])
    }
}

impl Spent {
    /// Since an earlier moment, seconds for each of `units`: of the tunnel with what is
    /// behind its client, of its server, its client, what is behind that, and both ends.
    pub fn since(self, before: Self, units: f64) -> [f64; 5] {
        let seconds =
            |now: Duration, before: Duration| now.saturating_sub(before).as_secs_f64() / units;
        let ends = seconds(self.ends, before.ends);
        if self.is_direct {
            return [f64::NAN, f64::NAN, f64::NAN, f64::NAN, ends];
        }
        let server = seconds(self.server, before.server);
        let client = seconds(self.client, before.client);
        let Some(now) = self.proxy else {
            return [server + client, server, client, f64::NAN, ends];
        };
        let proxy = seconds(now, before.proxy.unwrap_or_default());
        [server + client + proxy, server, client, proxy, ends]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_shared_out() {
        let seconds = Duration::from_secs;
        let before = Spent::default();
        let after = Spent {
            server: seconds(2),
            client: seconds(1),
            proxy: Some(seconds(3)),
            ends: seconds(8),
            is_direct: false,
        };
        assert_eq!(after.since(before, 2.0), [3.0, 1.0, 0.5, 1.5, 4.0]);
        let direct = Spent {
            is_direct: true,
            ..after
        };
        let [both, .., ends] = direct.since(before, 2.0);
        assert!(both.is_nan());
        assert_eq!(ends, 4.0);
    }
}
