//! A link that is being served in a task of its own, so that a drained one goes on
//! beside its successor.

use std::sync::Arc;
use std::time::Duration;

use service_kit::metrics::Counted;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tunnel_protocol::limits::HANDSHAKE_TIMEOUT;

use crate::control::{Goodbye, LinkEvent};
use crate::fleet::Member;
use crate::handshake::Carried;
use crate::link::{EVENTS, Link};
use crate::shared::Shared;

/// A link that is being served, as its lane sees it.
pub(crate) struct Served {
    pub(crate) events: mpsc::Receiver<LinkEvent>,
    /// Why it ended.
    pub(crate) end: oneshot::Receiver<String>,
    /// Cancelled when the server has registered it.
    pub(crate) registered: CancellationToken,
    /// Drains it.
    pub(crate) drain: CancellationToken,
    /// Cuts it after this time.
    pub(crate) cut_after: oneshot::Sender<Duration>,
    /// Cuts it at once.
    pub(crate) cut_now: CancellationToken,
    pub(crate) member: Arc<Member>,
    /// Once it is registered.
    pub(crate) counted: Option<Counted>,
}

/// A link that serves until its successor is registered.
pub(crate) struct Superseded {
    pub(crate) drain: CancellationToken,
    /// Until then it counts: callers still come over it.
    pub(crate) _counted: Option<Counted>,
}

impl Served {
    /// Starts to serve a connection.
    pub(crate) fn start(
        shared: &Shared,
        connection: Carried,
        member: Member,
        ping_every: Duration,
    ) -> Self {
        let member = Arc::new(member);
        let (events, inbox) = mpsc::channel(EVENTS);
        let (ended, end) = oneshot::channel();
        let (cut_after, cut) = oneshot::channel();
        let (registered, drain) = (CancellationToken::new(), shared.draining.child_token());
        let cut_now = CancellationToken::new();
        let goodbye = Goodbye {
            now: drain.clone(),
            deadline: shared.config.drain,
        };
        let link = Link::new(
            shared.relay.clone(),
            events,
            member.stats().clone(),
            goodbye,
            ping_every,
        );
        let served = Self {
            events: inbox,
            end,
            registered: registered.clone(),
            drain,
            cut_after,
            cut_now: cut_now.clone(),
            member: member.clone(),
            counted: None,
        };
        let overdue = async move {
            if timeout(HANDSHAKE_TIMEOUT, registered.cancelled())
                .await
                .is_ok()
            {
                std::future::pending().await
            }
        };
        let cut = async move {
            match cut.await {
                Ok(after) => sleep(after).await,
                Err(_) => std::future::pending().await,
            }
        };
        shared.spawner.spawn(async move {
            // As long as it ends what it carries, too.
            let _member = member;
            let reason = tokio::select! {
                reason = link.serve(connection) => reason,
                () = overdue => "the server did not register it".to_owned(),
                () = cut => "cut at the server's drain deadline".to_owned(),
                () = cut_now.cancelled() => "cut by this side".to_owned(),
            };
            // The lane may have gone on to another link.
            drop(ended.send(reason));
        });
        served
    }
}
