//! The network policy with this cluster's addresses, held against the pod's real
//! connections. Whether anything enforces it depends on the cluster.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::network_policy::{Peer, allows, selects};
use integration::wait::until;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::connector::{Connector, DEPLOYMENT};
use crate::images::SHELL;
use crate::server;
use crate::stage::{SOON, Set, Stage};

pub(crate) async fn the_policy_lets_the_pods_connections_pass(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let services = Services::of(set).await?;
    let api_servers = services.behind(services.address("default", "kubernetes")?, 443)?;
    let server = server::address_in_the_network(set)?;
    let connector = Connector::apply_changed(set, "policy", &["network-policy"], |copy| {
        write_addresses(copy, &api_servers, server)
    })
    .await?;
    connector.ready(set).await?;

    // A call that stays open, so that all of its way is there to be seen.
    let mut watch = connector
        .caller(set)?
        .command(&["get", "pods", "--all-namespaces", "--watch"])
        .stdout(Stdio::piped())
        .spawn()?;
    let mut seen = BufReader::new(watch.stdout.take().context("stdout")?).lines();
    ensure!(seen.next_line().await?.is_some(), "the watch shows nothing");
    let sight = look_into(&connector, set).await?;
    watch.kill().await?;

    let policy = policy(&connector, set).await?;
    let outgoing = sight.outgoing(&services)?;
    println!("seen: {outgoing:?}; incoming: {:?}", sight.incoming);
    for needed in api_servers.iter().chain([&server]) {
        let found = outgoing.iter().any(|it| it.end == *needed);
        ensure!(found, "no connection to {needed} was seen");
    }
    let egress = &policy["egress"];
    for it in &outgoing {
        ensure!(it.passes(egress, &services)?, "{it:?} is shut out");
    }
    // Each rule is for something that was seen.
    for index in 0..egress.as_array().context("no rules")?.len() {
        let mut fewer = egress.as_array().context("no rules")?.clone();
        fewer.remove(index);
        let fewer = Value::Array(fewer);
        let passing = outgoing.iter().map(|it| it.passes(&fewer, &services));
        let passing = passing.collect::<Result<Vec<_>>>()?;
        ensure!(passing.contains(&false), "rule {index} is for nobody");
    }
    for (peer, port) in &sight.incoming {
        let peer = services.peer(*peer);
        let allowed = allows(&policy["ingress"], "from", &peer, "TCP", (*port).into())?;
        ensure!(allowed, "{peer:?} is shut out of {port}");
    }
    connector.remove(set).await
}

/// As the component's first lines tell the user to.
fn write_addresses(copy: &Path, api_servers: &[SocketAddr], server: SocketAddr) -> Result<()> {
    let file = copy.join("components/network-policy/network-policy.yaml");
    let text = std::fs::read_to_string(&file)?;
    let block =
        |address: &SocketAddr| format!("        - ipBlock:\n            cidr: {}\n", cidr(address));
    let api_servers: String = api_servers.iter().map(block).collect();
    let changed = text
        .replace(
            "        - ipBlock:\n            cidr: 192.0.2.10/32\n",
            &api_servers,
        )
        .replace(
            "cidr: 198.51.100.10/32\n      ports:\n        - protocol: TCP\n          port: 443\n",
            &format!(
                "cidr: {}\n      ports:\n        - protocol: TCP\n          port: {}\n",
                cidr(&server),
                server.port()
            ),
        );
    ensure!(
        !changed.contains("192.0.2.10") && !changed.contains("198.51.100.10"),
        "the file has changed: {text}"
    );
    Ok(std::fs::write(file, changed)?)
}

fn cidr(address: &SocketAddr) -> String {
    let bits = if address.is_ipv4() { 32 } else { 128 };
    format!("{}/{bits}", address.ip())
}

