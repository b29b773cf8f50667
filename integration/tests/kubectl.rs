//! kubectl through the whole chain, by hostname and by path. Each test has a
//! namespace of its own at each of the two.

use std::path::PathBuf;
use std::process::{ExitCode, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use integration::chain::Chain;
use integration::environment::Environment;
use integration::{suite, tests};
use local_kubernetes::ControlPlane;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

fn main() -> ExitCode {
    suite::run(tests![
        get,
        get_table,
        get_in_pages,
        apply_client_side,
        apply_server_side,
        patch_strategic,
        patch_merge,
        patch_json,
        delete,
        wait_for_a_value,
        wait_for_a_deletion,
        explain_and_api_resources,
        errors_are_the_clusters,
    ])
}

/// For what another process does in milliseconds.
const DEADLINE: Duration = Duration::from_secs(60);

/// kubectl with one kubeconfig and one namespace.
struct Kubectl {
    binary: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
    namespace: String,
}

/// Both ways to the cluster, each with an empty namespace.
async fn both_ways(environment: &Environment, chain: &Chain, test: &str) -> Result<[Kubectl; 2]> {
    let by_host = Kubectl::new(environment, chain, &chain.url_by_host(), test, "host").await?;
    let by_path = Kubectl::new(environment, chain, &chain.url_by_path(), test, "path").await?;
    Ok([by_host, by_path])
}

impl Kubectl {
    async fn new(
        environment: &Environment,
        chain: &Chain,
        server: &str,
        test: &str,
        way: &str,
    ) -> Result<Self> {
        let control_plane = environment.kubernetes().await?;
        let namespace = format!("{test}-by-{way}");
        control_plane.create_namespace(&namespace).await?;
        Ok(Self {
            binary: control_plane.kubectl().to_owned(),
            kubeconfig: chain.kubeconfig(server)?,
            home: chain.folder().to_owned(),
            namespace,
        })
    }

    /// The administrator's, straight to the API server.
    fn direct(&self, control_plane: &ControlPlane) -> Self {
        Self {
            binary: self.binary.clone(),
            kubeconfig: control_plane.admin_kubeconfig().to_owned(),
            home: self.home.join("direct"),
            namespace: self.namespace.clone(),
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .args(["--namespace", &self.namespace])
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    async fn output(&self, arguments: &[&str]) -> Result<Output> {
        let output = self.command(arguments).output();
        let output = tokio::time::timeout(DEADLINE, output).await;
        Ok(output.with_context(|| format!("kubectl {arguments:?} has not ended"))??)
    }

    /// What it prints; fails with what it complains of.
    async fn run(&self, arguments: &[&str]) -> Result<String> {
        Ok(self.run_both(arguments).await?.0)
    }

    /// What it prints, and what it says beside.
    async fn run_both(&self, arguments: &[&str]) -> Result<(String, String)> {
        let output = self.output(arguments).await?;
        let (out, err) = (lossy(&output.stdout), lossy(&output.stderr));
        ensure!(
            output.status.success(),
            "{}: kubectl {arguments:?}: {err}",
            self.namespace
        );
        Ok((out, err))
    }

    /// What it complains of; fails if it does not.
    async fn fail(&self, arguments: &[&str]) -> Result<String> {
        let output = self.output(arguments).await?;
        ensure!(
            !output.status.success(),
            "{}: kubectl {arguments:?} succeeded",
            self.namespace
        );
        Ok(lossy(&output.stderr))
    }

    /// Starts one that waits, and returns when its watch is open.
    async fn start_watching(&self, arguments: &[&str]) -> Result<Child> {
        let mut child = self.command(arguments).arg("-v=6").spawn()?;
        let stderr = child.stderr.take().context("no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let open = async {
            while let Some(line) = lines.next_line().await? {
                // Printed when the answer's headers are there.
                if line.contains("\"Response\"") && line.contains("watch=true") {
                    return Ok(());
                }
            }
            bail!("kubectl {arguments:?} opened no watch")
        };
        tokio::time::timeout(DEADLINE, open)
            .await
            .context("no watch was opened")??;
        child.stderr = Some(lines.into_inner().into_inner());
        Ok(child)
    }

    async fn object(&self, what: &str) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.run(&["get", what, "-o", "json"]).await?,
        )?)
    }

    /// Writes a manifest that `-f` takes.
    fn file(&self, name: &str, manifest: &Value) -> Result<String> {
        let path = self.home.join(format!("{}-{name}.json", self.namespace));
        std::fs::write(&path, manifest.to_string())?;
        Ok(path.display().to_string())
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn config_map(data: Value) -> Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": data,
    })
}

