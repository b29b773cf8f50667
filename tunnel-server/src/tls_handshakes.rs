//! TLS of the public listener's connections. What it costs, a signature and a key
//! exchange, is done for a few of them before all other tasks have their turn: thousands
//! that come at once would else stand before every caller's request.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use rustls::server::Acceptor;
use rustls::{HandshakeKind, ProtocolVersion, ServerConfig, ServerConnection};
use service_kit::held_read::HeldRead;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Handle, Id};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::yield_now;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{Accept, LazyConfigAcceptor};

use crate::listener::Secured;

/// Of a thread's, before others have their turn: some milliseconds of work.
const TURNS_PER_THREAD: usize = 4;

/// Makes TLS of connections.
pub(crate) struct TlsHandshakes {
    config: Arc<ServerConfig>,
    /// Speaks HTTP/1.1 only.
    for_shared: Arc<ServerConfig>,
    /// Of each thread its own: strangers choose on which they are.
    turns: Vec<(Id, Semaphore)>,
}

impl TlsHandshakes {
    /// They are made on these runtimes, a thread each.
    pub(crate) fn new(config: ServerConfig, runtimes: &[Handle]) -> Self {
        Self::with_turns(config, runtimes, TURNS_PER_THREAD)
    }

    fn with_turns(config: ServerConfig, runtimes: &[Handle], turns: usize) -> Self {
        let mut for_shared = config.clone();
        for_shared.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self {
            config: Arc::new(config),
            for_shared: Arc::new(for_shared),
            turns: runtimes
                .iter()
                .map(|runtime| (runtime.id(), Semaphore::new(turns)))
                .collect(),
        }
    }

    /// Makes TLS. Whoever sends nothing holds no turn. One that `is_shared` by many is
    /// not to speak HTTP/2, where one of them could take all of its window or have it
    /// ended for all.
    ///
    /// # Errors
    /// The peer's, mostly.
    pub(crate) async fn secure<S>(
        &self,
        stream: S,
        is_shared: bool,
    ) -> io::Result<Secured<TlsStream<HeldRead<S>>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let started = LazyConfigAcceptor::new(Acceptor::default(), HeldRead::new(stream)).await?;
        let config = if is_shared {
            &self.for_shared
        } else {
            &self.config
        };
        let mut is_done = true;
        let turn = self.turn().await?;
        // Computes, before it is awaited.
        let answered = started.into_stream_with(config.clone(), |tls| is_done = !costs_more(tls));
        end(turn).await;
        let stream = match is_done {
            true => answered.await?,
            false => self.in_turns(answered).await?,
        };
        let speaks_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Secured { stream, speaks_h2 })
    }

    /// The rest of a handshake, with a turn for each piece of it that the peer sends.
    async fn in_turns<S>(
        &self,
        mut handshake: Accept<HeldRead<S>>,
    ) -> io::Result<TlsStream<HeldRead<S>>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some(read) = handshake.get_mut() {
            read.hold();
        }
        let ended = loop {
            // Says what is to be said, and reads; nothing is computed of that yet.
            let ended = poll_fn(|cx| match Pin::new(&mut handshake).poll(cx) {
                Poll::Ready(ended) => Poll::Ready(Some(ended)),
                Poll::Pending if handshake.get_ref().is_some_and(HeldRead::has_held) => {
                    Poll::Ready(None)
                }
                Poll::Pending => Poll::Pending,
            });
            if let Some(ended) = ended.await {
                break ended;
            }
            let turn = self.turn().await?;
            if let Some(read) = handshake.get_mut() {
                read.pass();
            }
            let computed = poll_fn(|cx| Poll::Ready(Pin::new(&mut handshake).poll(cx))).await;
            end(turn).await;
            if let Poll::Ready(ended) = computed {
                break ended;
            }
        };
        let mut stream = ended?;
        stream.get_mut().0.release();
        Ok(stream)
    }

    async fn turn(&self) -> io::Result<SemaphorePermit<'_>> {
        let here = Handle::current().id();
        let own = self.turns.iter().find(|(id, _)| *id == here);
        let (_, turns) = own.ok_or_else(|| io::Error::other("no thread of the server's"))?;
        turns.acquire().await.map_err(io::Error::other)
    }
}

/// The turn is the next one's when this task is back: all that was ready before it has
/// run then.
async fn end(turn: SemaphorePermit<'_>) {
    yield_now().await;
    drop(turn);
}

/// Whether there is more to compute than the end's check, once the first hello is
/// answered. One without a key share of a group that is spoken here is asked for another,
/// and all is done for that one; TLS 1.2 has its key exchange with what comes next.
fn costs_more(tls: &ServerConnection) -> bool {
    match tls.handshake_kind() {
        Some(HandshakeKind::FullWithHelloRetryRequest) => true,
        Some(HandshakeKind::Full) => tls.protocol_version() != Some(ProtocolVersion::TLSv1_3),
        Some(HandshakeKind::Resumed) | None => false,
    }
}

#[cfg(test)]
mod tests;
