//! What these tests start with: a chain whose tunnel-client they start themselves.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration::answering::Answering;
use integration::chain::{Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::replica::{Replica, links};
use integration::wait::until;

/// A second after a server is ready, and the chain's jitter; five times that on a
/// loaded machine.
pub(crate) const BACK: Duration = Duration::from_millis(5 * (1_000 + 250));

/// A chain whose upstream answers every request at once.
pub(crate) struct Stage {
    pub(crate) chain: Chain,
    _upstream: Answering,
}

impl Stage {
    /// `arguments` are the server's.
    pub(crate) async fn set(environment: &Environment, arguments: &[&str]) -> Result<Self> {
        let upstream = Answering::start().await?;
        let options = ChainOptions {
            upstream: Some(upstream.address),
            server_arguments: arguments.iter().map(ToString::to_string).collect(),
            ..ChainOptions::bare()
        };
        let chain = environment.chain_with(options).await?;
        Ok(Self {
            chain,
            _upstream: upstream,
        })
    }

    /// Another tunnel-client in the place of the chain's: it dials `servers`.
    pub(crate) async fn client(&mut self, servers: &str, arguments: &[&str]) -> Result<()> {
        self.chain.restart_client_to(servers, arguments).await
    }

    /// The URL of the chain's own server, as tunnel-client dials it.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.chain.server_address.port())
    }

    /// Waits until both servers have so many links.
    pub(crate) async fn links(&self, other: &Replica, wanted: (usize, usize)) -> Result<()> {
        let what = format!("{wanted:?} links");
        until(&what, SOON, || async {
            let there = (links(&self.chain.server).await?, other.links().await?);
            Ok((there == wanted).then_some(()))
        })
        .await
    }

    /// Waits until each of these servers has a link.
    pub(crate) async fn client_links(&self, servers: &[&Replica]) -> Result<()> {
        for server in servers {
            until("a link", SOON, || async {
                Ok((server.links().await? == 1).then_some(()))
            })
            .await?;
        }
        Ok(())
    }

    /// A call by way of one of the servers.
    pub(crate) async fn call(&self, server: SocketAddr) -> Result<()> {
        let url = format!("https://{}:{}/version", self.chain.host(), server.port());
        let client = self.chain.http().resolve(&self.chain.host(), server);
        let token = self.chain.access_token.expose();
        let answer = client.build()?.get(url).bearer_auth(token).send().await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        Ok(())
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.chain.stop().await
    }
}
