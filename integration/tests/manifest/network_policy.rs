//! The network policy, evaluated as a network plugin would, against what the pod
//! has and needs. Nothing here enforces it.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::network_policy::{Peer, allows, selects};
use serde_json::{Value, json};

use crate::objects::{Objects, containers, only};
use crate::render::{Tools, manifests};

/// A peer that is no pod of the cluster's.
fn address(text: &str) -> Result<Peer> {
    Ok(Peer::Address(text.parse()?))
}

/// A pod, by the labels of its namespace and its own.
fn pod(namespace: &Value, labels: Value) -> Result<Peer> {
    Ok(Peer::Pod {
        address: "10.244.0.7".parse()?,
        namespace: namespace.clone(),
        labels,
    })
}

pub(crate) async fn the_policy_lets_pass_what_the_pod_needs(
    environment: Arc<Environment>,
) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    let objects = tools.base_with(&["network-policy"])?;
    let policy = &only(&objects, "NetworkPolicy")?["spec"];
    selects_the_pod(&objects, policy)?;
    ingress(&objects, policy)?;
    egress(policy)?;
    addresses_are_single(policy)?;
    the_chart_finds_the_port(&tools)
}

fn selects_the_pod(objects: &Objects, policy: &Value) -> Result<()> {
    let template = &only(objects, "Deployment")?["spec"]["template"];
    let labels = &template["metadata"]["labels"];
    ensure!(
        selects(&policy["podSelector"], labels),
        "the pod is not meant"
    );
    ensure!(
        policy["policyTypes"] == json!(["Ingress", "Egress"]),
        "{policy}"
    );
    Ok(())
}

/// In: the ports that the containers declare, which are those of the metrics.
fn ingress(objects: &Objects, policy: &Value) -> Result<()> {
    let rules = &policy["ingress"];
    let peer = address("203.0.113.1")?;
    let mut declared = 0;
    for container in containers(objects)? {
        for port in container["ports"].as_array().into_iter().flatten() {
            let port = port["containerPort"].as_u64().context("no number")?;
            ensure!(allows(rules, "from", &peer, "TCP", port)?, "{port} is shut");
            declared += 1;
        }
    }
    ensure!(declared == 2, "{declared} ports are declared");
    for port in [8001, 443, 22] {
        ensure!(
            !allows(rules, "from", &peer, "TCP", port)?,
            "{port} is open"
        );
    }
    Ok(())
}

fn egress(policy: &Value) -> Result<()> {
    let system = json!({ "kubernetes.io/metadata.name": "kube-system" });
    let dns = || pod(&system, json!({ "k8s-app": "kube-dns" }));
    let api_server = || address("192.0.2.10");
    let tunnel_server = || address("198.51.100.10");
    let node_local_dns = || address("169.254.20.10");
    for (peer, protocol, port, passes) in [
        (dns(), "UDP", 53, true),
        (dns(), "TCP", 53, true),
        (dns(), "TCP", 9153, false),
        (node_local_dns(), "UDP", 53, true),
        (api_server(), "TCP", 443, true),
        (api_server(), "TCP", 6443, true),
        (api_server(), "TCP", 22, false),
        (tunnel_server(), "TCP", 443, true),
        (tunnel_server(), "UDP", 443, false),
        // A cloud's metadata, the world, and other pods.
        (address("169.254.169.254"), "TCP", 80, false),
        (address("8.8.8.8"), "UDP", 53, false),
        (address("8.8.8.8"), "TCP", 443, false),
        (pod(&system, json!({ "k8s-app": "x" })), "UDP", 53, false),
        (
            pod(&json!({}), json!({ "k8s-app": "kube-dns" })),
            "UDP",
            53,
            false,
        ),
    ] {
        let allowed = allows(&policy["egress"], "to", &peer?, protocol, port)?;
        ensure!(
            allowed == passes,
            "{protocol} {port}: {allowed}, not {passes}"
        );
    }
    Ok(())
}

/// A wider block would have to say why.
fn addresses_are_single(policy: &Value) -> Result<()> {
    let rules = policy["egress"].as_array().into_iter().flatten();
    for peer in rules.flat_map(|rule| rule["to"].as_array().into_iter().flatten()) {
        if let Some(cidr) = peer["ipBlock"]["cidr"].as_str() {
            ensure!(cidr.ends_with("/32") || cidr.ends_with("/128"), "{cidr}");
        }
    }
    Ok(())
}

/// The port at tunnel-server, or at the HTTP proxy, is read from its URL.
fn the_chart_finds_the_port(tools: &Tools) -> Result<()> {
    let folder = tempfile::tempdir()?;
    for (values, port) in [
        ("server: https://a.example", 443),
        ("server: https://a.example:8443/", 8443),
        ("server: https://[2001:db8::1]", 443),
        ("httpProxy: {url: 'http://proxy.example:3128'}", 3128),
        ("httpProxy: {url: 'http://proxy.example'}", 80),
        ("networkPolicy: {tunnelServer: {port: 7}}", 7),
    ] {
        let file = folder.path().join("values.yaml");
        std::fs::write(&file, values)?;
        let of = |path: &str| manifests("connector").join(path);
        let files: [PathBuf; 3] = [
            of("base/values.yaml"),
            of("components/network-policy/values.yaml"),
            file,
        ];
        let objects = tools.chart(&files)?;
        let rules = &only(&objects, "NetworkPolicy")?["spec"]["egress"];
        let server = address("198.51.100.10")?;
        ensure!(
            allows(rules, "to", &server, "TCP", port)?,
            "{values}: {rules}"
        );
        ensure!(!allows(rules, "to", &server, "TCP", port + 1)?, "{values}");
    }
    Ok(())
}
