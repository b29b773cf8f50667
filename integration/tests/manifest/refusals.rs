//! Values that the chart refuses, and in which words.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;

use crate::render::Tools;

const SERVER: &str = "server: https://clusters.example.com";

/// What helm says against values, or nothing.
fn said(tools: &Tools, values: &str) -> Result<String> {
    let file = tempfile::NamedTempFile::with_suffix(".yaml")?;
    std::fs::write(file.path(), values)?;
    let output = tools.template(&[file.path().to_owned()])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success() == said.is_empty(), "{said}");
    Ok(said)
}

pub(crate) async fn bad_values_are_refused_in_words(environment: Arc<Environment>) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    let good = said(&tools, SERVER)?;
    ensure!(good.is_empty(), "{good}");
    ensure!(said(&tools, "")?.contains("missing property 'server'"));
    let long = format!("clusterName: {}", "a".repeat(64));
    for (values, words) in [
        (
            "server: http://a.example",
            "at '/server': 'http://a.example' does not match pattern '^https://",
        ),
        ("server: https://a.example/x", "at '/server'"),
        ("serverr: x", "additional properties 'serverr' not allowed"),
        (
            "images: {proxySidecar: {tagg: x}}",
            "at '/images/proxySidecar': additional properties 'tagg'",
        ),
        (
            "clusterName: Prod_1",
            "at '/clusterName': 'Prod_1' is not valid hostname: invalid character '_'",
        ),
        (
            "clusterName: -a",
            "at '/clusterName': '-a' is not valid hostname: label starts with hyphen",
        ),
        (
            "clusterName: PROD",
            "at '/clusterName': 'PROD' does not match pattern '^[-a-z0-9]*$'",
        ),
        (
            "clusterName: a.b",
            "at '/clusterName': 'a.b' does not match pattern",
        ),
        (&long, "1 to 63 characters"),
        (
            "role: admin",
            "value must be one of 'view', 'edit', 'impersonate', 'cluster-admin', 'none'",
        ),
        (
            "role: impersonate",
            "list in impersonate.users whom callers may be",
        ),
        (
            "impersonate: {users: [a]}",
            "go with role impersonate; role is view",
        ),
        (
            "{role: cluster-admin, namespaces: [a]}",
            "take view or edit",
        ),
        ("namespaces: [Team]", "at '/namespaces/0'"),
        ("replicas: two", "at '/replicas': got string, want integer"),
        (
            "networkPolicy: {enabled: true}",
            "kubectl get endpointslices --namespace default",
        ),
        (
            "networkPolicy: {apiServer: {cidrs: [10.0.0.1]}}",
            "at '/networkPolicy/apiServer/cidrs/0'",
        ),
        (
            "httpProxy: {url: 'proxy:3128'}",
            "httpProxy.url: give scheme, host and port",
        ),
        (
            "httpProxy: {url: 'http://a', existingSecret: b}",
            "either url or existingSecret",
        ),
        (
            "httpProxy: {ca: {existingConfigMap: a}}",
            "httpProxy.ca: there is no proxy; give httpProxy.url or httpProxy.existingSecret",
        ),
        (
            "httpProxy: {url: 'http://a', ca: {existingConfigMap: b}}",
            "give httpProxy.url with https://",
        ),
        (
            "tlsServerName: https://a.example",
            "tlsServerName: give a DNS name or an IP address",
        ),
        (
            "pinSha256: [sha256//x]",
            "pinSha256: \"sha256//x\" is no pin; give the SHA-256 of a public key in base64",
        ),
        (
            "priorityClass: {create: true, name: a}",
            "either create one, or name one",
        ),
    ] {
        // A later key wins over an earlier one in helm's eyes; flow maps stand alone.
        let values = match values.strip_prefix('{') {
            Some(rest) => format!("{{{SERVER}, {rest}"),
            None if values.starts_with("server:") => values.to_owned(),
            None => format!("{SERVER}\n{values}"),
        };
        let said = said(&tools, &values)?;
        ensure!(said.contains(words), "{values}: {said:?}");
    }
    Ok(())
}

/// What is in values ends up in the release's Secret, in shells and in Git.
pub(crate) async fn no_credential_fits_into_values(environment: Arc<Environment>) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    for values in [
        "token: geheim",
        "connectorToken: {token: geheim}",
        "connectorToken: {value: geheim}",
        "clientCertificate: {key: geheim}",
        "httpProxy: {url: 'http://user:geheim@proxy.example:3128'}",
    ] {
        let said = said(&tools, &format!("{SERVER}\n{values}"))?;
        ensure!(!said.is_empty(), "{values} is taken");
        ensure!(!said.contains("geheim"), "{said}");
    }
    Ok(())
}
