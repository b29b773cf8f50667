//! How long the cluster may take for its response headers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Uri;
use http_relay::Meter;
use tokio::time::{Instant, sleep};

/// How often within its limit an upload is looked at.
const LOOKS: u32 = 15;

/// Whether the API server may rightly be silent for long: watches, logs, and
/// what passes through to pods.
pub(crate) fn is_long_running(uri: &Uri) -> bool {
    let watches = uri.query().is_some_and(|query| {
        query.split('&').any(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            matches!(name, "watch" | "follow") && !matches!(value, "false" | "0")
        })
    });
    let streams = |segment| {
        matches!(
            segment,
            "watch" | "log" | "exec" | "attach" | "portforward" | "proxy"
        )
    };
    watches || uri.path().split('/').any(streams)
}

/// Resolves when the headers are overdue. An upload that makes progress is not
/// kept waiting for: the time counts from its last byte, and never before the request
/// has a link, for which it `waits`.
pub(crate) async fn overdue(limit: Duration, upload: &Meter, waits: &AtomicBool) {
    let look = (limit / LOOKS).max(Duration::from_millis(50));
    let (mut seen, mut since) = (upload.bytes(), Instant::now());
    while since.elapsed() < limit {
        sleep(look).await;
        let now = upload.bytes();
        if now != seen || waits.load(Ordering::Relaxed) {
            (seen, since) = (now, Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NEVER: AtomicBool = AtomicBool::new(false);

    #[test]
    fn only_what_may_be_silent() {
        for uri in [
            "/api/v1/pods?watch=true",
            "/api/v1/watch/pods",
            "/api/v1/namespaces/a/pods/b/log?x=y",
            "/api/v1/namespaces/a/pods/b/exec?command=sh",
            "/api/v1/namespaces/a/services/b:80/proxy/x",
            "/a?limit=1&watch=1",
            "/a?watch",
        ] {
            assert!(is_long_running(&uri.parse().unwrap()), "{uri}");
        }
        for uri in [
            "/api/v1/pods",
            "/api/v1/pods?watch=false",
            "/api/v1/namespaces/a/pods/watcher",
            "/apis?x=watch=true",
        ] {
            assert!(!is_long_running(&uri.parse().unwrap()), "{uri}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upload_that_moves_gets_its_time() {
        let meter = Meter::default();
        let started = Instant::now();
        let limit = Duration::from_secs(75);
        let uploading = async {
            for _ in 0..3 {
                sleep(Duration::from_secs(60)).await;
                meter.add(1);
            }
        };
        let ((), ()) = tokio::join!(overdue(limit, &meter, &NEVER), uploading);
        let (shortest, look) = (Duration::from_secs(180) + limit, limit / LOOKS);
        assert!(started.elapsed() >= shortest && started.elapsed() <= shortest + look * 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_for_a_link_is_not_the_clusters_time() {
        let (meter, waits) = (Meter::default(), AtomicBool::new(true));
        let started = Instant::now();
        let (limit, held) = (Duration::from_secs(2), Duration::from_secs(5));
        let holding = async {
            sleep(held).await;
            waits.store(false, Ordering::Relaxed);
        };
        let ((), ()) = tokio::join!(overdue(limit, &meter, &waits), holding);
        let shortest = held + limit - limit / LOOKS;
        assert!(started.elapsed() >= shortest && started.elapsed() <= held + limit * 2);
    }
}
