//! How the end of one side reaches the other.

use std::convert::Infallible;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use service_kit::tasks::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::ends::settle;
use super::{Carrier, Stream, far_settings, near_settings};

/// What happens to one end, after it has sent a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abort {
    /// The far end's task is dropped, as at a panic or a broken peer.
    FarDropped,
    /// The near end's.
    NearDropped,
    /// The far end is done sending; it still receives.
    FarHalfClosed,
}

impl Abort {
    pub const ALL: [Self; 3] = [Self::FarDropped, Self::NearDropped, Self::FarHalfClosed];

    pub fn name(self) -> &'static str {
        match self {
            Self::FarDropped => "the far end's task is dropped",
            Self::NearDropped => "the near end's task is dropped",
            Self::FarHalfClosed => "the far end has sent all",
        }
    }
}

/// What the other end sees.
pub async fn observe(carrier: Carrier, abort: Abort) -> Result<&'static str> {
    let tasks = Tasks::new();
    let (near_io, far_io) = tokio::io::duplex(1 << 16);
    let (accepted, mut streams) = mpsc::channel::<Stream>(1);
    let service = service_fn(move |request| {
        let accepted = accepted.clone();
        async move {
            let Some((response, stream)) = Stream::accept(request) else {
                return Ok(hyper::Response::new(http_relay::body::empty()));
            };
            drop(accepted.send(stream).await);
            Ok::<_, Infallible>(response)
        }
    });
    let far = far_settings(tasks.spawner()).serve_connection(TokioIo::new(far_io), service);
    tasks.spawner().spawn(async move { drop(far.await) });
    let (mut sender, driver) = near_settings(tasks.spawner())
        .handshake(TokioIo::new(near_io))
        .await?;
    tasks.spawner().spawn(async move { drop(driver.await) });
    settle(&mut sender).await?;

    let (near, far) = tokio::join!(Stream::open(sender, carrier), streams.recv());
    let (near, far) = (near?, far.context("no stream")?);
    match abort {
        Abort::FarDropped => {
            send_one(far).await?;
            read_to_end(near).await
        }
        Abort::NearDropped => {
            send_one(near).await?;
            read_to_end(far).await
        }
        Abort::FarHalfClosed => half_close(far, near).await,
    }
}

async fn send_one(stream: Stream) -> Result<()> {
    match stream {
        Stream::Bodies(_incoming, writer) => writer.send(Bytes::from_static(b"x")).await?,
        upgraded => {
            let mut io = upgraded.upgraded().await?;
            io.write_all(b"x").await?;
            io.flush().await?;
        }
    }
    Ok(())
}

async fn read_to_end(stream: Stream) -> Result<&'static str> {
    let clean = match stream {
        Stream::Bodies(incoming, _writer) => incoming.collect().await.is_ok(),
        upgraded => {
            let mut io = upgraded.upgraded().await?;
            io.read_to_end(&mut Vec::new()).await.is_ok()
        }
    };
    Ok(if clean { "a clean end" } else { "an error" })
}

async fn half_close(far: Stream, near: Stream) -> Result<&'static str> {
    let got = match (far, near) {
        (Stream::Bodies(incoming, writer), Stream::Bodies(near_incoming, near_writer)) => {
            writer.finish().await?;
            near_incoming.collect().await?;
            near_writer.send(Bytes::from_static(b"late")).await?;
            near_writer.finish().await?;
            incoming.collect().await?.to_bytes()
        }
        (far, near) => {
            let (mut far, mut near) = (far.upgraded().await?, near.upgraded().await?);
            far.shutdown().await?;
            let mut text = Vec::new();
            near.read_to_end(&mut text).await?;
            near.write_all(b"late").await?;
            near.shutdown().await?;
            far.read_to_end(&mut text).await?;
            text.into()
        }
    };
    Ok(if got == "late" {
        "a clean end, and can still send"
    } else {
        "a clean end, and what it sends is lost"
    })
}