async fn get(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for server in [
        chain.url_by_host(),
        chain.url_by_path(),
        format!("{}/", chain.url_by_path()),
    ] {
        let kubectl = Kubectl::new(&environment, &chain, &server, "get", "any").await?;
        let namespaces = kubectl.run(&["get", "namespaces", "-o", "name"]).await?;
        ensure!(
            namespaces.contains("namespace/kube-system"),
            "{server}: {namespaces}"
        );
        kubectl.run(&["get", "--raw", "/readyz"]).await?;
    }
    chain.stop().await
}

async fn get_table(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for kubectl in both_ways(&environment, &chain, "table").await? {
        kubectl
            .run(&[
                "create",
                "configmap",
                "two",
                "--from-literal=a=1",
                "--from-literal=b=2",
            ])
            .await?;
        let table = kubectl.run(&["get", "configmaps"]).await?;
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        ensure!(
            rows.len() == 2 && rows[0] == ["NAME", "DATA", "AGE"] && rows[1][..2] == ["two", "2"],
            "{table}"
        );
        let wide = kubectl.run(&["get", "namespaces", "--show-labels"]).await?;
        ensure!(
            wide.contains("kubernetes.io/metadata.name=kube-system"),
            "{wide}"
        );
    }
    chain.stop().await
}

async fn get_in_pages(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for kubectl in both_ways(&environment, &chain, "pages").await? {
        let items: Vec<Value> = (0..7)
            .map(|number| {
                let mut map = config_map(serde_json::json!({}));
                map["metadata"]["name"] = format!("map-{number}").into();
                map
            })
            .collect();
        let list = serde_json::json!({ "apiVersion": "v1", "kind": "List", "items": items });
        let file = kubectl.file("list", &list)?;
        kubectl.run(&["create", "-f", &file]).await?;

        let pages = ["get", "configmaps", "-o", "name", "--chunk-size=3", "-v=6"];
        let (out, err) = kubectl.run_both(&pages).await?;
        let names: Vec<String> = (0..7).map(|n| format!("configmap/map-{n}")).collect();
        ensure!(out.lines().eq(names.iter()), "{out}");
        let asked = |what: &str| {
            let answers = err.lines().filter(|line| line.contains("\"Response\""));
            answers.filter(|line| line.contains(what)).count()
        };
        ensure!(
            (asked("limit=3"), asked("continue=")) == (3, 2),
            "three pages were to be fetched: {err}"
        );
    }
    chain.stop().await
}

async fn apply_client_side(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for kubectl in both_ways(&environment, &chain, "apply").await? {
        let one = kubectl.file(
            "one",
            &config_map(serde_json::json!({ "a": "1", "b": "1" })),
        )?;
        let two = kubectl.file("two", &config_map(serde_json::json!({ "a": "2" })))?;
        for (file, says) in [(&one, "created"), (&one, "unchanged"), (&two, "configured")] {
            let said = kubectl.run(&["apply", "-f", file]).await?;
            ensure!(
                said.trim() == format!("configmap/settings {says}"),
                "{said}"
            );
        }
        let data = &kubectl.object("configmap/settings").await?["data"];
        ensure!(*data == serde_json::json!({ "a": "2" }), "{data}");
    }
    chain.stop().await
}

