//! A network of its own for a process: a namespace with a cable to this one. Only root
//! can make one.

use std::fs::File;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::net::TcpListener;
use tokio::process::Command;

/// Gone when it is dropped.
pub struct Network {
    name: String,
    /// This side's address.
    pub here: Ipv4Addr,
    /// The process's.
    pub there: Ipv4Addr,
}

impl Network {
    /// Makes one. Its addresses are of the block that is set aside for benchmarks (RFC
    /// 2544), so that they are nobody's.
    pub async fn new() -> Result<Self> {
        let [a, b] = rand::random::<[u8; 2]>();
        let b = b & !3;
        let network = Self {
            name: format!("cv{a:02x}{b:02x}"),
            here: Ipv4Addr::new(198, 18, a, b | 1),
            there: Ipv4Addr::new(198, 18, a, b | 2),
        };
        let Self { name, here, there } = &network;
        std::fs::create_dir_all(network.folder())
            .context("a network namespace's files: only root can make them")?;
        for command in [
            format!("ip netns add {name}"),
            format!("ip link add {name} type veth peer name wire netns {name}"),
            format!("ip address add {here}/30 dev {name}"),
            format!("ip link set {name} up"),
            format!("ip -n {name} address add {there}/30 dev wire"),
            format!("ip -n {name} link set lo up"),
            format!("ip -n {name} link set wire up"),
        ] {
            run(&command).await?;
        }
        Ok(network)
    }

    /// What runs a program there: `ip` and its arguments.
    pub fn starter(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.name]
    }

    /// Listens on its loopback, from here.
    pub fn listen_there(&self) -> Result<TcpListener> {
        let file = PathBuf::from("/run/netns").join(&self.name);
        // Only the thread gets there, and ends there.
        let there = std::thread::spawn(move || -> Result<std::net::TcpListener> {
            let network = File::open(file)?;
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(network.as_fd(), kind)?;
            Ok(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?)
        });
        let listener = there.join().map_err(|_| anyhow!("the thread panicked"))??;
        listener.set_nonblocking(true)?;
        Ok(TcpListener::from_std(listener)?)
    }

    /// What names mean there, from the next look on.
    pub fn hosts(&self, lines: &str) -> Result<()> {
        // The same file: it is mounted.
        Ok(std::fs::write(self.folder().join("hosts"), lines)?)
    }

    /// Another address on this side in the place of the one that was.
    pub async fn move_here(&mut self) -> Result<()> {
        let [a, b, c, d] = self.here.octets();
        let name = self.name.clone();
        let (before, now) = (self.here, Ipv4Addr::new(a, b ^ 1, c, d));
        let there = Ipv4Addr::new(a, b ^ 1, c, self.there.octets()[3]);
        for command in [
            format!("ip address del {before}/30 dev {name}"),
            format!("ip address add {now}/30 dev {name}"),
            format!("ip -n {name} address add {there}/30 dev wire"),
        ] {
            run(&command).await?;
        }
        self.here = now;
        Ok(())
    }

    /// IPv6 on the cable, too, with addresses that are set aside for examples (RFC 3849):
    /// this side's and the process's.
    pub async fn add_ipv6(&self) -> Result<(Ipv6Addr, Ipv6Addr)> {
        let name = &self.name;
        let [_, _, a, b] = self.here.octets().map(u16::from);
        let address = |last| Ipv6Addr::new(0x2001, 0xdb8, a, b, 0, 0, 0, last);
        let (here, there) = (address(1), address(2));
        for command in [
            format!("ip -6 address add {here}/64 dev {name} nodad"),
            format!("ip -n {name} -6 address add {there}/64 dev wire nodad"),
        ] {
            run(&command).await?;
        }
        Ok((here, there))
    }

    /// All that is not on the cable is sent to this side, which has one more address there:
    /// of those for examples (RFC 5737).
    pub async fn route_all_here(&self) -> Result<Ipv4Addr> {
        let Self { name, here, .. } = self;
        let further = Ipv4Addr::new(198, 51, 100, rand::random());
        for command in [
            format!("ip address add {further}/32 dev {name}"),
            format!("ip -n {name} route add default via {here}"),
        ] {
            run(&command).await?;
        }
        Ok(further)
    }

    /// What leaves it goes no faster, as behind a router with a short queue.
    pub async fn cap(&self, rate: &str) -> Result<()> {
        let name = &self.name;
        run(&format!(
            "tc -n {name} qdisc add dev wire root tbf rate {rate} burst 64kb latency 10ms"
        ))
        .await
    }

    /// A rule of its firewall: `iptables`' arguments.
    pub async fn firewall(&self, rule: &str) -> Result<()> {
        run(&format!("ip netns exec {} iptables -w {rule}", self.name)).await
    }

    /// The same of IPv6: `ip6tables`' arguments.
    pub async fn firewall_ipv6(&self, rule: &str) -> Result<()> {
        run(&format!("ip netns exec {} ip6tables -w {rule}", self.name)).await
    }

    /// Its firewall lets all through again.
    pub async fn open_firewall(&self) -> Result<()> {
        self.firewall("-F").await
    }

    fn folder(&self) -> PathBuf {
        PathBuf::from("/etc/netns").join(&self.name)
    }
}

async fn run(command: &str) -> Result<()> {
    let mut words = command.split(' ');
    let program = words.next().context("no program")?;
    let output = Command::new(program).args(words).output().await;
    let output = output.with_context(|| format!("cannot run {command}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command}: {said}");
    Ok(())
}

impl Drop for Network {
    fn drop(&mut self) {
        // With it goes its end of the cable, and so the other one.
        let removed = std::process::Command::new("ip")
            .args(["netns", "del", &self.name])
            .status();
        if !removed.is_ok_and(|status| status.success()) {
            eprintln!("the network namespace {} is left", self.name);
        }
        drop(std::fs::remove_dir_all(self.folder()));
    }
}