/// As the cluster has it.
async fn policy(connector: &Connector, set: &Set) -> Result<Value> {
    let namespace = format!("--namespace={}", connector.namespace);
    let arguments = [
        "get",
        "networkpolicy",
        DEPLOYMENT,
        &namespace,
        "--output=json",
    ];
    let mut policy: Value = serde_json::from_str(&set.admin(&arguments).await?)?;
    let pods = connector.pods(set).await?;
    let labels = &pods[0]["metadata"]["labels"];
    ensure!(selects(&policy["spec"]["podSelector"], labels), "{labels}");
    Ok(policy["spec"].take())
}

/// A destination of the pod's.
#[derive(Debug)]
struct Destination {
    protocol: &'static str,
    end: SocketAddr,
}

impl Destination {
    fn passes(&self, egress: &Value, services: &Services) -> Result<bool> {
        let peer = services.peer(self.end.ip());
        allows(egress, "to", &peer, self.protocol, self.end.port().into())
    }
}

/// What there is in the pod's network namespace.
struct Sight {
    nameservers: Vec<IpAddr>,
    connections: BTreeSet<SocketAddr>,
    /// Peers, and the pod's ports.
    incoming: BTreeSet<(IpAddr, u16)>,
}

impl Sight {
    fn read(text: &str) -> Result<Self> {
        let nameservers = text
            .lines()
            .filter_map(|line| line.strip_prefix("nameserver "))
            .map(|address| Ok(address.trim().parse()?))
            .collect::<Result<_>>()?;
        let sockets = text
            .lines()
            .filter_map(socket)
            .collect::<Result<Vec<_>>>()?;
        let listening: BTreeSet<u16> = sockets
            .iter()
            .filter(|(_, _, state)| state == LISTENS)
            .map(|(own, _, _)| own.port())
            .collect();
        let mut sight = Self {
            nameservers,
            connections: BTreeSet::new(),
            incoming: BTreeSet::new(),
        };
        for (own, peer, state) in sockets {
            if state == LISTENS || peer.ip().is_loopback() {
                continue;
            }
            if listening.contains(&own.port()) {
                sight.incoming.insert((peer.ip(), own.port()));
            } else {
                sight.connections.insert(peer);
            }
        }
        Ok(sight)
    }

    /// Where packets go once the Services' addresses are translated, which is what
    /// policies see.
    fn outgoing(&self, services: &Services) -> Result<Vec<Destination>> {
        let mut outgoing = Vec::new();
        let mut add = |protocol, to: SocketAddr| {
            for end in services.behind(to.ip(), to.port())? {
                outgoing.push(Destination { protocol, end });
            }
            anyhow::Ok(())
        };
        for connection in &self.connections {
            add("TCP", *connection)?;
        }
        // Too short to be seen; TCP is for long answers.
        for nameserver in &self.nameservers {
            add("UDP", SocketAddr::new(*nameserver, 53))?;
            add("TCP", SocketAddr::new(*nameserver, 53))?;
        }
        ensure!(!self.nameservers.is_empty(), "the pod knows no nameserver");
        Ok(outgoing)
    }
}

const LISTENS: &str = "0A";

/// Own address, peer and state, of a line of `/proc/net/tcp` or `tcp6`.
fn socket(line: &str) -> Option<Result<(SocketAddr, SocketAddr, String)>> {
    let words: Vec<_> = line.split_whitespace().collect();
    let is_entry = words.first()?.strip_suffix(':')?.parse::<u32>().is_ok();
    let read = || Ok((hex(words[1])?, hex(words[2])?, words[3].to_owned()));
    (is_entry && words.len() > 3).then(read)
}

/// The kernel writes addresses as words in the machine's own order.
fn hex(text: &str) -> Result<SocketAddr> {
    let (address, port) = text.split_once(':').context("no port")?;
    let mut bytes = Vec::new();
    for word in address.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word)?, 16)?;
        bytes.extend(word.to_ne_bytes());
    }
    let address = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(four) => Ipv4Addr::from(four).into(),
        Err(_) => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.as_slice())?)),
    };
    Ok(SocketAddr::new(
        address.to_canonical(),
        u16::from_str_radix(port, 16)?,
    ))
}

