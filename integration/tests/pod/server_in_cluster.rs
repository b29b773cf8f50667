//! tunnel-server in a cluster, by its manifests: a connector links to its Service,
//! and callers come from outside.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::connect_proxy::ConnectProxy;
use integration::kubeconfig::{Credential, Kubeconfig};
use integration::rendered::manifests;
use integration::server_config::ServerConfig;
use integration::wait::until;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tunnel_protocol::token::Token;

use crate::authority::certify;
use crate::caller::{Caller, Streams};
use crate::connector::{Connector, Destination, copy_tree};
use crate::desk::Desk;
use crate::stage::{SOON, Set, Stage};
use crate::workload::LABEL;

pub(crate) async fn a_connector_links_to_the_servers_service(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let (connector, token) = Connector::named(set, "inside");
    let server = Inside::new(set, "server-inside").await?;
    server.write_overlay(&connector, &token)?;
    server
        .types("kubectl apply --server-side --kustomize .")
        .await?;
    let kustomization = std::fs::read_to_string(manifests("server/base/kustomization.yaml"))?;
    let shown = kustomization
        .lines()
        .find_map(|line| line.strip_prefix("#   kubectl create secret "))
        .context("the base shows no command")?;
    let namespace = format!("--namespace {}", server.namespace);
    let create = shown.replace("--namespace culvert", &namespace);
    server
        .types(&format!("kubectl create secret {create}"))
        .await?;

    let (caller, _forward) = server.serves(set, &connector, &token).await?;
    server.a_change_of_the_map_takes_effect(&caller).await?;
    server.must_have_kept_secrets(set).await?;
    connector.remove(set).await?;
    server
        .types("kubectl delete --wait=false --kustomize .")
        .await
        .map(drop)
}

pub(crate) async fn the_servers_chart_serves(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let (connector, token) = Connector::named(set, "charted");
    let server = Inside::new(set, "server-charted").await?;
    let namespace = &server.namespace;
    set.admin_apply(&format!(
        "apiVersion: v1\n\
         kind: Namespace\n\
         metadata: {{name: {namespace}, labels: {{{LABEL}: ''}}}}\n"
    ))
    .await?;
    server.write_values(&connector, &token)?;
    let chart = manifests("server/chart");
    let chart = chart.to_str().context("the checkout's path")?;
    let notes = server
        .types(&format!(
            "helm install tunnel-server '{chart}' --namespace {namespace} --values values.yaml"
        ))
        .await?;
    // The Secret and the namespace's label, as helm prints them.
    let commands = notes.lines().map(str::trim);
    let commands: Vec<_> = commands
        .filter(|line| line.starts_with("kubectl "))
        .collect();
    ensure!(commands.len() == 2, "{notes}");
    for command in commands {
        server.types(command).await?;
    }
    server.serves(set, &connector, &token).await?;
    server.must_have_kept_secrets(set).await?;
    connector.remove(set).await?;
    server
        .types(&format!(
            "helm uninstall tunnel-server --namespace {namespace}"
        ))
        .await?;
    let kinds = "deployments,services,configmaps,secrets";
    let left = format!("kubectl get {kinds} --namespace {namespace} --output=name");
    let left = server.types(&left).await?;
    let left: Vec<_> = left
        .lines()
        .filter(|name| !name.ends_with("kube-root-ca.crt"))
        .collect();
    ensure!(left == ["secret/tunnel-server-tls"], "{left:?}");
    set.admin(&["delete", "namespace", namespace, "--wait=false"])
        .await
        .map(drop)
}

/// A tunnel-server in a namespace of its own.
struct Inside {
    namespace: String,
    /// Its Service's name, as pods reach it, and so its base domain.
    base: String,
    /// With `tls.crt`, `tls.key` and `ca.crt`.
    desk: Desk,
}

impl Inside {
    async fn new(set: &Set, namespace: &str) -> Result<Self> {
        let base = format!("tunnel-server.{namespace}.svc");
        let desk = Desk::new(set, namespace).await?;
        certify(&base, &desk.folder, &desk.folder.join("ca.crt"))?;
        Ok(Self {
            namespace: namespace.to_owned(),
            base,
            desk,
        })
    }

    async fn types(&self, line: &str) -> Result<String> {
        self.desk.types(line).await
    }

    /// A copy of the manifests, with what is to be one's own.
    fn write_overlay(&self, connector: &Connector, token: &Token) -> Result<()> {
        let folder = &self.desk.folder;
        copy_tree(&manifests("server"), &folder.join("server"))?;
        let base = std::fs::read_to_string(manifests("server/base/tunnel-server.yaml"))?;
        let mut config: Value = serde_saphyr::from_str(&base)?;
        self.set_own(&mut config, connector, token);
        std::fs::write(folder.join("tunnel-server.yaml"), format!("{config:#}"))?;
        let (namespace, label) = (&self.namespace, LABEL.replace('/', "~1"));
        Ok(std::fs::write(
            folder.join("kustomization.yaml"),
            format!(
                "resources: [server/base]\n\
                 namespace: {namespace}\n\
                 configMapGenerator:\n\
                 - name: tunnel-server\n\
                 \x20 namespace: culvert\n\
                 \x20 behavior: replace\n\
                 \x20 files: [tunnel-server.yaml]\n\
                 patches:\n\
                 - patch: '[{{\"op\": \"add\", \"path\": \"/metadata/labels/{label}\", \"value\": \"\"}}]'\n\
                 \x20 target: {{kind: Namespace}}\n"
            ),
        )?)
    }

