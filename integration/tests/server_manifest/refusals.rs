//! Values that the chart refuses, and what it says.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;
use integration::rendered::Tools;

use crate::renderings::RELEASE;

const BASE: &str = "baseDomain: clusters.example.com\n";

fn complaint(tools: &Tools, values: &str) -> Result<String> {
    let output = tools.template_with(RELEASE, values)?;
    ensure!(!output.status.success(), "taken: {values}");
    Ok(String::from_utf8(output.stderr)?)
}

pub(crate) async fn bad_values_are_refused_in_words(environment: Arc<Environment>) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    for (values, expected) in [
        ("{}", "missing property 'baseDomain'"),
        ("baseDomain: https://a.example", "at '/baseDomain'"),
        (
            "baseDomian: a.example",
            "additional properties 'baseDomian' not allowed",
        ),
    ] {
        let said = complaint(&tools, values)?;
        ensure!(said.contains(expected), "{values}: {said}");
    }
    for (values, expected) in [
        ("replicas: 2", "replicas: tunnel-server runs as one replica"),
        (
            "tls: {key: x}",
            "at '/tls': additional properties 'key' not allowed",
        ),
        ("clusters: [{name: Prod}]", "at '/clusters/0/name'"),
        (
            "clusters: [{name: a, connectorTokens: [{hash: x, expires: soon}]}]",
            "at '/clusters/0/connectorTokens/0/expires'",
        ),
        (
            "ingress: {enabled: true}",
            "ingress.hosts: list the base domain",
        ),
        ("gateway: {enabled: true}", "gateway: either give className"),
        (
            "existingConfigMap: mine\ncallers: [{name: ci}]",
            "existingConfigMap: clusters, callers and extraHosts then belong",
        ),
        ("service: {type: ExternalName}", "at '/service/type'"),
        (
            "image: {repository: a, digest: latest}",
            "at '/image/digest'",
        ),
    ] {
        let values = format!("{BASE}{values}\n");
        let said = complaint(&tools, &values)?;
        ensure!(said.contains(expected), "{values}: {said}");
    }
    Ok(())
}

pub(crate) async fn a_token_in_place_of_a_hash_is_not_repeated(
    environment: Arc<Environment>,
) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    for (values, path) in [
        (
            "clusters: [{name: a, connectorTokens: [{hash: culvert_connector_secret}]}]",
            "clusters[0].connectorTokens[0].hash: not a token's hash",
        ),
        (
            "callers: [{name: a, accessTokens: [{hash: culvert_access_secret}]}]",
            "callers[0].accessTokens[0].hash: not a token's hash",
        ),
    ] {
        let said = complaint(&tools, &format!("{BASE}{values}\n"))?;
        ensure!(said.contains(path), "{said}");
        ensure!(!said.contains("secret"), "it repeats the token");
    }
    Ok(())
}
