//! A chain in front of the stub, and what its processes tell.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::chain::{ApiServer, Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::server_config::no_limits;
use integration::service::Service;
use integration::wait::until;
use serde_json::Value;
use tokio::sync::watch;

use crate::stub::Stub;

/// Until so many megabytes have filled every window, and 5 s have passed: 10 s
/// when the machine is idle.
const STALLS: Duration = Duration::from_secs(60);

pub(crate) struct Stage {
    pub(crate) chain: Chain,
    pub(crate) stub: Stub,
}

/// What stands between tunnel-client and the stub.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Between {
    Nothing,
    Sidecar,
}

impl Stage {
    pub(crate) async fn set(environment: &Environment) -> Result<Self> {
        Self::set_with(environment, &[], &[]).await
    }

    /// With these arguments of the server's and the client's.
    pub(crate) async fn set_with(
        environment: &Environment,
        server: &[&str],
        client: &[&str],
    ) -> Result<Self> {
        let owned = |arguments: &[&str]| arguments.iter().map(|one| (*one).to_owned()).collect();
        let options = ChainOptions {
            server_arguments: owned(server),
            client_arguments: owned(client),
            ..ChainOptions::bare()
        };
        Self::start(environment, options, Between::Nothing).await
    }

    pub(crate) async fn set_behind(environment: &Environment, between: Between) -> Result<Self> {
        Self::start(environment, ChainOptions::bare(), between).await
    }

    async fn start(
        environment: &Environment,
        mut options: ChainOptions,
        between: Between,
    ) -> Result<Self> {
        // The settings of one link: no other one takes over from it.
        let one = ["--max-links", "1"].map(str::to_owned);
        options.client_arguments.extend(one);
        let stub = Stub::start().await?;
        match between {
            Between::Nothing => options.upstream = Some(stub.address),
            Between::Sidecar => {
                options.api_server = Some(ApiServer {
                    url: format!("http://{}", stub.address),
                    ..environment.api_server().await?
                });
            }
        }
        let chain = environment.chain_with(options).await?;
        Ok(Self { chain, stub })
    }

    /// Lets a single caller do as much as it likes.
    pub(crate) async fn without_limits(&mut self) -> Result<()> {
        self.chain.config.limits = Some(no_limits());
        self.chain.write_config()?;
        until("a reload", SOON, || async {
            let lines = self.chain.server.log_lines();
            let taken = |line: &Value| line["message"] == "configuration taken over";
            Ok(lines.iter().any(taken).then_some(()))
        })
        .await
    }

    /// Ends it. The link must be the one that was there at the start.
    pub(crate) async fn strike(self) -> Result<()> {
        self.link_is_the_first().await?;
        self.chain.stop().await
    }

    pub(crate) async fn link_is_the_first(&self) -> Result<()> {
        let name = "tunnel_client_attempts_total{outcome=\"linked\"}";
        let links = self.chain.client.metric(name).await?;
        ensure!(links == Some(1.0), "the link was lost: {links:?} links");
        Ok(())
    }
}

/// Waits until a process says so.
pub(crate) async fn tells(service: &Service, metric: &str, value: f64) -> Result<()> {
    tells_within(STALLS, service, metric, value).await
}

pub(crate) async fn tells_within(
    within: Duration,
    service: &Service,
    metric: &str,
    value: f64,
) -> Result<()> {
    let (last, mut seen) = watch::channel(f64::NAN);
    let happened = until(metric, within, || async {
        let now = told(service, metric).await?;
        last.send_replace(now);
        Ok((now == value).then_some(()))
    });
    let happened = happened.await;
    happened.with_context(|| format!("{} instead of {value}", *seen.borrow_and_update()))
}

pub(crate) async fn told(service: &Service, metric: &str) -> Result<f64> {
    let told = service.metric(metric).await?;
    told.with_context(|| format!("no {metric}"))
}