    fn write_values(&self, connector: &Connector, token: &Token) -> Result<()> {
        let mut values = json!({});
        self.set_own(&mut values, connector, token);
        let file = self.desk.folder.join("values.yaml");
        Ok(std::fs::write(file, format!("{values:#}"))?)
    }

    fn set_own(&self, config: &mut Value, connector: &Connector, token: &Token) {
        let mut ours = ServerConfig::new(&self.base, "");
        ours.cluster(&connector.name, &[token]);
        ours.caller("ci", &[&connector.name], &[&connector.access_token]);
        config["baseDomain"] = ours.base_domain.into();
        config["clusters"] = ours.clusters.into();
        config["callers"] = ours.callers.into();
    }

    /// Links a connector to it and calls the cluster through it, from outside.
    async fn serves(
        &self,
        set: &Set,
        connector: &Connector,
        token: &Token,
    ) -> Result<(Caller, Forward)> {
        let (namespace, seconds) = (&self.namespace, SOON.as_secs());
        self.types(&format!(
            "kubectl rollout status deployment/tunnel-server -n {namespace} --timeout={seconds}s"
        ))
        .await?;
        let destination = Destination {
            url: format!("https://{}", self.base),
            ca_file: self.desk.folder.join("ca.crt"),
        };
        connector.write_overlay(set, &[], &destination, token)?;
        connector.apply_overlay(set).await?;
        connector.ready(set).await?;
        let forward = Forward::start(set, namespace).await?;
        let kubeconfig = Kubeconfig {
            server: &format!("https://{}.{}", connector.name, self.base),
            ca_file: &destination.ca_file,
            credential: Credential::Token(connector.access_token.expose()),
            proxy_url: Some(&forward.proxy.url()),
        };
        let path = self.desk.folder.join("culvert.kubeconfig");
        let kubectl = Caller::with(&kubeconfig, path)?;
        let pods = kubectl
            .kubectl(&["get", "pods", "--namespace=kube-system", "--output=name"])
            .await?;
        ensure!(pods.contains("pod/kube-apiserver-"), "{pods}");
        Ok((kubectl, forward))
    }

    /// The ConfigMap is the file that the server watches: kubelet brings it there.
    async fn a_change_of_the_map_takes_effect(&self, caller: &Caller) -> Result<()> {
        let file = self.desk.folder.join("tunnel-server.yaml");
        let mut config: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file)?)?;
        config["callers"] = serde_json::json!([]);
        std::fs::write(&file, format!("{config:#}"))?;
        self.types("kubectl apply --server-side --kustomize .")
            .await?;
        // kubelet looks once a minute, and at once when something about the pod changes.
        self.types(&format!(
            "kubectl annotate pods --all --namespace {} looked=at",
            self.namespace
        ))
        .await?;
        until("the change", 2 * SOON, || async {
            let output = caller.output(Streams::WebSocket, &["get", "pods"]).await?;
            let said = String::from_utf8_lossy(&output.stderr);
            Ok(said.contains("You must be logged in").then_some(()))
        })
        .await
    }

    async fn must_have_kept_secrets(&self, set: &Set) -> Result<()> {
        let namespace = &self.namespace;
        let logs = format!("kubectl logs -n {namespace} deployment/tunnel-server");
        let log = self.types(&logs).await?;
        set.secrets
            .must_not_be_in("the log of the server inside", &log)
    }
}

/// From outside, past DNS.
struct Forward {
    _kubectl: Child,
    /// It ends where nobody hears what it says.
    _said: Lines<BufReader<ChildStdout>>,
    proxy: ConnectProxy,
}

impl Forward {
    async fn start(set: &Set, namespace: &str) -> Result<Self> {
        let namespace = format!("--namespace={namespace}");
        let mut kubectl = Command::from(set.cluster.kubectl())
            .args(["port-forward", "service/tunnel-server", ":443", &namespace])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(kubectl.stdout.take().context("stdout")?).lines();
        let line = lines.next_line().await?.context("kubectl has ended")?;
        let address = line
            .strip_prefix("Forwarding from ")
            .and_then(|rest| rest.split(' ').next())
            .with_context(|| line.clone())?;
        let address: SocketAddr = address.parse()?;
        Ok(Self {
            _kubectl: kubectl,
            _said: lines,
            proxy: ConnectProxy::start(address).await?,
        })
    }
}
