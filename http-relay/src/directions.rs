//! The two directions of an upgraded connection, each of which ends by itself.

use std::pin::{Pin, pin};

use tokio::sync::Notify;
use tokio::time::sleep;
use tunnel_protocol::limits::LINGER;

use crate::RelayError;

/// One direction.
pub(crate) struct Direction<'a, F> {
    pub(crate) run: F,
    /// Notified when its receiver takes no more; nothing where that is its failure.
    pub(crate) refused: Option<&'a Notify>,
}

/// Runs both to their ends. A failure of one ends the other. One that nobody takes
/// is read on all the same, until [`LINGER`] after the end of the other: a socket
/// that is closed with bytes unread is reset, and with that its peer may lose what
/// it was sent last.
pub(crate) async fn both(
    one: Direction<'_, impl Future<Output = Result<(), RelayError>>>,
    other: Direction<'_, impl Future<Output = Result<(), RelayError>>>,
) -> Result<(), RelayError> {
    let (mut run_one, mut run_other) = (pin!(one.run), pin!(other.run));
    tokio::select! {
        ended = &mut run_one => {
            ended?;
            rest(run_other, other.refused).await
        }
        ended = &mut run_other => {
            ended?;
            rest(run_one, one.refused).await
        }
    }
}

async fn rest<F>(direction: Pin<&mut F>, refused: Option<&Notify>) -> Result<(), RelayError>
where
    F: Future<Output = Result<(), RelayError>>,
{
    let Some(refused) = refused else {
        return direction.await;
    };
    let lingered = async {
        refused.notified().await;
        sleep(LINGER).await;
    };
    tokio::select! {
        ended = direction => ended,
        () = lingered => Err(RelayError::Ended("a peer went on sending to one that had ended")),
    }
}
