//! A connection to the API server: TCP, straight or through a proxy, then TLS.

use std::error::Error;
use std::future::{poll_fn, ready};
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use http_relay::body::error_chain;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use service_kit::proxy::{ConnectError, HttpProxy, Proxy, Socks5Proxy};
use service_kit::tls::{TlsError as RootsError, client_config};
use service_kit::write_stall::WriteStall;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tower::{Service, ServiceExt, service_fn};
use tunnel_protocol::limits::WRITE_STALL;

use super::cause::Cause;
use super::tls::{Configs, Tls};

/// As client-go's dialer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);
const TLS_TIMEOUT: Duration = Duration::from_secs(10);
const TCP_KEEPALIVE: Duration = Duration::from_secs(30);
/// With the above: a dead connection under a quiet stream is found in 75 s, not in
/// the system's twelve minutes, where no HTTP/2 ping finds it sooner.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(15);
const KEEPALIVE_RETRIES: u32 = 3;
/// And one under a request.
const UNACKNOWLEDGED: Duration = Duration::from_secs(45);

/// Whatever bytes pass over.
pub(super) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection to the API server.
pub(super) struct Dialled {
    pub(super) io: TokioIo<WriteStall<Box<dyn Io>>>,
    pub(super) is_http2: bool,
    /// Of the certificates that it was made with.
    pub(super) generation: u64,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Ordinary requests.
    Requests,
    /// One request that asks to switch protocols.
    Upgrade,
}

/// Dials the API server.
pub(super) struct Dialer {
    server: Uri,
    tcp: HttpConnector,
    /// With the keep-alive that was asked for.
    upgrades_tcp: HttpConnector,
    way: Way,
    tls: Option<Arc<Tls>>,
}

