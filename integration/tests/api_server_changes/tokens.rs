//! The service account's token: renewed, expired, and of an account that is another
//! one by now.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use local_kubernetes::ControlPlane;
use tokio::time::{Instant, sleep_until};

use crate::pod::{NAMESPACE, Pod, delete, switches, token};

const REFUSES: &str = "the API server refuses the service account's token";
const TAKES_AGAIN: &str = "the API server takes the credential again";
const RENEWED: &str = "the token was renewed";
/// API servers remember for 10 s that a token is good.
const REMEMBERED: Duration = Duration::from_secs(10);
/// The shortest lifetime that is given.
const SHORTEST: Duration = Duration::from_secs(600);

/// The kubelet renews a token when four fifths of its time are over: no request is
/// refused. In the long form as slowly as that; in the short form each request finds
/// another token, and none of them half.
pub(crate) async fn tokens_renewed_in_time(environment: Arc<Environment>) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    token(control_plane, "renewed").await?;
    let new = || control_plane.service_account_token_for(NAMESPACE, "renewed", SHORTEST);
    let mut pod = Pod::start(control_plane, &new().await?).await?;
    for _ in 0..amount(0, 2) {
        let start = Instant::now();
        // A request a second, well beyond the lifetime of the token before.
        for second in 0..u32::try_from(SHORTEST.as_secs())? {
            if second == u32::try_from(SHORTEST.as_secs() * 4 / 5)? {
                pod.account.change(&[("token", &new().await?)])?;
            }
            sleep_until(start + Duration::from_secs(1) * second).await;
            ensure!(pod.sidecar.who().await?.ends_with(":renewed"));
        }
    }
    for _ in 0..20 {
        pod.account.change(&[("token", &new().await?)])?;
        ensure!(pod.sidecar.who().await?.ends_with(":renewed"));
    }
    pod.said(REFUSES, 0)
}

/// The kubelet came too late.
pub(crate) async fn an_expired_token(environment: Arc<Environment>) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let good = token(control_plane, "expired").await?;
    // Long enough for a start on a loaded machine.
    let short = control_plane.expiring_token(&good, REMEMBERED)?;
    environment.secrets.add("a token", &short);
    environment.secrets.add("a token", &good);
    let mut pod = Pod::start(control_plane, &short).await?;
    ensure!(pod.sidecar.who().await?.ends_with(":expired"));
    refused_until_renewed(&environment, &mut pod, &good).await
}

/// Deleted and made anew: the same name, and another account to the API server.
pub(crate) async fn a_service_account_made_anew(environment: Arc<Environment>) -> Result<()> {
    let control_plane = environment.kubernetes().await?;
    let old = token(control_plane, "anew").await?;
    environment.secrets.add("a token", &old);
    let mut pod = Pod::start(control_plane, &old).await?;
    ensure!(pod.sidecar.who().await?.ends_with(":anew"));
    delete(control_plane, "anew").await?;
    let new = control_plane
        .service_account_token(NAMESPACE, "anew")
        .await?;
    environment.secrets.add("a token", &new);
    refused_until_renewed(&environment, &mut pod, &new).await
}

/// The token in use comes to be refused; then the kubelet renews it.
async fn refused_until_renewed(environment: &Environment, pod: &mut Pod, new: &str) -> Result<()> {
    pod.answers_within(401, REMEMBERED * 2 + SOON).await?;
    let cause_and_cure = [
        "refuses the service account's token in",
        "expired",
        "deleted or made anew",
        "The kubelet renews",
        "delete the pod",
    ];
    for _ in 0..5 {
        pod.unready(&cause_and_cure).await?;
        pod.answers(401).await?;
    }
    pod.said(REFUSES, 1)?;
    pod.said(TAKES_AGAIN, 0)?;
    pod.account.change(&[("token", new)])?;
    pod.answers(201).await?;
    pod.ready().await?;
    switches(&pod.sidecar).await?;
    pod.said(REFUSES, 1)?;
    pod.said(TAKES_AGAIN, 1)?;
    pod.said(RENEWED, 1)?;
    environment.secrets.must_not_be_in_file(&pod.sidecar.log())
}

/// Nor does it make the file be read.
pub(crate) async fn a_callers_own_token_says_nothing_of_ours(
    environment: Arc<Environment>,
) -> Result<()> {
    let control_plane: &ControlPlane = environment.kubernetes().await?;
    let pod = Pod::start(control_plane, &token(control_plane, "callers").await?).await?;
    let url = format!("{}/api/v1/namespaces", pod.sidecar.url()?);
    let request = reqwest::Client::new().get(url).bearer_auth("nobody's");
    ensure!(request.send().await?.status() == 401);
    pod.ready().await?;
    pod.said(REFUSES, 0)
}
