//! In the API server's place: reads a POST's body only when it is told, and
//! answers with its length.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Runs until it is dropped.
pub(crate) struct LateReader {
    pub(crate) address: SocketAddr,
    /// Told when a POST is there.
    pub(crate) called: Arc<Notify>,
    /// To be told when its body is to be read.
    pub(crate) read: Arc<Notify>,
    _serving: JoinSet<()>,
}

impl LateReader {
    pub(crate) async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (called, read) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let notify = (called.clone(), read.clone());
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let notify = notify.clone();
                let service = service_fn(move |request| late(request, notify.clone()));
                let http = http1::Builder::new();
                connections.spawn(http.serve_connection(TokioIo::new(stream), service));
            }
        });
        Ok(Self {
            address,
            called,
            read,
            _serving: serving,
        })
    }
}

async fn late(
    request: Request<Incoming>,
    (called, read): (Arc<Notify>, Arc<Notify>),
) -> Result<http::Response<Full<Bytes>>, hyper::Error> {
    let mut length = 0;
    if request.method() == Method::POST {
        called.notify_one();
        read.notified().await;
        let mut body = request.into_body();
        while let Some(frame) = body.frame().await {
            length += frame?.data_ref().map_or(0, Bytes::len);
        }
    }
    Ok(http::Response::new(Full::from(length.to_string())))
}