enum Way {
    Straight,
    Http(HttpProxy),
    /// TLS with the proxy itself.
    Https(HttpProxy, ServerName<'static>, TlsConnector),
    Socks5(Socks5Proxy),
}

/// The step at which dialling failed. Told to all who wait for a connection.
#[derive(Clone, Debug, Error)]
pub(crate) enum DialError {
    #[error("{0}")]
    Tcp(#[source] Cause),
    #[error("the proxy {proxy} cannot be reached: {fault}")]
    ProxyUnreachable { proxy: String, fault: String },
    #[error("the proxy {proxy} leads nowhere: {fault}")]
    Proxy { proxy: String, fault: String },
    #[error("TLS: {0}")]
    Tls(#[source] Cause),
    #[error("the connection broke at once: {0}")]
    Broken(#[source] Cause),
    #[error("others took each connection that was made")]
    Crowded,
}

impl Dialer {
    /// `keepalive` is of upgraded connections.
    pub(super) fn new(
        server: &Uri,
        keepalive: Option<Duration>,
        proxy: Option<Proxy>,
        tls: Option<Arc<Tls>>,
    ) -> Result<Self, RootsError> {
        let way = match proxy {
            None => Way::Straight,
            Some(Proxy::Http(proxy)) => match proxy.tls_name.clone() {
                Some(name) => {
                    let tls = Arc::new(client_config(None, &[])?);
                    Way::Https(proxy, name, tls.into())
                }
                None => Way::Http(proxy),
            },
            Some(Proxy::Socks5(proxy)) => Way::Socks5(proxy),
        };
        Ok(Self {
            server: server.clone(),
            tcp: tcp(Some(TCP_KEEPALIVE)),
            upgrades_tcp: tcp(keepalive),
            way,
            tls,
        })
    }

    /// Resolves the name anew and tries each address.
    pub(super) async fn dial(&self, purpose: Purpose) -> Result<Dialled, DialError> {
        let tcp = match purpose {
            Purpose::Requests => self.tcp.clone(),
            Purpose::Upgrade => self.upgrades_tcp.clone(),
        };
        let carrier = timeout(CONNECT_TIMEOUT, self.reach(tcp)).await;
        let carrier =
            carrier.unwrap_or_else(|_| Err(DialError::Tcp(Cause::late(CONNECT_TIMEOUT))))?;
        let Some(tls) = &self.tls else {
            return Ok(dialled(carrier, false, 0));
        };
        let configs = tls.current();
        let secured = secure(tls, &configs, purpose, carrier);
        let secured = timeout(TLS_TIMEOUT, secured).await;
        secured.unwrap_or_else(|_| Err(DialError::Tls(Cause::late(TLS_TIMEOUT))))
    }

    async fn reach(&self, tcp: HttpConnector) -> Result<Box<dyn Io>, DialError> {
        match &self.way {
            Way::Straight => Ok(Box::new(connect(tcp, self.server.clone()).await?)),
            Way::Http(proxy) => self.through(proxy, to_proxy(tcp, proxy).await?).await,
            Way::Https(proxy, name, tls) => {
                let io = to_proxy(tcp, proxy).await?;
                let secured = tls.connect(name.clone(), io).await;
                let io = secured.map_err(|error| unreachable(&proxy.to_string(), &error))?;
                self.through(proxy, io).await
            }
            Way::Socks5(proxy) => self.through_socks(proxy, tcp).await,
        }
    }

    async fn through(
        &self,
        proxy: &HttpProxy,
        io: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    ) -> Result<Box<dyn Io>, DialError> {
        let (host, port) = target(&self.server);
        let connected = proxy.connect(io, &format!("{host}:{port}")).await;
        let io = connected.map_err(|error: ConnectError| DialError::Proxy {
            proxy: proxy.to_string(),
            fault: error.to_string(),
        })?;
        Ok(Box::new(TokioIo::new(io)))
    }

    async fn through_socks(
        &self,
        proxy: &Socks5Proxy,
        tcp: HttpConnector,
    ) -> Result<Box<dyn Io>, DialError> {
        let shown = Proxy::Socks5(proxy.clone()).to_string();
        let to_proxy = connect(tcp, authority(&proxy.host, proxy.port)).await;
        let mut io = Some(to_proxy.map_err(|error| unreachable(&shown, &error))?);
        // The handshake is a connector's: it is given the connection that is there.
        let connected = service_fn(move |_: Uri| ready(io.take().map(TokioIo::new).ok_or(Used)));
        let mut socks = SocksV5::new(Uri::default(), connected);
        if let Some((user, password)) = &proxy.credentials {
            socks = socks.with_auth(user.clone(), password.expose_secret().to_owned());
        }
        let (host, port) = target(&self.server);
        let connected = socks.oneshot(authority(host, port)).await;
        let io = connected.map_err(|error| DialError::Proxy {
            proxy: shown,
            fault: error_chain(&error),
        })?;
        Ok(Box::new(io.into_inner()))
    }
}

/// A handshake asks for its connection once.
#[derive(Debug, Error)]
#[error("the connection is in use")]
struct Used;

fn dialled(io: Box<dyn Io>, is_http2: bool, generation: u64) -> Dialled {
    Dialled {
        io: TokioIo::new(WriteStall::new(io, WRITE_STALL)),
        is_http2,
        generation,
    }
}

async fn connect(mut tcp: HttpConnector, to: Uri) -> Result<TcpStream, DialError> {
    let connected = match poll_fn(|cx| tcp.poll_ready(cx)).await {
        Ok(()) => tcp.call(to).await,
        Err(error) => Err(error),
    };
    connected
        .map(TokioIo::into_inner)
        .map_err(|error| DialError::Tcp(Cause::new(error)))
}

async fn to_proxy(tcp: HttpConnector, proxy: &HttpProxy) -> Result<TcpStream, DialError> {
    let connected = connect(tcp, authority(&proxy.host, proxy.port)).await;
    connected.map_err(|error| unreachable(&proxy.to_string(), &error))
}

async fn secure(
    tls: &Tls,
    configs: &Configs,
    purpose: Purpose,
    carrier: Box<dyn Io>,
) -> Result<Dialled, DialError> {
    let config = match purpose {
        Purpose::Requests => &configs.any,
        Purpose::Upgrade => &configs.http1,
    };
    let connector = TlsConnector::from(config.clone());
    let secured = connector.connect(tls.name(), carrier).await;
    let secured = secured.map_err(|error| DialError::Tls(Cause::new(error)))?;
    let is_http2 = secured.get_ref().1.alpn_protocol() == Some(b"h2");
    Ok(dialled(Box::new(secured), is_http2, configs.generation))
}

fn tcp(keepalive: Option<Duration>) -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(keepalive);
    // Either would switch it on.
    if keepalive.is_some() {
        tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
        tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    }
    tcp.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp
}

/// Host, in brackets where it is an IPv6 address, and port.
fn target(server: &Uri) -> (&str, u16) {
    let default = match server.scheme() == Some(&Scheme::HTTP) {
        true => 80,
        false => 443,
    };
    let host = server.host().unwrap_or_default();
    (host, server.port_u16().unwrap_or(default))
}

/// As connectors want it; what is no host resolves to nothing.
fn authority(host: &str, port: u16) -> Uri {
    let bare = host.trim_matches(['[', ']']);
    let text = match bare.contains(':') {
        true => format!("http://[{bare}]:{port}"),
        false => format!("http://{bare}:{port}"),
    };
    text.parse().unwrap_or_default()
}

fn unreachable(proxy: &str, error: &(dyn Error + 'static)) -> DialError {
    DialError::ProxyUnreachable {
        proxy: proxy.to_owned(),
        fault: error_chain(error),
    }
}
