//! The hop from tunnel-client to the sidecar: the same client and bodies as
//! tunnel-client's, over each kind of connection.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Request, Uri};
use http_body_util::BodyExt;
use http_relay::RelayBody;
use http_relay::body::{empty, pass};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{Connect, HttpConnector};
use hyper_util::rt::{TokioIo, TokioTimer};
use service_kit::tasks::{Spawner, Tasks};
use tokio::net::UnixStream;
use tokio::task::JoinSet;
use tunnel_protocol::limits::{CONNECTION_WINDOW, FRAME, STREAM_WINDOW};

use crate::choices::Effort;
use crate::cpu;
use crate::origin::{BULK, BULK_BYTES, Origin, SMALL};
use crate::report::Table;
use crate::rounds::interleaved;
use crate::stats::{Spread, count, ratio};

#[derive(Clone, Copy, Debug)]
enum Case {
    Http1,
    H2c,
    Unix,
}

const CASES: &[Case] = &[Case::Http1, Case::H2c, Case::Unix];

/// Requests at once; 0 is a download.
const LOADS: &[usize] = &[1, 64, 256, 0];

struct Sample {
    requests: u64,
    elapsed: Duration,
    /// Of both ends: this process is nothing else while it runs.
    cpu: Duration,
    /// Connections that were opened.
    opened: u64,
}

pub async fn compare(origin: &Origin, effort: Effort) -> Result<()> {
    println!("### The hop from tunnel-client to the sidecar, both ends in one process\n");
    for load in LOADS {
        let samples = interleaved(effort.rounds, CASES, async |case| {
            case.measure(origin, *load, effort.time).await
        })
        .await?;
        match load {
            0 => println!("**A download of 256 MiB**\n"),
            1 => println!("**A lone small request**\n"),
            load => println!("**{load} small requests at once**\n"),
        }
        println!("{}", table(*load, &samples));
    }
    Ok(())
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Self::Http1 => "HTTP/1.1, TCP",
            Self::H2c => "HTTP/2 without TLS, one connection",
            Self::Unix => "HTTP/1.1, Unix socket",
        }
    }

    async fn measure(self, origin: &Origin, load: usize, time: Duration) -> Result<Sample> {
        let before = origin.accepted();
        let mut sample = self.call(origin, load, time).await?;
        sample.opened = origin.accepted() - before;
        Ok(sample)
    }

    async fn call(self, origin: &Origin, load: usize, time: Duration) -> Result<Sample> {
        let tasks = Tasks::new();
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        match self {
            Self::Http1 => {
                let client = http1(tasks.spawner()).build(tcp);
                run(client, format!("http://{}", origin.plain), load, time).await
            }
            Self::H2c => {
                let mut builder = http1(tasks.spawner());
                builder
                    .http2_only(true)
                    .http2_initial_connection_window_size(CONNECTION_WINDOW)
                    .http2_initial_stream_window_size(STREAM_WINDOW)
                    .http2_max_frame_size(FRAME);
                run(
                    builder.build(tcp),
                    format!("http://{}", origin.h2c),
                    load,
                    time,
                )
                .await
            }
            Self::Unix => {
                let path = Arc::new(origin.unix.clone());
                let connector = tower::service_fn(move |_: Uri| Box::pin(connect(path.clone())));
                let client = http1(tasks.spawner()).build(connector);
                run(client, "http://localhost".into(), load, time).await
            }
        }
    }
}

/// As tunnel-client has it.
fn http1(spawner: Spawner) -> hyper_util::client::legacy::Builder {
    let mut builder = Client::builder(spawner);
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(1024);
    builder
}

async fn connect(path: Arc<PathBuf>) -> std::io::Result<TokioIo<UnixStream>> {
    UnixStream::connect(&*path).await.map(TokioIo::new)
}

async fn run<C>(
    client: Client<C, RelayBody>,
    base: String,
    load: usize,
    time: Duration,
) -> Result<Sample>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let path = if load == 0 { BULK } else { SMALL };
    let uri: Uri = format!("{base}{path}").parse()?;
    let small: Uri = format!("{base}{SMALL}").parse()?;
    // Connects: first one, as early requests over HTTP/2 would open more, and
    // then as many as the load needs.
    get(&client, small.clone()).await?;
    let mut warming = JoinSet::new();
    for _ in 0..load {
        let (client, uri) = (client.clone(), small.clone());
        warming.spawn(async move { get(&client, uri).await });
    }
    while let Some(ended) = warming.join_next().await {
        ended??;
    }
    let own = std::process::id();
    let (before, started) = (cpu::of_process(own)?, Instant::now());
    let mut callers = JoinSet::new();
    for _ in 0..load.max(1) {
        let (client, uri) = (client.clone(), uri.clone());
        callers.spawn(async move {
            let mut requests = 0;
            loop {
                let length = get(&client, uri.clone()).await?;
                requests += 1;
                if load == 0 {
                    ensure!(length == BULK_BYTES, "the download was cut");
                    return Ok(requests);
                }
                if started.elapsed() >= time {
                    return anyhow::Ok(requests);
                }
            }
        });
    }
    let mut requests = 0;
    while let Some(ended) = callers.join_next().await {
        requests += ended??;
    }
    Ok(Sample {
        requests,
        elapsed: started.elapsed(),
        cpu: cpu::of_process(own)? - before,
        opened: 0,
    })
}

async fn get<C>(client: &Client<C, RelayBody>, uri: Uri) -> Result<u64>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let mut request = Request::new(empty());
    *request.uri_mut() = uri;
    for (name, value) in [
        (HOST, "localhost"),
        (USER_AGENT, "kubectl/v1.34.0 (linux/amd64)"),
        (ACCEPT, "application/json, */*"),
        (
            HeaderName::from_static("culvert-request-id"),
            "0123456789abcdef0123456789abcdef",
        ),
        (HeaderName::from_static("x-forwarded-for"), "127.0.0.1"),
        (HeaderName::from_static("x-forwarded-proto"), "https"),
    ] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    let mut body = pass(client.request(request).await?.into_body());
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, bytes::Bytes::len) as u64;
    }
    Ok(length)
}

fn table(load: usize, samples: &[Vec<Sample>]) -> Table {
    let bulk = load == 0;
    let mut table = Table::new(if bulk {
        ["", "Gbit/s", "of today's", "CPU ms/GiB", "connections"]
    } else {
        [
            "",
            "requests/s",
            "of today's",
            "CPU µs/request",
            "connections",
        ]
    });
    let rate = |sample: &Sample| {
        let rate = sample.requests as f64 / sample.elapsed.as_secs_f64();
        if bulk {
            rate * BULK_BYTES as f64 * 8e-9
        } else {
            rate
        }
    };
    for (case, own) in CASES.iter().zip(samples) {
        let cpu = own.iter().map(|sample| {
            let seconds = sample.cpu.as_secs_f64() / sample.requests as f64;
            if bulk {
                seconds * 1e3 * (1 << 30) as f64 / BULK_BYTES as f64
            } else {
                seconds * 1e6
            }
        });
        let of_first = own.iter().zip(&samples[0]).map(|(a, b)| rate(a) / rate(b));
        table.row([
            case.name().to_owned(),
            Spread::of(own.iter().map(rate)).show(count),
            ratio(Spread::of(of_first).median),
            format!("{:.0}", Spread::of(cpu).median),
            count(Spread::of(own.iter().map(|sample| sample.opened as f64)).median),
        ]);
    }
    table
}
