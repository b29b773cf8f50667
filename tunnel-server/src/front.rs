//! What public connections pass before HTTP is spoken on them: PROXY protocol, then TLS,
//! or neither where a load balancer has ended it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use service_kit::held_read::HeldRead;
use service_kit::workers::Movable;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use crate::listener::{Carrier, Secured};
use crate::metrics::{Metrics, ProxyProtocolFault};
use crate::placement::{Placed, Placement};
use crate::proxy_protocol::{self, HeaderFault, ProxyProtocol};
use crate::public_listener::Accepted;
use crate::seldom::Seldom;
use crate::tls_handshakes::TlsHandshakes;

/// What connections pass.
pub(crate) trait Front<S>: Send + Sync + 'static {
    /// What HTTP is spoken on.
    type Carrier: Carrier;

    /// Reads whose connection it is, where that is announced on it; then nothing where
    /// it is of whoever announces.
    fn announced(
        &self,
        stream: &mut S,
    ) -> Option<impl Future<Output = io::Result<Option<SocketAddr>>> + Send>;

    /// Finds the thread that is to serve it.
    fn place(&self, stream: S) -> impl Future<Output = io::Result<Placed<S>>> + Send;

    /// Makes TLS of it; it may be one that many share.
    fn secure(
        &self,
        stream: S,
        is_shared: bool,
    ) -> impl Future<Output = io::Result<Secured<Self::Carrier>>> + Send;
}

/// The public listener's.
pub(crate) struct PublicFront {
    pub(crate) proxy_protocol: ProxyProtocol,
    /// Nothing where it was ended before.
    pub(crate) tls: Option<TlsHandshakes>,
    pub(crate) placement: Placement,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) warnings: Seldom,
}

impl Front<Accepted> for PublicFront {
    type Carrier = Either<TlsStream<HeldRead<TcpStream>>, TcpStream>;

    fn announced(
        &self,
        accepted: &mut Accepted,
    ) -> Option<impl Future<Output = io::Result<Option<SocketAddr>>> + Send> {
        let is_required = !accepted.is_plain && self.proxy_protocol == ProxyProtocol::Required;
        let read = async {
            let read = proxy_protocol::read(&mut accepted.stream).await;
            read.map_err(|fault| self.no_header(fault))
        };
        is_required.then_some(read)
    }

    async fn place(&self, accepted: Accepted) -> io::Result<Placed<Accepted>> {
        let Some(thread) = self.placement.of(&accepted.stream).await else {
            return Ok(Placed::Here(accepted));
        };
        let Accepted { stream, is_plain } = accepted;
        let stream = stream.detach()?;
        let attach = move || {
            let stream = TcpStream::attach(stream)?;
            Ok(Accepted { stream, is_plain })
        };
        Ok(Placed::There(thread.clone(), Box::new(attach)))
    }

    async fn secure(
        &self,
        accepted: Accepted,
        is_shared: bool,
    ) -> io::Result<Secured<Self::Carrier>> {
        let Accepted { stream, is_plain } = accepted;
        match &self.tls {
            Some(tls) if !is_plain => {
                if self.proxy_protocol == ProxyProtocol::Forbidden {
                    self.must_have_no_header(&stream).await?;
                }
                let Secured { stream, speaks_h2 } = tls.secure(stream, is_shared).await?;
                let stream = Either::Left(stream);
                Ok(Secured { stream, speaks_h2 })
            }
            // Whoever ends TLS needs HTTP/1.1 in any case: links and upgrades are made
            // with it. What comes first is not waited for: load balancers may connect
            // ahead of need.
            _ => Ok(Secured {
                stream: Either::Right(stream),
                speaks_h2: false,
            }),
        }
    }
}

impl PublicFront {
    fn no_header(&self, fault: HeaderFault) -> io::Error {
        let counted = match &fault {
            HeaderFault::Missing => Some(ProxyProtocolFault::Missing),
            HeaderFault::Malformed => Some(ProxyProtocolFault::Malformed),
            HeaderFault::Silent | HeaderFault::Broken(_) => None,
        };
        if let Some(counted) = counted {
            self.metrics.proxy_protocol_fault(counted);
            if self.warnings.is_due() {
                tracing::warn!(
                    %fault,
                    "connections are cut, as proxyProtocol is required: have the load balancer \
                     send PROXY protocol (v1 or v2) and let nobody past it, or set \
                     proxyProtocol: forbidden"
                );
            }
        }
        io::Error::other(fault)
    }

    /// A header that is not expected would fail as TLS or as HTTP, and nobody would know
    /// why. Looks at what comes first, and leaves it where it is.
    async fn must_have_no_header(&self, stream: &TcpStream) -> io::Result<()> {
        let mut first = [0; 16];
        let length = stream.peek(&mut first).await?;
        if !proxy_protocol::begins(&first[..length]) {
            return Ok(());
        }
        self.metrics
            .proxy_protocol_fault(ProxyProtocolFault::Unexpected);
        if self.warnings.is_due() {
            tracing::warn!(
                "connections are cut, as they begin with PROXY protocol: set proxyProtocol: \
                 required if that is a load balancer's, which alone must reach this port"
            );
        }
        Err(io::Error::other(
            "a PROXY protocol header, which is forbidden",
        ))
    }
}