async fn apply_server_side(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for kubectl in both_ways(&environment, &chain, "ssa").await? {
        let one = kubectl.file("one", &config_map(serde_json::json!({ "a": "1" })))?;
        let two = kubectl.file("two", &config_map(serde_json::json!({ "a": "2" })))?;
        let apply = |file, manager| {
            [
                "apply",
                "--server-side",
                "-f",
                file,
                "--field-manager",
                manager,
            ]
        };
        let said = kubectl.run(&apply(&one, "first")).await?;
        ensure!(
            said.trim() == "configmap/settings serverside-applied",
            "{said}"
        );

        let conflict = kubectl.fail(&apply(&two, "second")).await?;
        ensure!(
            conflict.contains("conflict with \"first\": .data.a"),
            "{conflict}"
        );
        let mut forced = apply(&two, "second").to_vec();
        forced.push("--force-conflicts");
        kubectl.run(&forced).await?;
        let managed = kubectl
            .run(&[
                "get",
                "configmap/settings",
                "-o",
                "json",
                "--show-managed-fields",
            ])
            .await?;
        let object: Value = serde_json::from_str(&managed)?;
        ensure!(object["data"]["a"] == "2", "{object}");
        ensure!(
            object["metadata"]["managedFields"][0]["manager"] == "second",
            "{object}"
        );
    }
    chain.stop().await
}

/// Lists of containers are merged by name only in this form.
async fn patch_strategic(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for kubectl in both_ways(&environment, &chain, "strategic").await? {
        kubectl
            .run(&["create", "deployment", "web", "--image=registry.test/web:1"])
            .await?;
        let patch = serde_json::json!({ "spec": { "template": { "spec": { "containers": [
            { "name": "beside", "image": "registry.test/beside:1" },
        ] } } } });
        kubectl
            .run(&[
                "patch",
                "deployment",
                "web",
                "--type=strategic",
                "-p",
                &patch.to_string(),
            ])
            .await?;
        let deployment = kubectl.object("deployment/web").await?;
        let containers = deployment["spec"]["template"]["spec"]["containers"]
            .as_array()
            .context("no containers")?;
        let names: Vec<_> = containers.iter().map(|one| &one["name"]).collect();
        ensure!(names == ["beside", "web"], "{names:?}");
    }
    chain.stop().await
}

async fn patch_merge(environment: Arc<Environment>) -> Result<()> {
    let patch = serde_json::json!({ "data": { "a": null, "b": "2" } });
    patched(environment, "merge", &patch).await
}

async fn patch_json(environment: Arc<Environment>) -> Result<()> {
    let patch = serde_json::json!([
        { "op": "test", "path": "/data/a", "value": "1" },
        { "op": "move", "from": "/data/a", "path": "/data/b" },
        { "op": "replace", "path": "/data/b", "value": "2" },
    ]);
    patched(environment, "json", &patch).await
}

/// Makes `{b: 2}` of `{a: 1}`.
async fn patched(environment: Arc<Environment>, form: &str, patch: &Value) -> Result<()> {
    let chain = environment.chain().await?;
    for kubectl in both_ways(&environment, &chain, form).await? {
        kubectl
            .run(&["create", "configmap", "settings", "--from-literal=a=1"])
            .await?;
        let said = kubectl
            .run(&[
                "patch",
                "configmap/settings",
                "--type",
                form,
                "-p",
                &patch.to_string(),
            ])
            .await?;
        ensure!(said.trim() == "configmap/settings patched", "{said}");
        let data = &kubectl.object("configmap/settings").await?["data"];
        ensure!(*data == serde_json::json!({ "b": "2" }), "{data}");
    }
    chain.stop().await
}

