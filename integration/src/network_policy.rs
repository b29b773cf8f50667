//! A NetworkPolicy, evaluated as a network plugin would.

use std::net::IpAddr;

use anyhow::{Context, Result};
use serde_json::Value;

/// Who is at the other end.
#[derive(Clone, Debug)]
pub enum Peer {
    Address(IpAddr),
    /// A pod, by the labels of its namespace and its own. Its address is one as
    /// well.
    Pod {
        address: IpAddr,
        namespace: Value,
        labels: Value,
    },
}

/// Whether one of the rules lets a peer pass, which rules name in `peers`: `from`
/// or `to`. No list of peers means all.
pub fn allows(rules: &Value, peers: &str, peer: &Peer, protocol: &str, port: u64) -> Result<bool> {
    for rule in rules.as_array().context("no rules")? {
        let ports = rule["ports"].as_array().context("a rule for all ports")?;
        let through = ports
            .iter()
            .any(|it| it["protocol"] == protocol && it["port"] == port);
        let known = match rule[peers].as_array() {
            None => true,
            Some(list) => list
                .iter()
                .map(|it| is(it, peer))
                .collect::<Result<Vec<_>>>()?
                .contains(&true),
        };
        if through && known {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Blocks are of single addresses: none of ours is wider.
fn is(described: &Value, peer: &Peer) -> Result<bool> {
    let (Peer::Address(address) | Peer::Pod { address, .. }) = peer;
    if let Some(cidr) = described["ipBlock"]["cidr"].as_str() {
        let (one, _) = cidr.split_once('/').context("no prefix length")?;
        return Ok(one.parse::<IpAddr>()? == *address);
    }
    Ok(match peer {
        Peer::Address(_) => false,
        Peer::Pod {
            namespace, labels, ..
        } => {
            described["podSelector"].is_object()
                && selects(&described["namespaceSelector"], namespace)
                && selects(&described["podSelector"], labels)
        }
    })
}

/// Whether a selector finds what has these labels.
pub fn selects(selector: &Value, labels: &Value) -> bool {
    let wanted = selector["matchLabels"].as_object();
    wanted
        .into_iter()
        .flatten()
        .all(|(key, value)| labels[key] == *value)
}
