//! Watches in a drain: callers see the end that they know from the API server.

use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::http1::{self, Response};
use integration::raw_http::{Accepted, RawUpstream};
use local_kubernetes::ControlPlane;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::sidecar::{AT_ONCE, Caller, Sidecar, exchange, must_be_cut};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf;stream=watch";
/// What client-go takes for a fault.
const VERY_SHORT: Duration = Duration::from_secs(1);

fn request(query: &str) -> String {
    format!("GET /api/v1/pods?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A watch of the played API server's, with these header lines.
async fn open(
    sidecar: &Sidecar,
    upstream: &RawUpstream,
    query: &str,
    lines: &str,
) -> Result<(Caller, Accepted)> {
    let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{lines}\r\n\r\n");
    sidecar.open(upstream, &request(query), &answer).await
}

fn chunk(text: &str) -> String {
    format!("{:X}\r\n{text}\r\n", text.len())
}

pub(crate) async fn played_watches_end_between_two_events(_: Arc<Environment>) -> Result<()> {
    let (mut sidecar, upstream) = Sidecar::played(&[]).await?;
    let mut broken = Vec::new();
    for (content_type, begin, rest, next) in [
        (JSON, "{}\n{\"a\"", ":{}}\n", "{\"b\":{}}\n"),
        (PROTOBUF, "\0\0\0\x01a\0\0\0\x03b", "cd", "\0\0\0\x01e"),
        ("application/cbor-seq", "\x01\x62a", "b", "\x61cd"),
    ] {
        let lines = format!("Content-Type: {content_type}");
        let (mut caller, mut end) = open(&sidecar, &upstream, "watch=true", &lines).await?;
        end.send(chunk(begin)).await?;
        ensure!(caller.through(&chunk(begin)).await? == chunk(begin));
        broken.push((caller, end, rest, next));
    }
    let lines = format!("Content-Type: {JSON}");
    let (mut quiet, mut quiet_end) = open(&sidecar, &upstream, "watch=1", &lines).await?;
    sidecar.terminate().await?;

    // It waits for no event; and with it the older ones are due.
    ensure!(quiet.through("0\r\n\r\n").await? == "0\r\n\r\n");
    ensure!(quiet_end.rest().await?.0.is_empty());
    for (mut caller, mut end, rest, next) in broken {
        end.send(chunk(&format!("{rest}{next}"))).await?;
        let expected = chunk(rest) + "0\r\n\r\n";
        let came = caller.through("0\r\n\r\n").await?;
        ensure!(came == expected, "{came:?}, not {expected:?}");
        exchange(&mut caller, &upstream).await?;
    }

    // One that begins now is none of which client-go says that it is very short.
    let begun = Instant::now();
    quiet.send(request("watch")).await?;
    let (mut connection, _) = upstream.request().await?;
    let head = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{lines}\r\n\r\n");
    connection.send(head).await?;
    ensure!(quiet.head().await?.starts_with("HTTP/1.1 200"));
    ensure!(quiet.exactly(5).await? == "0\r\n\r\n");
    let lived = begun.elapsed();
    ensure!(
        lived > VERY_SHORT && lived < VERY_SHORT + AT_ONCE,
        "{lived:?}"
    );
    let last = Instant::now();
    drop(quiet);
    let end = sidecar.ends(last, AT_ONCE).await?;
    ensure!(end["cut"] == 0, "{end}");
    Ok(())
}

pub(crate) async fn a_watch_of_another_format_is_cut_at_the_deadline(
    _: Arc<Environment>,
) -> Result<()> {
    let (mut sidecar, upstream) = Sidecar::played(&["--drain-seconds=4"]).await?;
    let mut others = Vec::new();
    for (query, lines) in [
        ("watch=true", "Content-Type: text/plain"),
        (
            "watch=true",
            "Content-Encoding: gzip\r\nContent-Type: application/json",
        ),
        ("watch=true", "X-Content-Type: application/json"),
        // No watch.
        ("follow=true", "Content-Type: application/json"),
        ("watch=false", "Content-Type: application/json"),
    ] {
        let (mut caller, mut end) = open(&sidecar, &upstream, query, lines).await?;
        end.send(chunk("{}\n")).await?;
        caller.through("{}\n\r\n").await?;
        others.push((lines, caller, end));
    }
    let json = format!("Content-Type: {JSON}");
    let (mut quiet, _end) = open(&sidecar, &upstream, "watch=true", &json).await?;
    // In the middle of an event at the deadline.
    let (mut broken, mut end) = open(&sidecar, &upstream, "watch=true", &json).await?;
    end.send(chunk("{}\n{")).await?;
    broken.through("{}\n{\r\n").await?;
    others.push(("a broken event", broken, end));
    let asked = Instant::now();
    sidecar.terminate().await?;
    ensure!(quiet.through("0\r\n\r\n").await? == "0\r\n\r\n");
    for (_, caller, end) in &mut others {
        end.send(chunk("{")).await?;
        caller.through("{\r\n").await?;
    }
    for (what, mut caller, _end) in others {
        must_be_cut(what, &caller.rest().await?)?;
    }
    drop(quiet);
    let end = sidecar
        .ends(asked, Duration::from_secs(4) + AT_ONCE)
        .await?;
    ensure!(end["cut"] == 6, "{end}");
    Ok(())
}

// --- The real API server's -----------------------------------------------

/// A namespace of a test's own, as the cluster's administrator.
struct Objects<'a> {
    control_plane: &'a ControlPlane,
    client: Client,
    config_maps: String,
}

impl<'a> Objects<'a> {
    async fn new(control_plane: &'a ControlPlane, namespace: &str) -> Result<Self> {
        control_plane.create_namespace(namespace).await?;
        let ca = reqwest::Certificate::from_pem(control_plane.ca_pem().as_bytes())?;
        Ok(Self {
            control_plane,
            client: Client::builder().no_proxy().tls_certs_only([ca]).build()?,
            config_maps: format!("/api/v1/namespaces/{namespace}/configmaps"),
        })
    }

    async fn create(&self, number: usize) -> Result<()> {
        let config_map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": name(number) }, "data": { "a": "}\n{\"" },
        });
        let url = format!("{}{}", self.control_plane.url(), self.config_maps);
        let request = self.client.post(url).json(&config_map);
        let token = self.control_plane.admin_token();
        request
            .bearer_auth(token)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }
}