async fn delete(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for kubectl in both_ways(&environment, &chain, "delete").await? {
        for name in ["one", "two", "three"] {
            kubectl
                .run(&["create", "configmap", name, "--from-literal=a=1"])
                .await?;
        }
        let said = kubectl.run(&["delete", "configmap", "one"]).await?;
        ensure!(said.contains("configmap \"one\" deleted"), "{said}");
        let left = kubectl.run(&["get", "configmaps", "-o", "name"]).await?;
        ensure!(left == "configmap/three\nconfigmap/two\n", "{left}");
        kubectl.run(&["delete", "configmaps", "--all"]).await?;
        let left = kubectl.run(&["get", "configmaps", "-o", "name"]).await?;
        ensure!(left.is_empty(), "{left}");
    }
    chain.stop().await
}

async fn wait_for_a_value(environment: Arc<Environment>) -> Result<()> {
    let what = "--for=jsonpath={.data.done}=yes";
    let patch = [
        "patch",
        "configmap/settings",
        "-p",
        r#"{"data":{"done":"yes"}}"#,
    ];
    waited(environment, "wait-value", what, &patch).await
}

async fn wait_for_a_deletion(environment: Arc<Environment>) -> Result<()> {
    let delete = ["delete", "configmap/settings"];
    waited(environment, "wait-delete", "--for=delete", &delete).await
}

/// Waits through the chain for what is done beside it only after the watch is
/// open.
async fn waited(
    environment: Arc<Environment>,
    test: &str,
    condition: &str,
    act: &[&str],
) -> Result<()> {
    let chain = environment.chain().await?;
    for kubectl in both_ways(&environment, &chain, test).await? {
        let direct = kubectl.direct(environment.kubernetes().await?);
        kubectl
            .run(&["create", "configmap", "settings", "--from-literal=done=no"])
            .await?;
        let waiting = kubectl
            .start_watching(&["wait", condition, "configmap/settings", "--timeout=60s"])
            .await?;
        direct.run(act).await?;
        let output = waiting.wait_with_output().await?;
        let (said, complaint) = (lossy(&output.stdout), lossy(&output.stderr));
        ensure!(
            output.status.success() && said.contains("condition met"),
            "{said}{complaint}"
        );
    }
    chain.stop().await
}

/// They read all of the discovery and of the schema; what they say must be the
/// same as without the chain.
async fn explain_and_api_resources(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for kubectl in both_ways(&environment, &chain, "explain").await? {
        let direct = kubectl.direct(environment.kubernetes().await?);
        let commands: [(&[&str], &str); 4] = [
            (
                &["explain", "configmaps.data"],
                "FIELD: data <map[string]string>",
            ),
            (
                &["explain", "pods.spec", "--recursive"],
                "terminationGracePeriodSeconds",
            ),
            (&["api-resources", "-o", "wide"], "deployments"),
            (&["api-versions"], "rbac.authorization.k8s.io/v1"),
        ];
        for (command, holds) in commands {
            let through = kubectl.run(command).await?;
            ensure!(through.contains(holds), "kubectl {command:?}: {through}");
            ensure!(
                through == direct.run(command).await?,
                "kubectl {command:?} says something else through the chain: {through}"
            );
        }
    }
    chain.stop().await
}

async fn errors_are_the_clusters(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    for kubectl in both_ways(&environment, &chain, "errors").await? {
        let said = kubectl.fail(&["get", "configmap", "nothing"]).await?;
        let expected = "Error from server (NotFound): configmaps \"nothing\" not found";
        ensure!(said.trim() == expected, "{said}");
        let create = ["create", "configmap", "settings", "--from-literal=a=1"];
        kubectl.run(&create).await?;
        let said = kubectl.fail(&create).await?;
        ensure!(
            said.contains("configmaps \"settings\" already exists"),
            "{said}"
        );
        let bad = [
            "patch",
            "configmap/settings",
            "-p",
            r#"{"data":{"no good":"1"}}"#,
        ];
        let said = kubectl.fail(&bad).await?;
        ensure!(
            said.contains("The ConfigMap \"settings\" is invalid: data[no good]"),
            "{said}"
        );
    }
    chain.stop().await
}
