//! One outbound TLS connection to the server, straight or through a proxy.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use service_kit::paced_read::PacedRead;
use service_kit::prompt_tcp::make_prompt;
use service_kit::proxy::{ConnectError, HttpProxy};
use service_kit::write_stall::WriteStall;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tunnel_protocol::limits::WRITE_STALL;

use crate::addresses::first_of;
use crate::args::Config;
use crate::carriers::Carriers;
use crate::first_bytes::FirstBytes;
use crate::seen::{addresses_seen, connection_seen, tls_seen};
use crate::server_url::ServerUrl;
use crate::steps::{Step, Steps};
use crate::tls_fault::{Peer, TlsFault};
use crate::trust::{Trust, TrustError};

/// For one address to connect: a lost packet is sent anew after 1 and 3 s, and the
/// handshake's deadline is to leave time for what comes then.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(6);
/// For TLS with an address that has connected: another one is to have its time.
const REACH_TIMEOUT: Duration = Duration::from_secs(4);

/// What TLS with the server runs on: TCP, or what a proxy leads on.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The connection that becomes a link.
pub(crate) type Connection = Box<dyn Duplex>;

/// What leads to a server, on whatever network there is.
pub(crate) trait Dial: Send + Sync {
    fn server(&self) -> &ServerUrl;

    /// As the log names it.
    fn proxy(&self) -> Option<String>;

    /// What the way passes.
    fn carriers(&self) -> &Carriers;

    /// Makes a new connection, and tells its steps. The caller sets the deadline.
    fn dial<'a>(&'a self, steps: &'a Steps) -> Dialling<'a>;
}

pub(crate) type Dialling<'a> = Pin<Box<dyn Future<Output = Result<Connection, DialError>> + 'a>>;

/// Dials over TCP and TLS.
pub(crate) struct Dialer {
    server: ServerUrl,
    proxy: Option<HttpProxy>,
    carriers: Carriers,
    trust: Arc<Trust>,
}

/// The step at which dialling failed.
#[derive(Debug, Error)]
pub(crate) enum DialError {
    #[error(
        "cannot resolve {host}: {cause}: check the name, and this machine's DNS (in a pod its \
         dnsPolicy, and network policies for port 53)"
    )]
    Resolve { host: String, cause: std::io::Error },
    #[error("{0} has no address: check the name, and its A and AAAA records")]
    NoAddress(String),
    #[error("cannot connect to {address}: {cause}: {}", unconnected(cause))]
    Connect {
        address: SocketAddr,
        cause: std::io::Error,
    },
    #[error(
        "{0} does not answer: a firewall drops what goes there; allow it in firewalls and network \
         policies, or name the proxy that leads out in HTTPS_PROXY"
    )]
    Silent(SocketAddr),
    /// Of a name that has several.
    #[error("{}", each(.0))]
    Each(Vec<DialError>),
    #[error("TLS with {peer}: {fault}")]
    Tls { peer: String, fault: TlsFault },
    #[error("the proxy {proxy} cannot be reached: {cause}")]
    ProxyUnreachable {
        proxy: String,
        cause: Box<DialError>,
    },
    #[error("the proxy {proxy} leads nowhere: {cause}")]
    Proxy { proxy: String, cause: ConnectError },
}

impl Dialer {
    /// One to each server.
    pub(crate) fn all(config: &Config) -> Result<Vec<Self>, TrustError> {
        let trust = Arc::new(Trust::new(&config.trust)?);
        let servers = config.servers.iter();
        let dialers =
            servers.map(|(server, proxy)| Self::new(server.clone(), proxy.clone(), trust.clone()));
        Ok(dialers.collect())
    }

    fn new(server: ServerUrl, proxy: Option<HttpProxy>, trust: Arc<Trust>) -> Self {
        Self {
            server,
            proxy,
            carriers: Carriers::default(),
            trust,
        }
    }

    /// Resolves anew, tries the addresses, and makes TLS.
    async fn connect(&self, steps: &Steps) -> Result<Connection, DialError> {
        let ServerUrl {
            host,
            port,
            tls_name,
            ..
        } = &self.server;
        let tls = With {
            config: self.trust.server(),
            peer: Peer::Server,
        };
        let stream = match &self.proxy {
            None => {
                let peer = self.server.to_string();
                let secure = async |tcp: TcpStream| {
                    steps.begins(Step::Tls);
                    tls.secure(tls_name, &peer, Box::new(tcp)).await
                };
                first_address(host, *port, steps, secure).await?
            }
            Some(proxy) => {
                let carrier = self.through(proxy, steps).await?;
                let peer = format!("{} through the proxy {proxy}", self.server);
                steps.begins(Step::Tls);
                tls.secure(tls_name, &peer, carrier).await?
            }
        };
        steps.done(Step::Tls, tls_seen(stream.get_ref().1));
        Ok(guarded(stream))
    }

