use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
use tokio::time::{Instant, advance, sleep, timeout};

use crate::strict_http1::{HEAD_TIMEOUT, StrictHttp1};

const DAY: Duration = Duration::from_secs(24 * 3600);
const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_head_that_comes_too_slowly_ends_the_connection() {
    let (mut peer, io) = duplex(64);
    let mut io = StrictHttp1::new(io, |_| {});
    let begun = Instant::now();
    let dripping = async {
        for byte in HEAD {
            peer.write_all(&[*byte]).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    };
    let reading = async {
        let mut bytes = Vec::new();
        io.read_to_end(&mut bytes).await.unwrap_err()
    };
    let error = tokio::select! {
        error = reading => error,
        () = dripping => panic!("it was let through"),
    };
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(begun.elapsed().as_secs(), HEAD_TIMEOUT.as_secs());
}

#[tokio::test(start_paused = true)]
async fn only_a_head_has_a_deadline_and_only_while_it_is_waited_for() {
    let (mut peer, io) = duplex(256);
    let mut io = StrictHttp1::new(io, |_| {});
    let mut bytes = [0; 64];
    // Before the first byte, between requests, within a body, behind an upgrade.
    for sent in [
        b"".as_slice(),
        HEAD,
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf",
        b"whole",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1",
        b"\r\na\r\n0\r\n\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    ] {
        peer.write_all(sent).await.unwrap();
        let mut read = 0;
        while read < sent.len() {
            read += io.read(&mut bytes).await.unwrap();
        }
        assert!(timeout(DAY, io.read(&mut bytes)).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_nobody_reads_is_not_late() {
    let (mut peer, io) = duplex(256);
    let mut io = StrictHttp1::new(io, |_| {});
    let mut bytes = [0; 256];
    let (first, second) = HEAD.split_at(9);
    peer.write_all(first).await.unwrap();
    assert_eq!(io.read(&mut bytes).await.unwrap(), first.len());
    // The request before it is being answered.
    advance(DAY).await;
    peer.write_all(second).await.unwrap();
    assert_eq!(io.read(&mut bytes).await.unwrap(), second.len());
    // Each head has its own time.
    peer.write_all(first).await.unwrap();
    assert_eq!(io.read(&mut bytes).await.unwrap(), first.len());
    let almost = HEAD_TIMEOUT - Duration::from_secs(1);
    assert!(timeout(almost, io.read(&mut bytes)).await.is_err());
    peer.write_all(&[second, first].concat()).await.unwrap();
    assert_eq!(io.read(&mut bytes).await.unwrap(), HEAD.len());
    assert!(timeout(almost, io.read(&mut bytes)).await.is_err());
    assert!(io.read(&mut bytes).await.is_err());
}
