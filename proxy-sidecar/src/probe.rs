//! Whether the API server answers, for readiness: asked when the kubelet asks, so
//! that a sidecar at which nobody looks calls nobody by itself.

use std::time::Duration;

use http::{Request, StatusCode, Uri};
use http_relay::body::error_chain;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::upstream::Upstream;

/// Every authenticated user may read it.
const QUESTION: &str = "/readyz";
/// Below the manifest's timeout of the probe, so that the reason is told.
const PATIENCE: Duration = Duration::from_secs(3);
/// Whoever reaches the admin port must not make us ask more often.
const FRESH: Duration = Duration::from_secs(1);

type Answer = Result<(), String>;

/// What the API server answered last, and when.
#[derive(Debug, Default)]
pub(crate) struct Probe(Mutex<Option<(Instant, Answer)>>);

impl Probe {
    /// Nothing, or what is wrong.
    pub(crate) async fn ask(&self, upstream: &Upstream) -> Answer {
        upstream.ready().map_err(|error| error.to_string())?;
        let mut last = self.0.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = ask(upstream).await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

async fn ask(upstream: &Upstream) -> Answer {
    let mut question = Request::new(http_relay::body::empty());
    *question.uri_mut() = Uri::from_static(QUESTION);
    match timeout(PATIENCE, upstream.send(question, false)).await {
        Ok(Ok(response)) => judge(response.status()),
        Ok(Err(error)) => Err(format!("the API server: {}", error_chain(&error))),
        Err(_) => Err(format!(
            "the API server does not answer within {} s",
            PATIENCE.as_secs()
        )),
    }
}

fn judge(status: StatusCode) -> Answer {
    if status == StatusCode::UNAUTHORIZED {
        return Err("the API server refuses the credential".to_owned());
    }
    if status.is_server_error() {
        return Err(format!("the API server answers {status} to {QUESTION}"));
    }
    // Not allowed to ask is an answer, too.
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_but_for_401_and_its_own_faults() {
        for (status, good) in [
            (200, true),
            (403, true),
            (404, true),
            (401, false),
            (500, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(judge(status).is_ok(), good, "{status}");
        }
    }
}
