//! What the pod's two processes hold in memory: idle, under what a platform keeps
//! open, and while that carries bytes.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::caller::Streams;
use crate::connector::Connector;
use crate::node::Process;
use crate::payload::{Payload, read_payload};
use crate::server::{BASE_DOMAIN, PORT};
use crate::stage::{SOON, Set, Stage};
use crate::workload::{Workload, echo_until};

const WATCHES: usize = 100;
const SESSIONS: usize = 10;
/// What each session carries there and back.
const CARRIED: u64 = 10 << 20;
/// What is said once all sessions' bytes are read.
const READ: &str = "read";
/// Half of the smaller of the manifest's limits, KiB.
const ENOUGH: u64 = 64 << 10;

pub(crate) async fn memory_stays_far_below_the_limit(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let connector = Connector::install(set, "measured", Connector::MIGHTY).await?;
    let shell = Workload::idle(set, "measured").await?;
    let processes = [
        Process::of(&connector, set, "tunnel-client").await?,
        Process::of(&connector, set, "proxy-sidecar").await?,
    ];
    measure(set, &processes, "idle").await?;
    let watches = watch(&connector, set).await?;
    let sessions = open_sessions(&connector, set).await?;
    let open = format!(
        "{} watches and {} exec sessions",
        watches.len(),
        sessions.len()
    );
    measure(set, &processes, &open).await?;
    let mut carrying = JoinSet::new();
    for session in sessions {
        carrying.spawn(session.carry());
    }
    let mut carried = Vec::new();
    while let Some(session) = carrying.join_next().await {
        carried.push(session??);
    }
    shell.say(set, READ).await?;
    for session in carried {
        session.end().await?;
    }
    let mebibytes = CARRIED >> 20;
    let carried = format!("{open}, which carried {mebibytes} MiB each there and back");
    measure(set, &processes, &carried).await?;
    drop(watches);
    shell.remove(set).await?;
    connector.remove(set).await
}

async fn measure(set: &Set, processes: &[Process], under: &str) -> Result<()> {
    for process in processes {
        let (now, peak) = (
            process.kib(set, "VmRSS").await?,
            process.kib(set, "VmHWM").await?,
        );
        let program = process.program;
        println!("{program}: {now} KiB, at most {peak} KiB: {under}");
        ensure!(peak < ENOUGH, "{program} had {peak} KiB: {under}");
    }
    Ok(())
}

/// Each has seen the pod that is there, and stays open.
async fn watch(connector: &Connector, set: &Set) -> Result<Vec<reqwest::Response>> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(set.server.ca_file())?)?;
    let client = reqwest::Client::builder()
        .proxy(reqwest::Proxy::all(set.connect_proxy())?)
        .tls_certs_only([ca])
        .build()?;
    let name = &connector.name;
    let path = "api/v1/namespaces/measured/pods?watch=true";
    let url = format!("https://{name}.{BASE_DOMAIN}:{PORT}/{path}");
    let mut open = Vec::new();
    for _ in 0..WATCHES {
        let mut watch = client
            .get(&url)
            .bearer_auth(connector.access_token.expose())
            .send()
            .await?
            .error_for_status()?;
        let event = timeout(SOON, watch.chunk()).await.context("no event")??;
        ensure!(event.is_some(), "a watch has ended");
        open.push(watch);
    }
    Ok(open)
}

/// An echo in the workload, by `kubectl exec`.
struct Session {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

async fn open_sessions(connector: &Connector, set: &Set) -> Result<Vec<Session>> {
    let caller = connector.caller(set)?;
    let script = echo_until(READ);
    let namespace = "--namespace=measured";
    let exec = ["exec", namespace, "-i", "shell", "--", "sh", "-c", &script];
    let mut sessions = Vec::new();
    for streams in Streams::BOTH.into_iter().cycle().take(SESSIONS) {
        let mut child = caller
            .command_over(streams, &exec)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut stdin = child.stdin.take().context("stdin")?;
        let mut stdout = child.stdout.take().context("stdout")?;
        stdin.write_all(b"!").await?;
        let byte = timeout(SOON, stdout.read_u8()).await.context("no echo")??;
        ensure!(byte == b'!', "{byte}");
        sessions.push(Session {
            child,
            stdin,
            stdout,
        });
    }
    Ok(sessions)
}

impl Session {
    /// Sends, and reads as much.
    async fn carry(self) -> Result<Carried> {
        let Self {
            child,
            mut stdin,
            mut stdout,
        } = self;
        let send = async move {
            let sent = Payload::new(CARRIED).write_to(&mut stdin).await?;
            // Tells `cat` that this is all.
            drop(stdin);
            Ok(sent)
        };
        let receive = read_payload((&mut stdout).take(CARRIED));
        let (sent, received) = tokio::try_join!(send, receive)?;
        ensure!(sent == received, "{sent:?}, {received:?}");
        Ok(Carried { child, stdout })
    }
}

/// A session of which all has come.
struct Carried {
    child: Child,
    stdout: ChildStdout,
}

impl Carried {
    async fn end(mut self) -> Result<()> {
        let more = read_payload(self.stdout).await?;
        ensure!(more.bytes == 0, "{more:?} more than was sent");
        let status = self.child.wait().await?;
        ensure!(status.success(), "{status}");
        Ok(())
    }
}
