//! What is open while the configuration changes: both ends of each.

use anyhow::{Result, bail, ensure};
use integration::chain::{Chain, SOON};
use integration::raw_http::{Accepted, Caller, RawUpstream};
use reqwest::{Client, Response};
use tokio::time::timeout;

/// An open watch: both of its ends.
pub(crate) struct Watch {
    caller: Response,
    cluster: Accepted,
}

impl Watch {
    pub(crate) async fn open(
        client: &Client,
        chain: &Chain,
        cluster: &RawUpstream,
    ) -> Result<Self> {
        let url = format!("{}/api/v1/pods?watch=true", chain.url_by_host());
        let call = async { anyhow::Ok(client.get(url).send().await?) };
        let answer = async {
            let (mut connection, _) = cluster.request().await?;
            connection
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            anyhow::Ok(connection)
        };
        let (caller, cluster) = tokio::try_join!(call, answer)?;
        let mut watch = Self { caller, cluster };
        watch.must_be_alive().await?;
        Ok(watch)
    }

    pub(crate) async fn must_be_alive(&mut self) -> Result<()> {
        self.cluster.send("5\r\nevent\r\n").await?;
        let chunk = timeout(SOON, self.caller.chunk()).await??;
        ensure!(chunk.as_deref() == Some(b"event"), "the watch has ended");
        Ok(())
    }

    /// Waits for its end on both sides; the caller must see that it was cut.
    pub(crate) async fn cut(mut self) -> Result<()> {
        match timeout(SOON, self.caller.chunk()).await? {
            Ok(Some(_)) => bail!("an event from nowhere"),
            Ok(None) => bail!("a watch that was cut looks whole"),
            Err(_) => {}
        }
        self.cluster.rest().await.map(drop)
    }
}

/// An upgraded connection: both of its ends.
pub(crate) struct Upgraded {
    caller: Caller,
    cluster: Accepted,
}

impl Upgraded {
    pub(crate) async fn open(chain: &Chain, cluster: &RawUpstream) -> Result<Self> {
        let mut caller = chain.raw_caller().await?;
        let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        caller
            .send(chain.raw_head(false, "GET", "/api/v1/pods?watch=true", lines))
            .await?;
        let (mut connection, _) = cluster.request().await?;
        connection
            .send("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
            .await?;
        ensure!(caller.head().await?.starts_with("HTTP/1.1 101"));
        connection.send("hello").await?;
        ensure!(caller.exactly(5).await? == "hello");
        Ok(Self {
            caller,
            cluster: connection,
        })
    }

    pub(crate) async fn ended(mut self) -> Result<()> {
        self.caller.rest().await?;
        self.cluster.rest().await.map(drop)
    }
}

/// An answer that pours towards a caller who reads nothing of it.
pub(crate) struct Standing {
    _caller: Response,
    cluster: Accepted,
}

impl Standing {
    pub(crate) async fn open(
        client: &Client,
        chain: &Chain,
        cluster: &RawUpstream,
    ) -> Result<Self> {
        let Watch { caller, cluster } = Watch::open(client, chain, cluster).await?;
        Ok(Self {
            _caller: caller,
            cluster,
        })
    }

    /// Pours until the cluster's side is ended.
    pub(crate) async fn poured(mut self) {
        let chunk = [&b"10000\r\n"[..], &[b'x'; 0x10000], b"\r\n"].concat();
        while self.cluster.send(&chunk).await.is_ok() {}
    }
}
