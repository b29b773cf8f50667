//! A stand-in for an API server: answers from memory, on every kind of
//! connection that a measurement needs.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use anyhow::Result;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use http_relay::body::full;
use http_relay::{RelayBody, RelayError};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use service_kit::tasks::Spawner;
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tunnel_protocol::limits::{CONNECTION_WINDOW, FRAME, MAX_STREAMS, STREAM_WINDOW};

use crate::certificate::Certificate;
use crate::lane::Lane;

/// A small object.
pub const SMALL: &str = "/api/v1/namespaces/default/configmaps/small";
/// [`BULK_BYTES`] of data.
pub const BULK: &str = "/api/v1/bulk";
/// One event, then silence.
pub const WATCH: &str = "/api/v1/configmaps?watch=true";

/// A body that takes a few tenths of a second.
pub const BULK_BYTES: u64 = 256 * 1024 * 1024;
const CHUNK: usize = 64 * 1024;
/// As a small Kubernetes object.
pub const SMALL_BYTES: usize = 1024;

/// As many as an API server sends.
pub const HEADERS: [(&str, &str); 4] = [
    ("audit-id", "1d9f3a5c-6d2b-4a86-9f0e-9a3f1b2c4d5e"),
    ("cache-control", "no-cache, private"),
    (
        "x-kubernetes-pf-flowschema-uid",
        "a6f1c9c4-2f0b-4e27-8b7c-02f8a7d6a0b1",
    ),
    (
        "x-kubernetes-pf-prioritylevel-uid",
        "5b1f6f0e-0f0e-4b86-8d3b-6d0a5c4c1d2e",
    ),
];

/// A running origin.
#[derive(Debug)]
pub struct Origin {
    /// HTTP/1.1.
    pub plain: SocketAddr,
    /// HTTP/2 without TLS.
    pub h2c: SocketAddr,
    /// HTTP/1.1 or HTTP/2, by ALPN.
    pub tls: SocketAddr,
    /// HTTP/1.1 on a Unix socket.
    pub unix: PathBuf,
    pub certificate: Certificate,
    accepted: Arc<AtomicU64>,
    _lane: Lane,
}

impl Origin {
    pub async fn start(folder: &Path) -> Result<Self> {
        Self::with_streams(folder, MAX_STREAMS).await
    }

    /// That many streams at once on each of its HTTP/2 connections over TLS.
    pub async fn with_streams(folder: &Path, streams: u32) -> Result<Self> {
        let certificate = Certificate::make(folder)?;
        let unix = folder.join("origin.sock");
        let (path, tls) = (
            unix.clone(),
            certificate.server(&[b"h2".as_slice(), b"http/1.1".as_slice()])?,
        );
        let accepted = Arc::<AtomicU64>::default();
        let count = accepted.clone();
        let (lane, (plain, h2c, tls)) = Lane::start("origin", move |spawner| async move {
            let plain = listen(&spawner, &count, Speaks::Http1).await?;
            let h2c = listen(&spawner, &count, Speaks::Http2).await?;
            let tls = Speaks::Tls(TlsAcceptor::from(tls), streams);
            let tls = listen(&spawner, &count, tls).await?;
            listen_unix(&spawner, &count, &path)?;
            Ok((plain, h2c, tls))
        })
        .await?;
        Ok(Self {
            plain,
            h2c,
            tls,
            unix,
            certificate,
            accepted,
            _lane: lane,
        })
    }

    /// Connections that were opened to it so far, of every kind.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
enum Speaks {
    Http1,
    Http2,
    Tls(TlsAcceptor, u32),
}

async fn listen(
    spawner: &Spawner,
    accepted: &Arc<AtomicU64>,
    speaks: Speaks,
) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (connections, accepted) = (spawner.clone(), accepted.clone());
    spawner.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::Relaxed);
            drop(stream.set_nodelay(true));
            let (speaks, spawner) = (speaks.clone(), connections.clone());
            connections.spawn(async move {
                match speaks {
                    Speaks::Http1 => serve_http1(stream).await,
                    Speaks::Http2 => serve_http2(stream, spawner, MAX_STREAMS).await,
                    Speaks::Tls(acceptor, streams) => {
                        let Ok(stream) = acceptor.accept(stream).await else {
                            return;
                        };
                        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                            serve_http2(stream, spawner, streams).await;
                        } else {
                            serve_http1(stream).await;
                        }
                    }
                }
            });
        }
    });
    Ok(address)
}

fn listen_unix(spawner: &Spawner, accepted: &Arc<AtomicU64>, path: &Path) -> Result<()> {
    let listener = UnixListener::bind(path)?;
    let (connections, accepted) = (spawner.clone(), accepted.clone());
    spawner.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            accepted.fetch_add(1, Ordering::Relaxed);
            connections.spawn(serve_http1(stream));
        }
    });
    Ok(())
}

async fn serve_http1<I>(io: I)
where
    TokioIo<I>: Read + Write + Unpin,
{
    // A caller that goes away is a measurement's end.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(io), service_fn(answer))
            .await,
    );
}

async fn serve_http2<I>(io: I, spawner: Spawner, streams: u32)
where
    TokioIo<I>: Read + Write + Unpin,
{
    let served = http2::Builder::new(spawner)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_frame_size(FRAME)
        .max_concurrent_streams(streams)
        .serve_connection(TokioIo::new(io), service_fn(answer))
        .await;
    drop(served);
}

async fn answer(request: Request<Incoming>) -> Result<Response<RelayBody>, Infallible> {
    let path = request.uri().path();
    let body = if path == BULK {
        Repeated::bytes(BULK_BYTES).boxed_unsync()
    } else if request.uri().query() == Some("watch=true") {
        Silent(Some(Bytes::from_static(b"{\"type\":\"ADDED\"}\n"))).boxed_unsync()
    } else {
        full(Bytes::from_static(&[b'x'; SMALL_BYTES]))
    };
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, value) in HEADERS {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    Ok(response)
}

/// The same chunk until a length is reached.
struct Repeated {
    chunk: Bytes,
    left: u64,
}

impl Repeated {
    fn bytes(left: u64) -> Self {
        Self {
            chunk: Bytes::from_static(&[b'x'; CHUNK]),
            left,
        }
    }
}

impl Body for Repeated {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let length = CHUNK.min(usize::try_from(self.left).unwrap_or(CHUNK));
        self.left -= length as u64;
        Poll::Ready(Some(Ok(Frame::data(self.chunk.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// One chunk, then nothing, without an end.
struct Silent(Option<Bytes>);

impl Body for Silent {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        self.0.take().map_or(Poll::Pending, |data| {
            Poll::Ready(Some(Ok(Frame::data(data))))
        })
    }
}
