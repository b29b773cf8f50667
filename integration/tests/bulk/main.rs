//! Large bodies stream: however large, and however slow their reader, no process
//! of ours holds much of them.

mod late_reader;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use integration::chain::Chain;
use integration::environment::Environment;
use integration::{suite, tests};
use late_reader::LateReader;
use local_kubernetes::ControlPlane;
use reqwest::{Client, Response, Version};
use serde_json::Value;
use tokio::sync::OnceCell;

fn main() -> ExitCode {
    suite::run(tests![
        list_over_http1,
        list_over_http2,
        list_that_is_not_read,
        upload_over_http1,
        upload_over_http2,
        upload_that_is_not_read,
        lists_and_uploads_at_once,
    ])
}

/// What each process may have resident at its peak, bytes.
const MEMORY: u64 = 64 * 1024 * 1024;

/// A ConfigMap holds at most 1 MiB.
const MAPS: usize = 105;
const MAP: usize = 1_000_000;
const LIST: u64 = 100_000_000;

/// The API server takes requests of 3 MiB at most.
const UPLOAD: usize = 3_000_000;

/// Requests while a body stands still.
const BESIDE: usize = 300;

/// For what takes a second on an idle machine.
const DEADLINE: Duration = Duration::from_secs(180);

/// The list's path, at one version, so that all its answers are the same bytes.
static LIST_PATH: OnceCell<String> = OnceCell::const_new();

/// What a body was.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    bytes: u64,
    checksum: u32,
}

/// The administrator's, straight to the API server.
fn direct(kubernetes: &ControlPlane) -> Result<Client> {
    let ca = reqwest::Certificate::from_pem(kubernetes.ca_pem().as_bytes())?;
    let token = format!("Bearer {}", kubernetes.admin_token());
    let mut token = reqwest::header::HeaderValue::try_from(token)?;
    token.set_sensitive(true);
    let headers = [(reqwest::header::AUTHORIZATION, token)];
    Ok(Client::builder()
        .tls_certs_only([ca])
        .default_headers(headers.into_iter().collect())
        .build()?)
}

async fn list_path(kubernetes: &ControlPlane) -> Result<&'static str> {
    let path = LIST_PATH.get_or_try_init(|| async {
        kubernetes.create_namespace("bulk").await?;
        let (client, url) = (direct(kubernetes)?, kubernetes.url());
        let path = "/api/v1/namespaces/bulk/configmaps";
        let noise = noise(MAP);
        for number in 0..MAPS {
            // Turned, so that no two maps have the same at the same place.
            let (tail, head) = noise.split_at(number);
            let map = config_map(&format!("map-{number}"), &[head, tail].concat());
            let create = client.post(format!("{url}{path}")).header(JSON.0, JSON.1);
            create.body(map).send().await?.error_for_status()?;
        }
        let one = client.get(format!("{url}{path}?limit=1")).send().await?;
        let one: Value = one.error_for_status()?.json().await?;
        let version = one["metadata"]["resourceVersion"]
            .as_str()
            .context("no version")?;
        let exact = format!("resourceVersion={version}&resourceVersionMatch=Exact");
        anyhow::Ok(format!("{path}?{exact}"))
    });
    Ok(path.await?)
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// As text, since to escape a megabyte takes a debug build long.
fn config_map(name: &str, value: &str) -> String {
    format!(
        r#"{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"name":"{name}"}},"data":{{"value":"{value}"}}}}"#
    )
}

/// Text in which no two places are alike.
fn noise(length: usize) -> String {
    let mut bytes = vec![0; length / 2];
    rand::fill(&mut bytes[..]);
    data_encoding::HEXLOWER.encode(&bytes)
}

async fn summary(mut response: Response) -> Result<Summary> {
    ensure!(response.status() == 200, "{}", response.status());
    let (mut bytes, mut checksum) = (0, crc32fast::Hasher::new());
    while let Some(chunk) = response.chunk().await? {
        bytes += chunk.len() as u64;
        checksum.update(&chunk);
    }
    let checksum = checksum.finalize();
    Ok(Summary { bytes, checksum })
}