    /// To the server's port, as the proxy resolves its name.
    async fn through(
        &self,
        proxy: &HttpProxy,
        steps: &Steps,
    ) -> Result<Box<dyn Duplex>, DialError> {
        let reach = async |tcp: TcpStream| {
            steps.begins(Step::Proxy);
            self.to_proxy(proxy, tcp).await
        };
        let carrier = first_address(&proxy.host, proxy.port, steps, reach)
            .await
            .map_err(|cause| DialError::ProxyUnreachable {
                proxy: proxy.to_string(),
                cause: Box::new(cause),
            })?;
        let target = self.server.host_and_port();
        steps.begins(Step::Proxy);
        let connected =
            proxy
                .connect(carrier, &target)
                .await
                .map_err(|cause| DialError::Proxy {
                    proxy: proxy.to_string(),
                    cause,
                })?;
        steps.done(Step::Proxy, format!("{proxy} leads to {target}"));
        Ok(Box::new(TokioIo::new(connected)))
    }

    async fn to_proxy(
        &self,
        proxy: &HttpProxy,
        tcp: TcpStream,
    ) -> Result<Box<dyn Duplex>, DialError> {
        let Some(name) = &proxy.tls_name else {
            return Ok(Box::new(tcp));
        };
        let tls = With {
            config: self.trust.proxy(),
            peer: Peer::Proxy,
        };
        let secured = tls.secure(name, &proxy.to_string(), Box::new(tcp)).await?;
        Ok(Box::new(secured))
    }
}

/// TLS with one of the two.
struct With {
    config: Arc<ClientConfig>,
    peer: Peer,
}

impl With {
    async fn secure(
        &self,
        name: &ServerName<'static>,
        peer: &str,
        carrier: Box<dyn Duplex>,
    ) -> Result<TlsStream<FirstBytes<Box<dyn Duplex>>>, DialError> {
        TlsConnector::from(self.config.clone())
            .connect(name.clone(), FirstBytes::new(carrier))
            .into_fallible()
            .await
            .map_err(|(error, carrier)| DialError::Tls {
                peer: peer.to_owned(),
                fault: TlsFault::of(&error, self.peer, carrier.kept()),
            })
    }
}

impl Dial for Dialer {
    fn server(&self) -> &ServerUrl {
        &self.server
    }

    fn proxy(&self) -> Option<String> {
        self.proxy.as_ref().map(ToString::to_string)
    }

    fn carriers(&self) -> &Carriers {
        &self.carriers
    }

    fn dial<'a>(&'a self, steps: &'a Steps) -> Dialling<'a> {
        Box::pin(self.connect(steps))
    }
}

/// What to do.
fn unconnected(cause: &std::io::Error) -> &'static str {
    match cause.kind() {
        std::io::ErrorKind::ConnectionRefused => {
            "nobody listens at that port, or a firewall rejects it: check the address and the port"
        }
        std::io::ErrorKind::NetworkUnreachable | std::io::ErrorKind::HostUnreachable => {
            "no route leads there: check this machine's network and its firewalls"
        }
        _ => "check the address, and firewalls on the way",
    }
}

/// Gives way to other tasks, and does not wait for ever for a peer that takes nothing.
pub(crate) fn guarded(stream: impl Duplex + 'static) -> Connection {
    Box::new(WriteStall::new(PacedRead::new(stream), WRITE_STALL))
}

/// What `reach` makes of the first address that it succeeds with.
async fn first_address<T>(
    host: &str,
    port: u16,
    steps: &Steps,
    reach: impl AsyncFn(TcpStream) -> Result<T, DialError>,
) -> Result<T, DialError> {
    steps.begins(Step::Resolve);
    let addresses = lookup_host((host, port))
        .await
        .map_err(|cause| DialError::Resolve {
            host: host.to_owned(),
            cause,
        })?;
    let mut addresses: Vec<_> = addresses.collect();
    steps.done(Step::Resolve, addresses_seen(host, &addresses));
    let mut last = None;
    loop {
        steps.begins(Step::Connect);
        let connect = async |address| Ok((address, tcp(address).await?));
        let connected = first_of(
            addresses.iter().copied(),
            ADDRESS_TIMEOUT,
            connect,
            DialError::Silent,
        )
        .await;
        let (address, stream) = match connected {
            Ok(connected) => connected,
            // One that was reached tells more than those that were not.
            Err(errors) => {
                let Some((step, error)) = last else {
                    return Err(all_of(host, errors));
                };
                steps.begins(step);
                return Err(error);
            }
        };
        steps.done(Step::Connect, connection_seen(&stream, address));
        let reaching = reach(stream);
        let reached = match addresses.len() {
            // The caller sets the deadline.
            1 => reaching.await,
            _ => {
                let reached = timeout(REACH_TIMEOUT, reaching).await;
                reached.unwrap_or(Err(DialError::Silent(address)))
            }
        };
        match reached {
            Ok(reached) => return Ok(reached),
            // Another one may be the right one.
            Err(error) => last = Some((steps.last(), error)),
        }
        addresses.retain(|other| *other != address);
    }
}

fn all_of(host: &str, mut errors: Vec<DialError>) -> DialError {
    match errors.len() {
        0 | 1 => errors
            .pop()
            .unwrap_or_else(|| DialError::NoAddress(host.to_owned())),
        _ => DialError::Each(errors),
    }
}

fn each(errors: &[DialError]) -> String {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

async fn tcp(address: SocketAddr) -> Result<TcpStream, DialError> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|cause| DialError::Connect { address, cause })?;
    make_prompt(&stream, address);
    Ok(stream)
}

#[cfg(test)]
mod tests;
