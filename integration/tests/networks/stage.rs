//! A chain whose tunnel-client is in a network of its own.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use integration::answering::{ANSWER, Answering};
use integration::binaries::culvert;
use integration::chain::{BASE_DOMAIN, Chain, ChainOptions, client_arguments};
use integration::environment::Environment;
use integration::network::Network;
use integration::service::Service;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Who measures what a network carries is alone.
static TURNS: RwLock<()> = RwLock::const_new(());

enum Turn {
    Together(#[expect(dead_code, reason = "held")] RwLockReadGuard<'static, ()>),
    Alone(#[expect(dead_code, reason = "held")] RwLockWriteGuard<'static, ()>),
}

pub(crate) struct Stage {
    // In this order: the process ends before its network.
    pub(crate) chain: Chain,
    /// tunnel-client's, with what starts it in its network.
    client: Vec<String>,
    pub(crate) network: Network,
    _upstream: Answering,
    _turn: Turn,
}

impl Stage {
    pub(crate) async fn set(environment: &Environment) -> Result<Self> {
        Self::set_in(Turn::Together(TURNS.read().await), environment).await
    }

    pub(crate) async fn set_alone(environment: &Environment) -> Result<Self> {
        Self::set_in(Turn::Alone(TURNS.write().await), environment).await
    }

    async fn set_in(turn: Turn, environment: &Environment) -> Result<Self> {
        let network = Network::new().await?;
        let upstream = Answering::start_on(network.listen_there()?)?;
        let options = ChainOptions {
            upstream: Some(upstream.address),
            // Reached over the cable, too. From the start: a port that is free at the
            // loopback address may not be so at all of them.
            listen: Ipv4Addr::UNSPECIFIED,
            ..ChainOptions::bare()
        };
        let mut chain = environment.chain_with(options).await?;
        chain.client.kill()?;
        chain.links(0).await?;
        let port = chain.server_address.port();
        network.hosts(&format!("{} {BASE_DOMAIN}\n", network.here))?;

        let mut arguments = client_arguments(chain.server_address, upstream.address);
        for (flag, value) in [
            ("--server", format!("https://{BASE_DOMAIN}:{port}")),
            ("--admin-address", format!("{}:0", network.there)),
        ] {
            let at = arguments.iter().position(|argument| argument == flag);
            let given = at.and_then(|at| arguments.get_mut(at + 1));
            *given.with_context(|| format!("no {flag}"))? = value;
        }
        let [starter, starters @ ..] = network.starter();
        let program = culvert("tunnel-client")?.display().to_string();
        let starters = starters.into_iter().map(str::to_owned);
        let client: Vec<_> = starters.chain([program]).chain(arguments).collect();
        start(&mut chain, starter, &client).await?;
        let stage = Self {
            chain,
            client,
            network,
            _upstream: upstream,
            _turn: turn,
        };
        stage.chain.linked().await?;
        stage.call().await?;
        Ok(stage)
    }

    /// Ends tunnel-client. The server is to be told: before its network changes.
    pub(crate) async fn end_client(&mut self) -> Result<()> {
        self.chain.client.kill()?;
        self.chain.links(0).await
    }

    /// tunnel-client anew.
    pub(crate) async fn start_client(&mut self) -> Result<()> {
        let [starter, ..] = self.network.starter();
        start(&mut self.chain, starter, &self.client).await
    }

    /// A match of the link's packets, as they leave tunnel-client and as they come.
    pub(crate) fn link(&self) -> [String; 2] {
        let port = self.chain.server_address.port();
        [
            format!("OUTPUT -p tcp --dport {port}"),
            format!("INPUT -p tcp --sport {port}"),
        ]
    }

    pub(crate) async fn call(&self) -> Result<()> {
        let answer = self.chain.caller()?.get(self.chain.url_by_host());
        let answer = answer.send().await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        ensure!(answer.text().await? == ANSWER);
        Ok(())
    }
}

async fn start(chain: &mut Chain, starter: &str, arguments: &[String]) -> Result<()> {
    let folder = chain.folder().to_owned();
    chain.client = Service::start_binary(
        chain.spawner(),
        "tunnel-client",
        Path::new(starter),
        "trace",
        arguments,
        &folder,
    )
    .await?;
    Ok(())
}