/// The list as the API server says it.
async fn expected(kubernetes: &ControlPlane) -> Result<Summary> {
    let path = list_path(kubernetes).await?;
    let url = format!("{}{path}", kubernetes.url());
    let said = summary(direct(kubernetes)?.get(url).send().await?).await?;
    ensure!(said.bytes >= LIST, "only {} bytes", said.bytes);
    Ok(said)
}

fn caller(chain: &Chain, version: Version) -> Result<Client> {
    let mut builder = chain.http();
    if version == Version::HTTP_11 {
        builder = builder.http1_only();
    }
    let mut token =
        reqwest::header::HeaderValue::try_from(format!("Bearer {}", chain.access_token.expose()))?;
    token.set_sensitive(true);
    let headers = [(reqwest::header::AUTHORIZATION, token)];
    Ok(builder
        .timeout(DEADLINE)
        .default_headers(headers.into_iter().collect())
        .build()?)
}

/// Opens the list through the chain.
async fn open_list(environment: &Environment, chain: &Chain, version: Version) -> Result<Response> {
    let path = list_path(environment.kubernetes().await?).await?;
    let url = format!("{}{path}", chain.url_by_host());
    let response = caller(chain, version)?.get(url).send().await?;
    ensure!(response.version() == version, "{:?}", response.version());
    Ok(response)
}

/// Fails if a process of the chain ever had too much memory; prints what it had.
async fn must_be_small(chain: Chain, test: &str) -> Result<()> {
    let mut figures = String::new();
    let mut largest = 0;
    let names = ["tunnel-server", "tunnel-client", "proxy-sidecar"];
    for (service, name) in chain.services().zip(names) {
        let peak = service.peak_memory()?;
        figures += &format!(" {name} {:.1} MiB", peak as f64 / 1_048_576.0);
        largest = largest.max(peak);
    }
    println!("peak memory, {test}:{figures}");
    ensure!(largest <= MEMORY, "too much memory:{figures}");
    chain.stop().await
}

async fn list_over_http1(environment: Arc<Environment>) -> Result<()> {
    listed(environment, Version::HTTP_11, "list over HTTP/1.1").await
}

async fn list_over_http2(environment: Arc<Environment>) -> Result<()> {
    listed(environment, Version::HTTP_2, "list over HTTP/2").await
}

async fn listed(environment: Arc<Environment>, version: Version, test: &str) -> Result<()> {
    let chain = environment.chain().await?;
    let expected = expected(environment.kubernetes().await?).await?;
    let got = summary(open_list(&environment, &chain, version).await?).await?;
    ensure!(got == expected, "{got:?} instead of {expected:?}");
    must_be_small(chain, test).await
}

/// What its caller does not take stays with the API server.
async fn list_that_is_not_read(environment: Arc<Environment>) -> Result<()> {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let chain = environment.chain().await?;
        let expected = expected(environment.kubernetes().await?).await?;
        let unread = open_list(&environment, &chain, version).await?;
        many_requests(&chain).await?;
        let got = summary(unread).await?;
        ensure!(got == expected, "{got:?} instead of {expected:?}");
        must_be_small(chain, &format!("list read late over {version:?}")).await?;
    }
    Ok(())
}

async fn upload_over_http1(environment: Arc<Environment>) -> Result<()> {
    uploaded(environment, Version::HTTP_11, "upload over HTTP/1.1").await
}

async fn upload_over_http2(environment: Arc<Environment>) -> Result<()> {
    uploaded(environment, Version::HTTP_2, "upload over HTTP/2").await
}

async fn uploaded(environment: Arc<Environment>, version: Version, test: &str) -> Result<()> {
    let chain = environment.chain().await?;
    let name = format!("uploaded-{version:?}")
        .to_lowercase()
        .replace('/', "-");
    upload(&chain, version, &name).await?;
    must_be_small(chain, test).await
}

