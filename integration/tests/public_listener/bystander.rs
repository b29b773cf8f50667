//! An ordinary caller of an address of its own, who has to be served whatever
//! others do.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, SOON};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Response};
use tokio::time::{sleep, timeout};

/// Where bystanders call from.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);
/// Between two of their requests.
const PAUSE: Duration = Duration::from_millis(50);
/// What they ask for: the API server answers it without looking anything up.
pub(crate) const PATH: &str = "/version";

pub(crate) struct Bystander {
    client: Client,
    url: String,
    watch: Response,
}

impl Bystander {
    /// A caller with a watch open.
    pub(crate) async fn arrives(chain: &Chain) -> Result<Self> {
        let client = caller_from(chain, ADDRESS)?;
        let url = format!("{}{PATH}", chain.url_by_host());
        let watch = format!("{}/api/v1/namespaces?watch=true", chain.url_by_host());
        let watch = client.get(watch).send().await?.error_for_status()?;
        Ok(Self { client, url, watch })
    }

    /// Is answered over the connection it has.
    pub(crate) async fn is_served(&self) -> Result<()> {
        self.client
            .get(&self.url)
            .send()
            .await?
            .error_for_status()?;
        Ok(())
    }

    /// Is answered over a new connection.
    pub(crate) async fn is_let_in(&self, chain: &Chain) -> Result<()> {
        let client = caller_from(chain, ADDRESS)?;
        client.get(&self.url).send().await?.error_for_status()?;
        Ok(())
    }

    /// Does something while both is so, again and again.
    pub(crate) async fn meanwhile<T>(
        &self,
        chain: &Chain,
        does: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let others = async {
            loop {
                let served = async {
                    self.is_served().await?;
                    self.is_let_in(chain).await
                };
                timeout(SOON, served).await.context("a bystander waits")??;
                sleep(PAUSE).await;
            }
        };
        tokio::select! {
            done = does => done,
            failed = others => failed,
        }
    }

    /// Both, and the watch that was open at the start still is.
    pub(crate) async fn leaves(mut self, chain: &Chain) -> Result<()> {
        self.is_served().await?;
        self.is_let_in(chain).await?;
        let first = self.watch.chunk().await?;
        ensure!(first.is_some(), "the watch has ended");
        Ok(())
    }
}

/// The chain's caller, from an address of the loopback network.
pub(crate) fn caller_from(chain: &Chain, from: Ipv4Addr) -> Result<Client> {
    let mut token = HeaderValue::try_from(format!("Bearer {}", chain.access_token.expose()))?;
    token.set_sensitive(true);
    let headers = [(AUTHORIZATION, token)].into_iter().collect();
    let client = chain
        .http()
        .local_address(std::net::IpAddr::from(from))
        .default_headers(headers);
    Ok(client.build()?)
}
