//! One live connection from one tunnel-client: opens streams on it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{Request, Response};
use http_relay::body::error_chain;
use http_relay::h2_error::is_goodbye;
use http_relay::h2_send::send_body;
use http_relay::stall_budget::LinkStalls;
use http_relay::{H2Received, RelayBody, framing};
use hyper::body::Body;
use service_kit::tasks::Spawner;
use thiserror::Error;
use tokio::runtime::{Handle, Id};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::ClusterName;
use tunnel_protocol::limits::LINK_HEADS;

use super::slot::{Places, Slot, held_of_request};
use super::wear::Wear;
use crate::access::Permit;

/// Tells links apart, in records that outlive them.
#[derive(Debug)]
pub(crate) struct LinkName {
    /// Unique in this process.
    pub(crate) id: u64,
    /// The tunnel-client that it leads to.
    pub(crate) instance: String,
    /// Which of that one's links it is.
    pub(crate) lane: u8,
}

impl LinkName {
    /// Whether both are one client's same lane, of which only one is alive.
    pub(super) fn is_in_place_of(&self, other: &Self) -> bool {
        (&self.instance, self.lane) == (&other.instance, other.lane)
    }
}

/// A link as the registry holds it.
pub(crate) struct Link {
    pub(crate) name: Arc<LinkName>,
    pub(crate) cluster: ClusterName,
    pub(crate) generation: u64,
    /// Whose thread runs it.
    pub(crate) thread: Id,
    sender: SendRequest<Bytes>,
    /// Of the tasks that send the requests' bodies.
    spawner: Spawner,
    places: Places,
    /// No new requests; those that are open go on.
    pub(crate) draining: CancellationToken,
    closed: CancellationToken,
    close_reason: OnceLock<&'static str>,
}

/// Why a stream was not opened, or gave no answer.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    #[error("the link has as many open streams as it may, or as its client takes")]
    Full,
    #[error("the heads of the link's open requests and answers hold {LINK_HEADS} bytes")]
    Heads,
    #[error("the head of the answer has no place beside those of the link's open ones")]
    AnswersHead,
    #[error("streams that stand still hold too much memory")]
    Overloaded,
    #[error("{0}")]
    Stalled(&'static str),
    #[error("the link broke before the answer came: {0}")]
    Broken(String),
}

/// The body of a request that was not sent and can go to another link; or the error.
pub(crate) enum Refused {
    NotSent(RelayBody),
    /// It was not sent either: the link has no room, for this reason.
    NoRoom(RelayBody, OpenError),
    /// It was sent, and the client says that it has not looked at it.
    NotTaken(OpenError),
    Failed(OpenError),
}

/// A request's stream, with what it takes of the link.
struct Sent {
    answer: ResponseFuture,
    slot: Slot,
}

impl Link {
    pub(super) fn new(
        name: LinkName,
        cluster: ClusterName,
        generation: u64,
        sender: SendRequest<Bytes>,
        spawner: Spawner,
        stalls: LinkStalls,
        wear: Wear,
    ) -> Self {
        Self {
            name: Arc::new(name),
            cluster,
            generation,
            thread: Handle::current().id(),
            sender,
            spawner,
            places: Places::new(stalls, wear),
            draining: CancellationToken::new(),
            closed: CancellationToken::new(),
            close_reason: OnceLock::new(),
        }
    }

