//! Two clusters that the test plays, behind one server.

use anyhow::{Context, Result, bail, ensure};
use integration::chain::{Chain, ChainOptions};
use integration::environment::Environment;
use integration::neighbour;
use integration::raw_http::{Caller, RawUpstream};
use integration::server_config::no_limits;
use integration::service::Service;
use serde_json::Value;

/// Ends each of the tests' requests: nothing more comes on its connection.
pub(crate) const CLOSE: &str = "Connection: close\r\n";

pub(crate) struct Stage {
    pub(crate) chain: Chain,
    /// Where the chain's cluster ends: `prod`.
    pub(crate) prod: RawUpstream,
    pub(crate) other: RawUpstream,
    _other_client: Service,
}

/// What the server itself answered.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Stage {
    pub(crate) async fn start(environment: &Environment) -> Result<Self> {
        let (prod, other) = (RawUpstream::bind().await?, RawUpstream::bind().await?);
        let options = ChainOptions {
            upstream: Some(prod.address),
            // What is refused here comes all from one address.
            limits: Some(no_limits()),
            ..ChainOptions::bare()
        };
        let mut chain = environment.chain_with(options).await?;
        let other_client = neighbour::join(environment, &mut chain, other.address).await?;
        Ok(Self {
            chain,
            prod,
            other,
            _other_client: other_client,
        })
    }

    pub(crate) fn authorization(&self) -> String {
        format!(
            "Authorization: Bearer {}\r\n",
            self.chain.access_token.expose()
        )
    }

    /// A request for that Host with the caller's token.
    pub(crate) fn head(&self, start: &str, host: &str) -> String {
        format!(
            "{start} HTTP/1.1\r\nHost: {host}\r\n{}{CLOSE}\r\n",
            self.authorization()
        )
    }

    /// What a cluster sees of a request; answered with 200.
    pub(crate) async fn seen(&self, cluster: &RawUpstream, request: &str) -> Result<String> {
        let mut caller = self.chain.raw_caller().await?;
        caller.send(request).await?;
        let (mut accepted, head) = tokio::select! {
            answer = caller.head() => bail!("{} did not reach the cluster: {}", shown(request), answer?),
            seen = cluster.request() => seen?,
        };
        accepted
            .send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{CLOSE}\r\n"
            ))
            .await?;
        let answer = caller.head().await?;
        ensure!(
            answer.starts_with("HTTP/1.1 200 "),
            "{}: {answer}",
            shown(request)
        );
        Ok(head)
    }

    /// How the server refuses a request.
    pub(crate) async fn refusal(&self, request: &str) -> Result<Refusal> {
        let mut caller = self.chain.raw_caller().await?;
        caller.send(request).await?;
        refusal(&mut caller).await.with_context(|| shown(request))
    }

    /// Fails unless both clusters were asked for nothing since.
    pub(crate) async fn nothing_arrived(&self) -> Result<()> {
        for (cluster, host) in [
            (&self.prod, self.chain.host()),
            (&self.other, neighbour::host()),
        ] {
            let seen = self.seen(cluster, &self.head("GET /last", &host)).await?;
            ensure!(seen.starts_with("GET /last HTTP/1.1\r\n"), "{seen}");
        }
        Ok(())
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.chain.stop().await
    }
}

async fn refusal(caller: &mut Caller) -> Result<Refusal> {
    let head = caller.head().await?;
    let length = value(&head, "content-length").unwrap_or("0").parse()?;
    let body = caller.exactly(length).await?;
    let status: Value = serde_json::from_str(&body).unwrap_or_default();
    Ok(Refusal {
        status: head.split(' ').nth(1).context("no status")?.parse()?,
        code: value(&head, "culvert-error").unwrap_or_default().to_owned(),
        message: status["message"].as_str().unwrap_or_default().to_owned(),
    })
}

/// The one value of a header in a message's head.
pub(crate) fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

/// A request as a failing test may print it.
pub(crate) fn shown(request: &str) -> String {
    request
        .lines()
        .filter(|line| !line.starts_with("Authorization: "))
        .collect::<Vec<_>>()
        .join(" | ")
}

/// A head without what differs from request to request.
pub(crate) fn without_id(head: &str) -> String {
    head.split_inclusive("\r\n")
        .filter(|line| !line.to_lowercase().starts_with("culvert-request-id: "))
        .collect()
}