/// What the API server does not take stays with its caller.
async fn upload_that_is_not_read(environment: Arc<Environment>) -> Result<()> {
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let upstream = LateReader::start().await?;
        let mut options = environment.options().await?;
        if let Some(api_server) = &mut options.api_server {
            api_server.url = format!("http://{}", upstream.address);
        }
        let chain = environment.chain_with(options).await?;
        let (client, url) = (caller(&chain, version)?, chain.url_by_host());
        let chunk = Bytes::from(noise(64 * 1024));
        let chunks = LIST.div_ceil(chunk.len() as u64);
        let sent = chunks * chunk.len() as u64;
        let chunks = (0..chunks).map(move |_| anyhow::Ok(chunk.clone()));
        let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
        let upload = client.post(format!("{url}/upload")).body(body).send();
        let beside = async {
            upstream.called.notified().await;
            many_requests(&chain).await?;
            upstream.read.notify_one();
            anyhow::Ok(())
        };
        let (answer, ()) = tokio::try_join!(async { Ok(upload.await?) }, beside)?;
        let read = answer.error_for_status()?.text().await?;
        ensure!(read == sent.to_string(), "{read} bytes of {sent} arrived");
        must_be_small(chain, &format!("upload read late over {version:?}")).await?;
    }
    Ok(())
}

/// While a body stands still the rest goes on; when it all was answered, the
/// body has had its time to fill whatever would take it.
async fn many_requests(chain: &Chain) -> Result<()> {
    let (client, url) = (chain.caller()?, chain.url_by_host());
    for _ in 0..BESIDE {
        let get = client.get(format!("{url}/api/v1/namespaces/kube-system"));
        get.send().await?.error_for_status()?;
    }
    Ok(())
}

/// Two of each, in both versions of HTTP, on one link.
async fn lists_and_uploads_at_once(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let kubernetes = environment.kubernetes().await?;
    let expected = expected(kubernetes).await?;
    let versions = [Version::HTTP_11, Version::HTTP_2];
    let lists = try_join_all(versions.map(|version| {
        let (environment, chain) = (&environment, &chain);
        async move { summary(open_list(environment, chain, version).await?).await }
    }));
    let uploads = try_join_all([
        upload(&chain, Version::HTTP_11, "beside-one"),
        upload(&chain, Version::HTTP_2, "beside-two"),
    ]);
    let (lists, _) = tokio::try_join!(lists, uploads)?;
    ensure!(lists.iter().all(|got| *got == expected), "{lists:?}");
    must_be_small(chain, "two lists beside two uploads").await
}

/// Stores an object through the chain and reads it back.
///
/// The API server sends at most 2 MiB to etcd, so the text travels escaped: six
/// bytes for each that is stored.
async fn upload(chain: &Chain, version: Version, name: &str) -> Result<()> {
    let value = noise(UPLOAD / 6);
    let escaped: String = value
        .chars()
        .map(|c| format!("\\u{:04x}", u32::from(c)))
        .collect();
    let body = config_map(name, &escaped);
    ensure!(body.len() > UPLOAD);
    let client = caller(chain, version)?;
    let url = format!(
        "{}/api/v1/namespaces/default/configmaps",
        chain.url_by_host()
    );
    let create = client.post(&url).header(JSON.0, JSON.1);
    let answer = create.body(body).send().await?;
    let (got, status) = (answer.version(), answer.status());
    ensure!(got == version, "{got:?}");
    ensure!(status == 201, "{status}: {:.300}", answer.text().await?);
    let stored = client.get(format!("{url}/{name}")).send().await?;
    let stored: Value = stored.error_for_status()?.json().await?;
    ensure!(
        stored["data"]["value"] == value,
        "another object was stored"
    );
    Ok(())
}
