//! Which of a name's addresses is used: the first that leads somewhere, tried as
//! RFC 8305 (happy eyeballs) has it.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

/// How long one has the field to itself; the RFC recommends it.
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses that are tried, of those that a name has.
const MOST: usize = 16;

/// The families in turn, each in its order; the first address's family first.
fn in_turn(addresses: impl IntoIterator<Item = SocketAddr>) -> Vec<SocketAddr> {
    let (mut sixes, mut fours) = (Vec::new(), Vec::new());
    let mut six_first = None;
    for address in addresses {
        let is_six = address.is_ipv6();
        six_first.get_or_insert(is_six);
        let family = if is_six { &mut sixes } else { &mut fours };
        family.push(address);
    }
    let (first, second) = if six_first == Some(true) {
        (sixes, fours)
    } else {
        (fours, sixes)
    };
    let mut second = second.into_iter();
    let mut turns = Vec::new();
    for address in first {
        turns.push(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns.truncate(MOST);
    turns
}

/// What `reach` makes of the first address that it succeeds with; each gets
/// `at_most`. The next one starts as one has failed, or has had its head start.
///
/// # Errors
/// Each address's, in the order in which they failed; `silent`'s for one that took too
/// long. None where there is no address.
pub(crate) async fn first_of<T, E>(
    addresses: impl IntoIterator<Item = SocketAddr>,
    at_most: Duration,
    reach: impl AsyncFn(SocketAddr) -> Result<T, E>,
    silent: impl Fn(SocketAddr) -> E,
) -> Result<T, Vec<E>> {
    let attempt = async |address| {
        let reached = timeout(at_most, reach(address)).await;
        reached.unwrap_or_else(|_| Err(silent(address)))
    };
    let mut turns = in_turn(addresses).into_iter().peekable();
    let mut tried = FuturesUnordered::new();
    let mut errors = Vec::new();
    while let Some(address) = turns.next() {
        tried.push(attempt(address));
        let more = turns.peek().is_some();
        tokio::select! {
            Some(reached) = tried.next() => match reached {
                Ok(reached) => return Ok(reached),
                Err(error) => errors.push(error),
            },
            () = sleep(HEAD_START), if more => {}
        }
    }
    while let Some(reached) = tried.next().await {
        match reached {
            Ok(reached) => return Ok(reached),
            Err(error) => errors.push(error),
        }
    }
    Err(errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tokio::time::Instant;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn families_take_turns() {
        let given = ["[::1]:1", "[::2]:1", "1.1.1.1:1", "[::3]:1", "1.1.1.2:1"];
        let turns = in_turn(given.map(address));
        let wanted = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"];
        assert_eq!(turns, wanted.map(address));
        let fours = in_turn(["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"].map(address));
        assert_eq!(fours, ["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"].map(address));
        let many = (0..100).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        assert_eq!(in_turn(many).len(), MOST);
    }

    const LONG: Duration = Duration::from_secs(5);

    /// Which address was reached, and after how long.
    async fn reached(
        how: &[(&str, Result<(), ()>, Duration)],
    ) -> (Result<SocketAddr, ()>, Duration) {
        let started = Instant::now();
        let addresses = how.iter().map(|(text, ..)| address(text));
        let tried = RefCell::new(Vec::new());
        let reach = async |reached: SocketAddr| {
            tried.borrow_mut().push(reached);
            let (_, outcome, after) = how
                .iter()
                .find(|(text, ..)| address(text) == reached)
                .unwrap();
            sleep(*after).await;
            outcome.map(|()| reached).map_err(|()| "refused")
        };
        let first = first_of(addresses, LONG, reach, |_| "silent").await;
        (first.map_err(drop), started.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_silent_holds_up_the_next_for_a_moment_only() {
        let never = Duration::from_secs(3600);
        let quick = Duration::from_millis(10);
        let (first, after) =
            reached(&[("[::1]:1", Ok(()), never), ("1.1.1.1:1", Ok(()), quick)]).await;
        assert_eq!(
            (first, after),
            (Ok(address("1.1.1.1:1")), HEAD_START + quick)
        );
        // One that fails does not even do that.
        let (first, after) =
            reached(&[("[::1]:1", Err(()), quick), ("1.1.1.1:1", Ok(()), quick)]).await;
        assert_eq!((first, after), (Ok(address("1.1.1.1:1")), quick * 2));
        // And the first may still be the one.
        let slow = HEAD_START * 2;
        let (first, after) =
            reached(&[("[::1]:1", Ok(()), slow), ("1.1.1.1:1", Ok(()), never)]).await;
        assert_eq!((first, after), (Ok(address("[::1]:1")), slow));
    }

    #[tokio::test(start_paused = true)]
    async fn none_is_an_error_in_time() {
        let never = Duration::from_secs(3600);
        let (first, after) =
            reached(&[("[::1]:1", Ok(()), never), ("1.1.1.1:1", Ok(()), never)]).await;
        assert_eq!((first, after), (Err(()), HEAD_START + LONG));
        let (first, after) = reached(&[]).await;
        assert_eq!((first, after), (Err(()), Duration::ZERO));
    }
}