    /// Whether new requests may go here.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.draining.is_cancelled() && !self.closed.is_cancelled()
    }

    /// Ends the link, and with it its streams.
    pub(super) fn close(&self, reason: &'static str) {
        self.close_reason.get_or_init(|| reason);
        self.closed.cancel();
    }

    /// Waits until it is to end; gives the reason.
    pub(super) async fn closed(&self) -> &'static str {
        self.closed.cancelled().await;
        self.close_reason.get().copied().unwrap_or_default()
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.places.open_streams()
    }

    /// Waits until so many of its streams were reset that another link is to take its
    /// place.
    pub(super) async fn worn(&self) {
        self.places.wear.out().await;
    }

    pub(super) fn is_worn(&self) -> bool {
        self.places.wear.is_out()
    }

    /// How often something has come from the client.
    pub(super) fn reads(&self) -> u64 {
        self.places.stalls.reads()
    }

    /// Whether it takes no new streams, as those that stand still hold too much.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.places.stalls.is_full()
    }

    fn room(
        &self,
        head: &Request<()>,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), OpenError> {
        if self.is_overloaded() {
            return Err(OpenError::Overloaded);
        }
        // What the client does not take now would wait in h2, and there its caller's going
        // away would not end it. One is the control stream.
        if self.places.open_streams() + 1 >= self.sender.current_max_send_streams() {
            return Err(OpenError::Full);
        }
        let place = self.places.stream().map_err(|_| OpenError::Full)?;
        let head = self.places.head(Some(head.uri()), head.headers());
        Ok((place, head.map_err(|_| OpenError::Heads)?))
    }

    /// Opens a stream and waits for the head of its answer. Dropping the future,
    /// or later the answer's body, resets the stream.
    ///
    /// Takes a [`Permit`], as nothing unauthorized may go over a link.
    pub(crate) async fn open(
        &self,
        permit: &Permit,
        head: &Request<()>,
        body: RelayBody,
        body_over_http2: bool,
    ) -> Result<(Response<H2Received>, Slot), Refused> {
        debug_assert_eq!(
            permit.cluster().name,
            self.cluster,
            "a permit opens only its own cluster's links"
        );
        let failed = Refused::Failed;
        let Sent { answer, mut slot } = self.send(head, body, body_over_http2).await?;
        let answered = tokio::select! {
            answered = answer => answered,
            reason = slot.upload_cut() => return Err(failed(OpenError::Stalled(reason))),
        };
        match answered {
            Ok(response) => {
                slot.answered(&self.places, response.headers())
                    .map_err(|_| failed(OpenError::AnswersHead))?;
                let (parts, stream) = response.into_parts();
                let body = H2Received::new(stream, &parts.headers);
                Ok((Response::from_parts(parts, body), slot))
            }
            Err(error) => {
                let broken = OpenError::Broken(error_chain(&error));
                // h2 sends its answer to the ping by which a client that said goodbye
                // waits for late requests ahead of them.
                Err(if is_goodbye(&error) {
                    Refused::NotTaken(broken)
                } else {
                    failed(broken)
                })
            }
        }
    }

    async fn send(
        &self,
        head: &Request<()>,
        body: RelayBody,
        body_over_http2: bool,
    ) -> Result<Sent, Refused> {
        let (place, held_head) = match self.room(head) {
            Ok(room) => room,
            Err(error) => return Err(Refused::NoRoom(body, error)),
        };
        let is_whole = body.is_end_stream();
        let mut request = head.clone();
        framing::tell_length(request.headers_mut(), head.method(), &body);
        let (answer, upload) = match self.stream(request, is_whole).await {
            Ok(opened) => opened,
            Err(error) if error.is_io() || error.is_go_away() => {
                // It has ended, or its client has said goodbye: nothing goes over it
                // any more.
                tracing::debug!(%error, "no new stream");
                self.draining.cancel();
                return Err(Refused::NotSent(body));
            }
            // It is the request's, and would be so on any link.
            Err(error) => {
                let broken = OpenError::Broken(error_chain(&error));
                return Err(Refused::Failed(broken));
            }
        };
        let held = held_of_request(body_over_http2);
        let (body, handle) = self.places.stalls.outbound(body, held);
        if !is_whole {
            self.spawner.spawn_stream_task(send_body(body, upload));
        }
        let slot = Slot::new(handle, &self.places, place, held_head);
        Ok(Sent { answer, slot })
    }

    /// Opens the stream on which the two ends talk; it counts among no others.
    pub(super) async fn control_stream(
        &self,
        head: Request<()>,
        body: RelayBody,
    ) -> Result<H2Received, h2::Error> {
        let (answer, upload) = self.stream(head, false).await?;
        self.spawner.spawn_stream_task(send_body(body, upload));
        let (parts, stream) = answer.await?.into_parts();
        Ok(H2Received::new(stream, &parts.headers))
    }

    /// Sends a head; gives what the answer comes by and what the body is sent on.
    async fn stream(
        &self,
        head: Request<()>,
        is_whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        let mut sender = self.sender.clone().ready().await?;
        sender.send_request(head, is_whole)
    }
}
