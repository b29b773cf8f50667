//! Whether the API server answers, for readiness: asked when the kubelet asks, so
//! that a sidecar at which nobody looks calls nobody by itself.

use std::time::Duration;

use http::{Request, StatusCode, Uri};
use http_relay::body::error_chain;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::upstream::{Upstream, UpstreamError};

/// Every authenticated user may read it.
const QUESTION: &str = "/readyz";
/// Below the manifest's timeout of the probe, so that the reason is told.
const PATIENCE: Duration = Duration::from_secs(3);
/// Whoever reaches the admin port must not make us ask more often.
const FRESH: Duration = Duration::from_secs(1);

/// The admin port is the first worker's.
const FIRST: usize = 0;

type Answer = Result<(), Fault>;

/// What keeps the API server from serving us.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fault {
    /// Our credential, which tells of it itself.
    Credential(String),
    /// It is not there, or not well.
    ApiServer(String),
}

/// What the API server answered last, and when.
#[derive(Debug, Default)]
pub(crate) struct Probe(Mutex<Option<(Instant, Answer)>>);

impl Probe {
    /// Nothing, or what is wrong.
    pub(crate) async fn ask(&self, upstream: &Upstream) -> Result<(), String> {
        upstream.ready().map_err(|error| error.to_string())?;
        let mut last = self.0.lock().await;
        let answer = match &*last {
            Some((at, answer)) if at.elapsed() < FRESH => answer.clone(),
            before => {
                let answer = ask(upstream).await;
                tell(before.as_ref().map(|(_, answer)| answer), &answer);
                *last = Some((Instant::now(), answer.clone()));
                answer
            }
        };
        answer.map_err(|(Fault::Credential(told) | Fault::ApiServer(told))| told)
    }
}

async fn ask(upstream: &Upstream) -> Answer {
    let mut question = Request::new(http_relay::body::empty());
    *question.uri_mut() = Uri::from_static(QUESTION);
    match timeout(PATIENCE, upstream.send(question, false, FIRST)).await {
        Ok(Ok(response)) if response.status() == StatusCode::UNAUTHORIZED => {
            Err(Fault::Credential(upstream.rejected()))
        }
        Ok(Ok(response)) => judge(response.status()),
        Ok(Err(UpstreamError::Credential(error))) => Err(Fault::Credential(error.to_string())),
        Ok(Err(error)) => {
            let error = error_chain(&error);
            Err(Fault::ApiServer(format!("the API server: {error}")))
        }
        Err(_) => Err(Fault::ApiServer(format!(
            "the API server does not answer within {} s",
            PATIENCE.as_secs()
        ))),
    }
}

fn judge(status: StatusCode) -> Answer {
    if status.is_server_error() {
        return Err(Fault::ApiServer(format!(
            "the API server answers {status} to {QUESTION}"
        )));
    }
    // Not allowed to ask is an answer, too.
    Ok(())
}

/// Once when it begins, and once when it ends; probes come every few seconds.
fn tell(before: Option<&Answer>, now: &Answer) {
    let was_well = !matches!(before, Some(Err(Fault::ApiServer(_))));
    match now {
        Err(Fault::ApiServer(reason)) if was_well => {
            tracing::warn!(%reason, "the API server cannot be used");
        }
        Ok(()) | Err(Fault::Credential(_)) if !was_well => {
            tracing::info!("the API server can be used again");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_good_but_for_faults_of_its_own() {
        for (status, good) in [
            (200, true),
            (403, true),
            (404, true),
            (500, false),
            (503, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(judge(status).is_ok(), good, "{status}");
        }
    }
}
