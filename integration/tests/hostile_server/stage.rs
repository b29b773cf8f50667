//! A chain whose server is taken over by the test, on its port and with its key,
//! and given back in the end.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::replica::links;
use integration::wait::until;
use tokio::time::{sleep, timeout};

use crate::server::Server;
use crate::sidecar::{ANSWER, Sidecar};

/// What a hostile server may make the connector grow by in any of these tests,
/// bytes: a link's streams, each with a connection to the sidecar, some headers
/// and what of its body the sidecar has not taken.
const GROWTH: u64 = 128 * 1024 * 1024;
/// What the connector may log at its most talkative, bytes.
const LOG: usize = 64 << 20;
/// How long is looked whether it spins.
const LOOK: Duration = Duration::from_millis(500);

pub(crate) struct Stage {
    pub(crate) chain: Chain,
    pub(crate) sidecar: Sidecar,
    pub(crate) server: Option<Server>,
    grown_from: u64,
}

impl Stage {
    pub(crate) async fn set(environment: &Environment) -> Result<Self> {
        let sidecar = Sidecar::start().await?;
        let options = ChainOptions {
            upstream: Some(sidecar.address),
            ..ChainOptions::bare()
        };
        let mut chain = environment.chain_with(options).await?;
        chain.server.kill()?;
        let server = Server::take_over(&chain).await?;
        let grown_from = chain.client.resident_memory()?;
        Ok(Self {
            chain,
            sidecar,
            server: Some(server),
            grown_from,
        })
    }

    pub(crate) fn server(&self) -> Result<&Server> {
        self.server
            .as_ref()
            .context("the server has been given back")
    }

    /// The connector's process answers, whatever its link does.
    pub(crate) async fn connector_lives(&self) -> Result<()> {
        let page = timeout(SOON, self.chain.client.admin_page("/livez"));
        let (status, text) = page
            .await
            .context("the connector hangs")?
            .context("it has ended")?;
        ensure!(status == 200, "{status} {text}");
        Ok(())
    }

    /// What has to hold in the end of each test: the good server is back.
    pub(crate) async fn end(mut self) -> Result<()> {
        self.connector_lives().await?;
        drop(self.server.take());
        self.chain.restart_server().await?;
        // There may be several: many streams at once are a load.
        until("a link", SOON, || async {
            Ok((links(&self.chain.server).await? > 0).then_some(()))
        })
        .await?;
        let answer = self
            .chain
            .caller()?
            .get(format!("{}/after", self.chain.url_by_host()));
        let text = timeout(SOON, answer.send()).await??.text().await?;
        ensure!(text == ANSWER, "{text}");
        self.sidecar.only_plain_requests()?;

        let client = &self.chain.client;
        let before = client.processor_time()?;
        sleep(LOOK).await;
        let spent = client.processor_time()? - before;
        ensure!(spent < LOOK / 2, "it spins: {spent:?} of {LOOK:?}");
        let grown = client.peak_memory()?.saturating_sub(self.grown_from);
        println!("the connector grew by {} KiB at most", grown / 1024);
        ensure!(grown < GROWTH, "the connector grew by {grown} bytes");
        let log = std::fs::read_to_string(client.log())?;
        println!("it logged {} KiB", log.len() / 1024);
        ensure!(
            log.len() < LOG,
            "the server fills the log: {} bytes",
            log.len()
        );
        client.must_not_have_panicked()?;
        self.chain.stop().await
    }
}
