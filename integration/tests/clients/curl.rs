//! curl, as scripts call it.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64;
use integration::chain::SOON;
use integration::environment::Environment;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::stage::{Stage, run};

/// More than curl sends unasked: with a body above 1 MiB it waits for
/// `100 Continue`.
const MUCH: usize = 1_000_000;

/// One that fails where HTTP does, and says what it sends and gets.
fn curl(arguments: &[&str]) -> Command {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--fail-with-body", "--verbose"])
        .args(["--noproxy", "*"])
        .args(arguments);
    curl
}

async fn said(arguments: &[&str]) -> Result<(Value, String)> {
    let output = run(&mut curl(arguments)).await?;
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((serde_json::from_slice(&output.stdout)?, told))
}

pub(crate) async fn curl_gets(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(environment, "curl-gets", &[]).await?;
    let url = stage.sidecar.url()?;
    let (namespaces, _) = said(&[&format!("{url}/api/v1/namespaces")]).await?;
    let items = namespaces["items"].as_array().context("no items")?;
    let names = items.iter().map(|item| &item["metadata"]["name"]);
    ensure!(
        names.clone().any(|name| name == "curl-gets"),
        "{namespaces}"
    );
    stage.stop()
}

/// Each event comes when it happens: `-N` is curl's own part of that.
pub(crate) async fn curl_watches(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(environment, "curl-watches", &[]).await?;
    let at = format!("{}{}", stage.sidecar.url()?, stage.config_maps());
    let mut watching = curl(&["-N", &format!("{at}?watch=true")])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let events = watching.stdout.take().context("no output")?;
    let mut events = BufReader::new(events).lines();
    for name in ["one", "two", "three"] {
        post(&at, &config_map(name, "a")).await?;
        let event = timeout(SOON, events.next_line()).await?;
        let event: Value = serde_json::from_str(&event?.context("the watch has ended")?)?;
        let told = (&event["type"], &event["object"]["metadata"]["name"]);
        ensure!(told == (&json!("ADDED"), &json!(name)), "{event}");
    }
    watching.kill().await?;
    stage.stop()
}

pub(crate) async fn curl_sends_much(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(environment, "curl-sends-much", &[]).await?;
    let at = format!("{}{}", stage.sidecar.url()?, stage.config_maps());
    let bytes: Vec<u8> = (0..MUCH).map(|at| (at * at % 251) as u8).collect();
    let bytes = BASE64.encode(&bytes);
    let mut much = config_map("much", "a");
    much["binaryData"] = json!({ "much": bytes });
    let told = post(&at, &much).await?;
    ensure!(told.contains("> Expect: 100-continue"), "{told}");
    ensure!(told.contains("< HTTP/1.1 100 Continue"), "{told}");
    let path = format!("{}/much", stage.config_maps());
    ensure!(
        stage.stored(&path).await?["binaryData"]["much"] == bytes,
        "other bytes"
    );
    // The same from a pipe, of which curl does not know the length.
    let file = stage.sidecar.folder().join("body");
    much["metadata"]["name"] = "chunked".into();
    std::fs::write(&file, much.to_string())?;
    let mut chunked = curl(&["--header", "Content-Type: application/json", "-T", "-", &at]);
    let chunked = chunked
        .args(["--request", "POST"])
        .stdin(std::fs::File::open(&file)?);
    let told = run(chunked).await?.stderr;
    let told = String::from_utf8_lossy(&told);
    ensure!(told.contains("> Transfer-Encoding: chunked"), "{told}");
    let path = format!("{}/chunked", stage.config_maps());
    ensure!(
        stage.stored(&path).await?["binaryData"]["much"] == bytes,
        "other bytes"
    );
    // Back it comes as the API server gives it: packed to those who ask, and to them
    // alone. Not the list, whose version others change.
    let at = format!("{at}/much");
    let (plain, told) = said(&[&at]).await?;
    ensure!(!told.contains("< content-encoding"), "{told}");
    let (unpacked, told) = said(&["--compressed", &at]).await?;
    ensure!(told.contains("< content-encoding: gzip"), "{told}");
    ensure!(plain == unpacked, "they differ");
    stage.stop()
}

pub(crate) async fn curl_changes_objects(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(environment, "curl-changes", &[]).await?;
    let at = format!("{}{}", stage.sidecar.url()?, stage.config_maps());
    let one = format!("{at}/one");
    post(&at, &config_map("one", "posted")).await?;
    let body = stage.sidecar.folder().join("put");
    std::fs::write(&body, config_map("one", "put").to_string())?;
    let json = "Content-Type: application/json";
    let file = body.display().to_string();
    let (object, _) = said(&["--header", json, "--upload-file", &file, &one]).await?;
    ensure!(object["data"]["a"] == "put", "{object}");
    for (kind, patch) in [
        ("merge-patch", r#"{"data": {"a": "merged"}}"#),
        ("strategic-merge-patch", r#"{"data": {"a": "merged"}}"#),
        (
            "json-patch",
            r#"[{"op": "replace", "path": "/data/a", "value": "merged"}]"#,
        ),
    ] {
        let kind = format!("Content-Type: application/{kind}+json");
        let patch = ["--request", "PATCH", "--header", &kind, "--data", patch];
        let (object, _) = said(&[&patch[..], &[&one]].concat()).await?;
        ensure!(object["data"]["a"] == "merged", "{kind}: {object}");
    }
    let (status, _) = said(&["--request", "DELETE", &one]).await?;
    ensure!(status["status"] == "Success", "{status}");
    let gone = curl(&[&one]).output().await?;
    // Its own code for an answer of 400 and above.
    ensure!(gone.status.code() == Some(22), "{:?}", gone.status);
    let gone: Value = serde_json::from_slice(&gone.stdout)?;
    ensure!(gone["reason"] == "NotFound", "{gone}");
    stage.stop()
}

pub(crate) async fn curl_over_a_unix_socket(environment: Arc<Environment>) -> Result<()> {
    let flags = ["--unix-socket=socket"];
    let stage = Stage::start(environment, "curl-socket", &flags).await?;
    let socket = stage.sidecar.folder().join("socket").display().to_string();
    let at = format!("http://localhost{}", stage.config_maps());
    let post = config_map("one", "a").to_string();
    let json = "Content-Type: application/json";
    let through = ["--unix-socket", &socket, &at];
    said(&[&through[..], &["--header", json, "--data", &post]].concat()).await?;
    let (list, _) = said(&through).await?;
    ensure!(list["items"][0]["metadata"]["name"] == "one", "{list}");
    stage.stop()
}

fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": name }, "data": { "a": value },
    })
}

/// Gives what curl tells of it.
async fn post(url: &str, body: &Value) -> Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), body.to_string())?;
    let from = format!("@{}", file.path().display());
    let json = "Content-Type: application/json";
    Ok(said(&["--header", json, "--data-binary", &from, url])
        .await?
        .1)
}
