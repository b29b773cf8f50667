//! The API server's own proxies, to services and to nodes.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::stage::Stage;
use crate::workload::Workload;

const SERVES: &str = "mkdir /tmp/www; echo from the pod > /tmp/www/page; \
     exec httpd -f -p 8080 -h /tmp/www";

pub(crate) async fn get_raw_reaches_services_and_nodes(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let caller = set.connector().await?.caller(set)?;
    let shell = Workload::listening(set, "proxies", SERVES, 8080).await?;
    set.admin(&[
        "expose",
        "pod/shell",
        "--namespace=proxies",
        "--port=80",
        "--target-port=8080",
    ])
    .await?;
    let page = integration::wait::until("the service's endpoint", crate::stage::SOON, || async {
        let path = "/api/v1/namespaces/proxies/services/shell:80/proxy/page";
        Ok(caller.kubectl(&["get", "--raw", path]).await.ok())
    })
    .await?;
    ensure!(page == "from the pod\n", "{page}");

    let node = set.cluster.node();
    let path = format!("/api/v1/nodes/{node}/proxy/pods");
    let pods: Value = serde_json::from_str(&caller.kubectl(&["get", "--raw", &path]).await?)?;
    let names = pods["items"].as_array().context("no pods")?;
    ensure!(
        names
            .iter()
            .any(|pod| pod["metadata"]["namespace"] == "proxies"),
        "the kubelet does not name the pod"
    );
    shell.remove(set).await
}