fn name(number: usize) -> String {
    format!("object-{number:04}")
}

/// Events come all the time, and are large enough for several frames.
pub(crate) async fn real_watches_end_between_two_events(
    environment: Arc<Environment>,
) -> Result<()> {
    let objects = Objects::new(environment.kubernetes().await?, "drain").await?;
    let mut sidecar = Sidecar::real(&environment).await?;
    let watch = async |accept| {
        let mut caller = sidecar.caller().await?;
        let path = &objects.config_maps;
        caller
            .send(format!(
                "GET {path}?watch=true&fieldSelector=metadata.name!=kube-root-ca.crt HTTP/1.1\r\n\
                 Host: localhost\r\nAccept: {accept}\r\n\r\n"
            ))
            .await?;
        anyhow::Ok(caller)
    };
    let mut created = 2;
    objects.create(0).await?;
    let (mut json, mut protobuf) = (watch(JSON).await?, watch(PROTOBUF).await?);
    objects.create(1).await?;
    sidecar.terminate().await?;
    let creating = async {
        loop {
            objects.create(created).await?;
            created += 1;
        }
    };
    let reading = async { tokio::try_join!(whole(&mut json), whole(&mut protobuf)) };
    let (lines, frames) = tokio::select! {
        biased;
        read = reading => read?,
        failed = creating => return failed,
    };
    let names = json_names(&lines.body)?;
    let count = names.len();
    ensure!(
        names == (0..count).map(name).collect::<Vec<_>>(),
        "{names:?}"
    );
    let events = lengths(&frames.body)?;
    for (number, event) in events.iter().enumerate() {
        let name = name(number);
        let mut words = event.windows(name.len());
        ensure!(words.any(|word| word == name.as_bytes()), "no {name}");
    }
    println!("{count} and {} events of {created} objects", events.len());
    ensure!(count >= 2 && !events.is_empty());

    // The connection is the caller's to close.
    json.send("GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .await?;
    ensure!(json.head().await?.starts_with("HTTP/1.1 200"));
    drop((json, protobuf));
    let end = sidecar.ends(Instant::now(), AT_ONCE).await?;
    ensure!(end["cut"] == 0, "{end}");
    Ok(())
}

/// An answer in chunks with its proper end.
async fn whole(caller: &mut Caller) -> Result<Response> {
    let head = caller.head().await?;
    let mut bytes = head.into_bytes();
    loop {
        if let Some((answer, length)) = http1::response(&bytes, "GET")? {
            ensure!(answer.status == 200 && length == bytes.len());
            return Ok(answer);
        }
        bytes.extend(caller.some().await?);
    }
}

fn json_names(body: &[u8]) -> Result<Vec<String>> {
    let text = std::str::from_utf8(body)?;
    ensure!(text.ends_with('\n'), "{text:?}");
    let names = text.lines().map(|line| {
        let event: Value = serde_json::from_str(line).with_context(|| line.to_owned())?;
        let name = event["object"]["metadata"]["name"].as_str();
        Ok(name.context("no name")?.to_owned())
    });
    names.collect()
}

fn lengths(mut body: &[u8]) -> Result<Vec<&[u8]>> {
    let mut events = Vec::new();
    while let Some((length, rest)) = body.split_first_chunk() {
        let length = u32::from_be_bytes(*length).try_into()?;
        let (event, rest) = rest.split_at_checked(length).context("a broken event")?;
        events.push(event);
        body = rest;
    }
    ensure!(body.is_empty(), "a broken length");
    Ok(events)
}

/// It ends without an error, as when the API server has ended the watch.
pub(crate) async fn kubectl_takes_it_for_a_watchs_end(environment: Arc<Environment>) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let objects = Objects::new(control_plane, "drain-kubectl").await?;
    objects.create(0).await?;
    let mut sidecar = Sidecar::real(&environment).await?;
    let address = sidecar.service.address.context("no address")?;
    let mut kubectl = tokio::process::Command::new(control_plane.kubectl())
        .args(["get", "configmaps", "--watch", "--output=name"])
        .arg(format!("--server=http://{address}"))
        .args(["--namespace=drain-kubectl", "--kubeconfig=/dev/null"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut said = kubectl.stdout.take().context("no output")?;
    let mut text = Vec::new();
    while !text.ends_with(b"object-0000\n") {
        let read = timeout(SOON, said.read_buf(&mut text)).await??;
        ensure!(read > 0, "{:?}", kubectl.wait_with_output().await?);
    }
    let asked = Instant::now();
    sidecar.terminate().await?;
    let output = timeout(SOON, kubectl.wait_with_output()).await??;
    ensure!(
        output.status.success() && output.stderr.is_empty(),
        "{output:?}"
    );
    let end = sidecar.ends(asked, AT_ONCE).await?;
    ensure!(end["cut"] == 0, "{end}");
    Ok(())
}
