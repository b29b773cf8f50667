//! The chart's values that no component has, and what its files say of values.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use serde_json::{Value, json};

use crate::flags::the_binary_takes_the_flags_of;
use crate::kubectl::apply;
use crate::objects::{Objects, container, only};
use crate::render::{Tools, manifests};

const VALUES: &str = "
server: https://clusters.example.com
fullnameOverride: other
role: none
httpProxy: {existingSecret: http-proxy, ca: {existingConfigMap: proxys-ca, key: root.pem}}
tlsServerName: tunnel.example.org
pinSha256:
  - sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=
  - LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=
images:
  proxySidecar: {tag: '7'}
  tunnelClient: {digest: 'sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef'}
imagePullPolicy: Always
imagePullSecrets: [registry]
resources: {tunnelClient: {limits: {memory: 1Gi}}}
podSecurityContext: {runAsUser: null, runAsGroup: null, fsGroup: null}
podAnnotations: {a: b}
podLabels: {c: d}
nodeSelector: {disk: ssd}
tolerations: [{operator: Exists}]
affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}
hostAliases: [{ip: 192.0.2.1, hostnames: [clusters.example.com]}]
priorityClass: {name: system-cluster-critical}
";

/// Both of them, as tunnel-client takes them.
const PINS: &str = "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=,\
    LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=";

pub(crate) async fn values_of_no_component_reach_the_pod(
    environment: Arc<Environment>,
) -> Result<()> {
    let tools = Tools::new(&environment).await?;
    let file = tempfile::NamedTempFile::with_suffix(".yaml")?;
    std::fs::write(file.path(), VALUES)?;
    let objects = tools.chart(&[file.path().to_owned()])?;
    let kinds: Vec<_> = objects.keys().map(String::as_str).collect();
    ensure!(
        kinds
            == [
                "Deployment gitlab-connector/other-pod",
                "ServiceAccount gitlab-connector/other"
            ],
        "{kinds:?}"
    );
    let template = &only(&objects, "Deployment")?["spec"]["template"];
    ensure!(template["metadata"]["annotations"] == json!({ "a": "b" }));
    ensure!(template["metadata"]["labels"]["c"] == "d");
    the_pod_is_as_said(&template["spec"])?;
    the_containers_are_as_said(&objects)?;
    let kubernetes = environment.kubernetes().await?;
    kubernetes.create_namespace("gitlab-connector").await?;
    let all: Vec<Value> = objects.into_values().collect();
    apply(&environment, &all, &["--dry-run=server"]).await?;
    Ok(())
}

fn the_pod_is_as_said(pod: &Value) -> Result<()> {
    for (key, value) in [
        (
            "nodeSelector",
            json!({ "disk": "ssd", "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" }),
        ),
        ("tolerations", json!([{ "operator": "Exists" }])),
        ("imagePullSecrets", json!([{ "name": "registry" }])),
        ("priorityClassName", json!("system-cluster-critical")),
        ("serviceAccountName", json!("other")),
        (
            "hostAliases",
            json!([{ "ip": "192.0.2.1", "hostnames": ["clusters.example.com"] }]),
        ),
        // The platform gives the ids; what Pod Security asks for stays.
        (
            "securityContext",
            json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } }),
        ),
    ] {
        ensure!(pod[key] == value, "{key}: {}", pod[key]);
    }
    ensure!(
        pod["affinity"]["nodeAffinity"].is_object(),
        "{}",
        pod["affinity"]
    );
    Ok(())
}

fn the_containers_are_as_said(objects: &Objects) -> Result<()> {
    let sidecar = container(objects, "proxy-sidecar")?;
    ensure!(sidecar["image"] == "culvert/proxy-sidecar:7");
    ensure!(sidecar["imagePullPolicy"] == "Always");
    let client = container(objects, "tunnel-client")?;
    let image = client["image"].as_str().unwrap_or_default();
    ensure!(
        image.starts_with("culvert/tunnel-client@sha256:0123"),
        "{image}"
    );
    ensure!(client["resources"]["limits"]["memory"] == "1Gi");
    // No name is expected of the token, and the proxy's URL is in a Secret alone.
    let secret = json!({ "secretKeyRef": { "name": "http-proxy", "key": "url" } });
    let variable = |name: &str, value: &str| json!({ "name": name, "value": value });
    let variables = json!([
        { "name": "HTTPS_PROXY", "valueFrom": secret },
        variable("TUNNEL_CLIENT_PROXY_CA_FILE", "/etc/culvert/http-proxy-ca/root.pem"),
        variable("TUNNEL_CLIENT_TLS_SERVER_NAME", "tunnel.example.org"),
        variable("TUNNEL_CLIENT_PIN_SHA256", PINS),
        variable("TUNNEL_CLIENT_SERVER", "https://clusters.example.com"),
        variable("TUNNEL_CLIENT_TOKEN_FILE", "/etc/culvert/connector-token/token"),
        variable("TUNNEL_CLIENT_SIDECAR_SECRET_FILE", "/run/culvert/sidecar-secret/secret"),
    ]);
    ensure!(client["env"] == variables, "{}", client["env"]);
    the_binary_takes_the_flags_of(objects)
}

/// What values.schema.json takes, values.yaml shows. (That the schema takes what
/// is shown helm sees to itself.)
pub(crate) async fn every_value_is_shown(_: Arc<Environment>) -> Result<()> {
    let chart = manifests("connector/chart");
    let schema = std::fs::read_to_string(chart.join("values.schema.json"))?;
    let schema: Value = serde_json::from_str(&schema)?;
    let text = std::fs::read_to_string(chart.join("values.yaml"))?;
    let values: Value = serde_saphyr::from_str(&text)?;
    let mut seen = 0;
    shown(&schema, &schema, &values, &text, &mut seen)?;
    ensure!(seen > 40, "{seen} values");
    Ok(())
}

fn shown(root: &Value, schema: &Value, values: &Value, text: &str, seen: &mut usize) -> Result<()> {
    let schema = match schema["$ref"].as_str() {
        Some(path) => root
            .pointer(path.trim_start_matches('#'))
            .context("a $ref to nothing")?,
        None => schema,
    };
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        // Helm's own; those without a default are in comments; the last is Kubernetes'.
        let commented = text.contains(&format!("\n# {key}:"));
        if key == "global" || key == "claims" || commented {
            continue;
        }
        *seen += 1;
        ensure!(values.get(key).is_some(), "values.yaml does not show {key}");
        shown(root, inner, &values[key], text, seen)?;
    }
    Ok(())
}