/// By a container that is added to the pod.
async fn look_into(connector: &Connector, set: &Set) -> Result<Sight> {
    let pod = connector.pod(set).await?;
    let namespace = format!("--namespace={}", connector.namespace);
    let image = format!("--image={SHELL}");
    let script = "cat /etc/resolv.conf /proc/net/tcp; cat /proc/net/tcp6 || true";
    let flags = ["--image-pull-policy=Never", "--profile=restricted"];
    let command = ["--container=looks", "--", "sh", "-c", script];
    let debug = ["debug", &namespace, &pod, &image];
    set.admin(&[debug.as_slice(), &flags, &command].concat())
        .await?;
    until("the end of the look", SOON, || async {
        let pods = connector.pods(set).await?;
        let looks = &pods[0]["status"]["ephemeralContainerStatuses"][0]["state"];
        Ok((!looks["terminated"].is_null()).then_some(()))
    })
    .await?;
    let log = ["logs", &pod, &namespace, "--container=looks"];
    Sight::read(&set.admin(&log).await?)
}

/// What the cluster knows of addresses.
struct Services {
    services: Vec<Value>,
    slices: Vec<Value>,
    pods: Vec<Value>,
    namespaces: Vec<Value>,
}

impl Services {
    async fn of(set: &Set) -> Result<Self> {
        let list = async |kind: &str| -> Result<Vec<Value>> {
            let arguments = ["get", kind, "--all-namespaces", "--output=json"];
            let mut list: Value = serde_json::from_str(&set.admin(&arguments).await?)?;
            Ok(serde_json::from_value(list["items"].take())?)
        };
        Ok(Self {
            services: list("services").await?,
            slices: list("endpointslices").await?,
            pods: list("pods").await?,
            namespaces: list("namespaces").await?,
        })
    }

    fn address(&self, namespace: &str, name: &str) -> Result<IpAddr> {
        let metadata = |it: &&Value| {
            it["metadata"]["namespace"] == namespace && it["metadata"]["name"] == name
        };
        let service = self.services.iter().find(metadata).context("no Service")?;
        let address = service["spec"]["clusterIP"].as_str();
        Ok(address.context("no address")?.parse()?)
    }

    /// The endpoints of a Service's port; of all else, itself.
    fn behind(&self, address: IpAddr, port: u16) -> Result<Vec<SocketAddr>> {
        let text = address.to_string();
        let itself = vec![SocketAddr::new(address, port)];
        let is = |it: &&Value| it["spec"]["clusterIP"] == text;
        let Some(service) = self.services.iter().find(is) else {
            return Ok(itself);
        };
        let ports = service["spec"]["ports"].as_array().context("no ports")?;
        let of_port = ports.iter().find(|it| it["port"] == port);
        let name = &of_port.context("no such port of the Service")?["name"];
        let mut ends = Vec::new();
        for slice in self.slices.iter().filter(|it| {
            let metadata = &it["metadata"];
            metadata["namespace"] == service["metadata"]["namespace"]
                && metadata["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
        }) {
            let ports = slice["ports"].as_array().context("no ports")?;
            let target = ports.iter().find(|it| it["name"] == *name);
            let port = target.context("no such port of the endpoints")?["port"].as_u64();
            let port = u16::try_from(port.context("no number")?)?;
            for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                let address = endpoint["addresses"][0].as_str().context("no address")?;
                ends.push(SocketAddr::new(address.parse()?, port));
            }
        }
        ensure!(!ends.is_empty(), "nothing is behind {text}");
        Ok(ends)
    }

    fn peer(&self, address: IpAddr) -> Peer {
        let text = address.to_string();
        let is =
            |it: &&Value| it["status"]["podIP"] == text && it["spec"]["hostNetwork"] != json!(true);
        let Some(pod) = self.pods.iter().find(is) else {
            return Peer::Address(address);
        };
        let its = |it: &&Value| it["metadata"]["name"] == pod["metadata"]["namespace"];
        let namespace = self.namespaces.iter().find(its);
        Peer::Pod {
            address,
            namespace: namespace.map_or(Value::Null, |it| it["metadata"]["labels"].clone()),
            labels: pod["metadata"]["labels"].clone(),
        }
    }
}
