//! What an exec credential plugin, the only program that ours start, gets to see.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::raw_http::RawUpstream;
use integration::service::Service;
use local_kubernetes::process::Spawner;
use serde_json::json;

use crate::planted::Canaries;

pub(crate) async fn a_credential_plugin_gets_no_secret_of_ours(_: Arc<Environment>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = |name: &str| folder.path().join(name);
    let mut canaries = Canaries::default();
    let cluster = RawUpstream::bind().await?;
    let token = canaries.plain("the plugin's token");
    let complaint = canaries.plain("the plugin's complaint");
    let script = format!(
        "#!/bin/sh\ntr '\\0' '\\n' < /proc/$$/environ > seen\ntr '\\0' '\\n' < /proc/$$/cmdline >> seen\n\
         tr '\\0' '\\n' < /proc/$PPID/cmdline >> seen\nls -l /proc/$$/fd > descriptors\n\
         echo {complaint} >&2\n\
         echo '{{\"apiVersion\":\"client.authentication.k8s.io/v1\",\"kind\":\"ExecCredential\",\"status\":{{\"token\":\"{token}\"}}}}'\n"
    );
    std::fs::write(at("plugin"), script)?;
    std::fs::set_permissions(at("plugin"), PermissionsExt::from_mode(0o700))?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "a",
        "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        "clusters": [{"name": "a", "cluster": {"server": format!("http://{}", cluster.address)}}],
        "users": [{"name": "a", "user": {"exec": {"apiVersion": "client.authentication.k8s.io/v1",
            "command": at("plugin"), "interactiveMode": "Never"}}}],
    });
    std::fs::write(at("kubeconfig"), kubeconfig.to_string())?;
    let spawner = Spawner::new()?;
    let arguments = [
        "--kubeconfig",
        "kubeconfig",
        "--port",
        "0",
        "--admin-address",
        "127.0.0.1:0",
        "--secret-file",
        "sidecar-secret",
    ]
    .map(str::to_owned);
    let sidecar = Service::start(&spawner, "proxy-sidecar", &arguments, folder.path()).await?;
    let secret = std::fs::read_to_string(at("sidecar-secret"))?
        .trim()
        .to_owned();
    let url = format!("http://{}/api", sidecar.address.context("no address")?);
    let bearer = canaries.plain("a caller's token");
    let call = async {
        let request = reqwest::Client::new()
            .get(url)
            .header("culvert-sidecar-secret", &secret)
            .header("cookie", canaries.plain("a caller's cookie"));
        anyhow::Ok(request.bearer_auth(&bearer).send().await?.status())
    };
    let serve = async {
        let (mut connection, head) = tokio::time::timeout(SOON, cluster.request()).await??;
        connection
            .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await?;
        anyhow::Ok(head)
    };
    let (status, _head) = tokio::try_join!(call, serve)?;
    ensure!(status == 200, "{status}");
    canaries.add("the sidecar's secret", secret);
    let seen = std::fs::read_to_string(at("seen"))?;
    ensure!(
        seen.contains("KUBERNETES_EXEC_INFO"),
        "the plugin saw nothing: {seen}"
    );
    canaries.must_not_be_in("what the plugin saw", &seen)?;
    // Only its three streams: no listener, no connection, no file of ours.
    let descriptors = std::fs::read_to_string(at("descriptors"))?;
    let leaked = descriptors
        .lines()
        .filter(|line| line.contains("socket:") || line.contains("sidecar-secret"));
    ensure!(
        leaked.count() == 0,
        "the plugin has inherited: {descriptors}"
    );
    let log = std::fs::read_to_string(sidecar.log())?;
    canaries.must_not_be_in("the sidecar's log", &log)
}
