//! Serves a listener until it is told to end, then drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use service_kit::accept::{Listener, accept_loop};
use service_kit::tasks::Tasks;
use tokio::time::sleep;

use crate::front::Front;
use crate::links::DRAIN_SPREAD;
use crate::listener;
use crate::shared::Shared;

/// For the links' tasks to end once they are told.
const LINK_ENDS: Duration = Duration::from_secs(1);

/// What serves, and owns the tasks that do.
pub(crate) struct Serving {
    pub(crate) shared: Arc<Shared>,
    /// Of the callers' connections.
    pub(crate) tasks: Tasks,
    /// Of the links, which outlive them.
    pub(crate) link_tasks: Tasks,
    /// Connections at once.
    pub(crate) connections: usize,
    /// How long it goes on after `shutdown`, no longer ready, until load balancers
    /// know it.
    pub(crate) shutdown_delay: Duration,
}

impl Serving {
    /// Serves until `shutdown`, then lets open requests end, at most for the
    /// configured time. `front` is what connections pass first.
    pub(crate) async fn run<L, F>(self, listener: L, front: F, shutdown: impl Future<Output = ()>)
    where
        L: Listener<Peer = SocketAddr>,
        L::Stream: 'static,
        F: Front<L::Stream>,
    {
        let shared = self.shared;
        let (serving, front) = (shared.clone(), Arc::new(front));
        let serve = move |stream, address, place| {
            listener::serve(serving.clone(), front.clone(), stream, address, place)
        };
        let accepting = accept_loop(
            listener,
            self.connections,
            shared.spawner.clone(),
            shared.draining.clone(),
            serve,
        );
        let left = async {
            shutdown.await;
            shared.leaving.cancel();
            if !self.shutdown_delay.is_zero() {
                tracing::info!("not ready any more; serving until load balancers know it");
                sleep(self.shutdown_delay).await;
            }
        };
        tokio::select! {
            () = accepting => {}
            () = left => {}
        }
        shared.leaving.cancel();
        shared.draining.cancel();
        tracing::info!(
            open = shared.spawner.running(),
            links = shared.links_spawner.running(),
            "draining"
        );
        // Links outlast callers, and the time in which clients dial elsewhere.
        let handed_over = async {
            tokio::select! {
                () = sleep((DRAIN_SPREAD + Duration::from_secs(1)).min(shared.drain)) => {}
                () = self.link_tasks.ended() => {}
            }
        };
        let (cut, ()) = tokio::join!(self.tasks.drain(shared.drain), handed_over);
        shared.links_end.cancel();
        let cut_links = self.link_tasks.drain(LINK_ENDS).await;
        // Whoever had something to tell has told it.
        shared.audit.finish().await;
        tracing::info!(cut, cut_links, "ended");
    }
}
