//! The two ends of the link, each on a thread of its own, TLS between them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use http::{Method, Request, Response};
use http_relay::RelayBody;
use http_relay::body::{empty, pass};
use http_relay::body_channel::{self, BodyWriter};
use http_relay::splice::{SpliceMeters, SpliceStalls, splice};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use hyper::ext::Protocol;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, ServerConfig};
use rustls_pki_types::ServerName;
use service_kit::tasks::Spawner;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::{Carrier, far_settings, near_settings};
use crate::certificate::Certificate;
use crate::cpu;
use crate::lane::Lane;

/// As the product's splice.
const BUFFER: usize = 16 * 1024;

/// A way to the peer.
#[derive(Debug)]
pub struct Route {
    /// Where callers connect.
    pub entry: SocketAddr,
    /// Far, then near, so that the near end goes first.
    lanes: Vec<Lane>,
}

impl Route {
    pub async fn start(
        carrier: Carrier,
        peer: SocketAddr,
        certificate: &Certificate,
    ) -> Result<Self> {
        if carrier == Carrier::Direct {
            return Ok(Self {
                entry: peer,
                lanes: Vec::new(),
            });
        }
        let (server, client) = (certificate.server(&[])?, certificate.client(&[])?);
        let (far, link) = Lane::start("far end", move |spawner| far(spawner, server, peer)).await?;
        let (near, entry) = Lane::start("near end", move |spawner| {
            near(spawner, client, link, carrier)
        })
        .await?;
        Ok(Self {
            entry,
            lanes: vec![near, far],
        })
    }

    /// CPU time of both ends so far.
    pub fn cpu(&self) -> Result<Duration> {
        self.lanes
            .iter()
            .map(|lane| cpu::of_thread(lane.thread))
            .sum()
    }
}

async fn far(spawner: Spawner, tls: Arc<ServerConfig>, peer: SocketAddr) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let streams = spawner.clone();
    spawner.spawn(async move {
        let Ok((link, _)) = listener.accept().await else {
            return;
        };
        drop(link.set_nodelay(true));
        let Ok(link) = TlsAcceptor::from(tls).accept(link).await else {
            return;
        };
        let spawner = streams.clone();
        let service = service_fn(move |request| answer(request, peer, spawner.clone()));
        let link = far_settings(streams).serve_connection(TokioIo::new(link), service);
        drop(link.await);
    });
    Ok(address)
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    spawner: Spawner,
) -> Result<Response<RelayBody>, Infallible> {
    let answer = match Stream::accept(request) {
        None => return Ok(Response::new(empty())),
        Some((response, stream)) => {
            spawner.spawn(async move {
                if let Ok(io) = TcpStream::connect(peer).await {
                    drop(io.set_nodelay(true));
                    stream.relay(io).await;
                }
            });
            response
        }
    };
    Ok(answer)
}

async fn near(
    spawner: Spawner,
    tls: Arc<ClientConfig>,
    link: SocketAddr,
    carrier: Carrier,
) -> Result<SocketAddr> {
    let stream = TcpStream::connect(link).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost")?;
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    let (mut sender, driver) = near_settings(spawner.clone())
        .handshake(TokioIo::new(stream))
        .await?;
    spawner.spawn(async move { drop(driver.await) });
    settle(&mut sender).await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let streams = spawner.clone();
    spawner.spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            drop(io.set_nodelay(true));
            let sender = sender.clone();
            streams.spawn(async move {
                if let Ok(stream) = Stream::open(sender, carrier).await {
                    stream.relay(io).await;
                }
            });
        }
    });
    Ok(address)
}

/// One exchange: after it both ends know each other's settings, of which
/// extended CONNECT is one.
pub(super) async fn settle(sender: &mut SendRequest<RelayBody>) -> Result<()> {
    let mut request = Request::new(empty());
    *request.uri_mut() = "http://localhost/".parse()?;
    sender.send_request(request).await?;
    Ok(())
}

/// One end of an upgraded connection on the link.
pub enum Stream {
    Bodies(Incoming, BodyWriter),
    Upgraded(hyper::upgrade::OnUpgrade),
}

impl Stream {
    /// The near end.
    pub async fn open(mut sender: SendRequest<RelayBody>, carrier: Carrier) -> Result<Self> {
        let mut request = Request::new(empty());
        *request.uri_mut() = "http://localhost/api/v1/namespaces/a/pods/b/exec".parse()?;
        if carrier == Carrier::Connect {
            *request.method_mut() = Method::CONNECT;
            request
                .extensions_mut()
                .insert(Protocol::from_static("websocket"));
            let response = sender.send_request(request).await?;
            return Ok(Self::Upgraded(hyper::upgrade::on(response)));
        }
        let (writer, outgoing) = body_channel::channel();
        *request.method_mut() = Method::POST;
        *request.body_mut() = pass(outgoing);
        let response = sender.send_request(request).await?;
        Ok(Self::Bodies(response.into_body(), writer))
    }

    /// The far end, and its answer.
    pub fn accept(request: Request<Incoming>) -> Option<(Response<RelayBody>, Self)> {
        match *request.method() {
            Method::CONNECT => Some((
                Response::new(empty()),
                Self::Upgraded(hyper::upgrade::on(request)),
            )),
            Method::POST => {
                let (writer, outgoing) = body_channel::channel();
                let stream = Self::Bodies(request.into_body(), writer);
                Some((Response::new(pass(outgoing)), stream))
            }
            _ => None,
        }
    }

    /// The connection behind an extended CONNECT.
    pub async fn upgraded(self) -> Result<TokioIo<Upgraded>> {
        match self {
            Self::Upgraded(upgrade) => Ok(TokioIo::new(upgrade.await?)),
            Self::Bodies(..) => None.context("it has bodies"),
        }
    }

    async fn relay(self, mut io: TcpStream) {
        // How it ended is not measured here.
        match self {
            Self::Bodies(incoming, writer) => {
                let (meters, stalls) = (SpliceMeters::default(), SpliceStalls::default());
                drop(splice(io, incoming, writer, &meters, &stalls).await);
            }
            Self::Upgraded(upgrade) => {
                if let Ok(upgraded) = upgrade.await {
                    let mut upgraded = TokioIo::new(upgraded);
                    drop(
                        copy_bidirectional_with_sizes(&mut io, &mut upgraded, BUFFER, BUFFER).await,
                    );
                }
            }
        }
    }
}
