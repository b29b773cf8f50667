//! Joins two connections that have switched protocols, both ways at once. The end
//! of one direction is passed on as a half-close, and the other goes on.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::sync::Notify;

use crate::RelayError;
use crate::directions::{Direction, both};
use crate::until_refused::UntilRefused;

/// Runs until both directions have ended or one has failed.
///
/// # Errors
/// [`RelayError`] of the direction that failed; the other one is cut.
pub async fn join<C, U>(caller: C, upstream: U) -> Result<(), RelayError>
where
    C: AsyncRead + AsyncWrite,
    U: AsyncRead + AsyncWrite,
{
    let (from_caller, to_caller) = split(caller);
    let (from_upstream, to_upstream) = split(upstream);
    let (upstream_refuses, caller_refuses) = (Notify::new(), Notify::new());
    let sending = Direction {
        run: pass(
            from_caller,
            UntilRefused::new(to_upstream, &upstream_refuses),
        ),
        refused: Some(&upstream_refuses),
    };
    let receiving = Direction {
        run: pass(from_upstream, UntilRefused::new(to_caller, &caller_refuses)),
        refused: Some(&caller_refuses),
    };
    both(sending, receiving).await
}

async fn pass<R, W>(mut reader: R, mut writer: W) -> Result<(), RelayError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let passed = async {
        copy(&mut reader, &mut writer).await?;
        writer.shutdown().await
    };
    passed.await.map_err(|error| RelayError::cut(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loopback::pair;
    use tokio::io::{AsyncReadExt, duplex};

    const LAST: usize = 32 << 10;

    #[tokio::test]
    async fn what_an_upstream_had_sent_arrives_whatever_the_caller_still_says() {
        let (upstream, mut api_server) = pair().await;
        // Takes little until it reads.
        let (mut caller, joined) = duplex(1 << 10);
        let test = async {
            api_server.write_all(&[7; LAST]).await.unwrap();
            // It reads no more: its system answers the caller's bytes with a reset.
            drop(api_server);
            // More than is held between: both the reset and its consequence have come.
            caller.write_all(&[1; 64 << 10]).await.unwrap();
            let mut got = vec![0; LAST];
            caller.read_exact(&mut got).await.unwrap();
            assert_eq!(caller.read(&mut [0]).await.unwrap(), 0);
            caller.shutdown().await.unwrap();
        };
        let (joined, ()) = tokio::join!(join(joined, upstream), test);
        joined.unwrap();
    }

    #[tokio::test]
    async fn an_upstream_that_breaks_off_is_no_end() {
        let (upstream, api_server) = pair().await;
        let (_caller, joined) = duplex(1 << 10);
        api_server.set_zero_linger().unwrap();
        drop(api_server);
        assert!(join(joined, upstream).await.is_err());
    }

    #[tokio::test]
    async fn a_caller_that_talks_on_is_not_heard_for_ever() {
        let (upstream, api_server) = pair().await;
        let (mut caller, joined) = duplex(1 << 10);
        drop(api_server);
        let test = async {
            caller.write_all(&[1; 64 << 10]).await.unwrap();
            assert_eq!(caller.read(&mut [0]).await.unwrap(), 0);
            // Here time passes at once wherever all wait.
            tokio::time::pause();
            std::future::pending::<()>().await
        };
        tokio::select! {
            joined = join(joined, upstream) => assert!(matches!(joined, Err(RelayError::Ended(_)))),
            () = test => (),
        }
    }
}
