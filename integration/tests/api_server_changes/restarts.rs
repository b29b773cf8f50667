//! An API server that ends and starts again.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use integration::chain::SOON;
use integration::environment::Environment;
use local_kubernetes::{Binaries, ControlPlane, Options};
use tokio::time::timeout;

use crate::pod::{Pod, switches, token};

const CANNOT: &str = "the API server cannot be used";
const CAN_AGAIN: &str = "the API server can be used again";

/// A control plane for one test.
pub(crate) async fn control_plane(options: Options) -> Result<ControlPlane> {
    let obtain = || Binaries::obtain(&local_kubernetes::to_stderr);
    let binaries = tokio::task::spawn_blocking(obtain).await??;
    ControlPlane::start(&binaries, options).await
}

/// What was open ends with an error, what is asked meanwhile is told why, and all is
/// well again with the first request to the new one.
pub(crate) async fn a_restarted_api_server(_: Arc<Environment>) -> Result<()> {
    let control_plane = control_plane(Options::default()).await?;
    let pod = Pod::start(&control_plane, &token(&control_plane, "pod").await?).await?;
    pod.ready().await?;
    let url = format!("{}/api/v1/namespaces?watch=true", pod.sidecar.url()?);
    let mut watch = reqwest::get(&url).await?.bytes_stream();
    timeout(SOON, watch.next()).await?.context("no event")??;
    control_plane.kill_api_server()?;
    let cut = async {
        while let Some(piece) = watch.next().await {
            if piece.is_err() {
                return true;
            }
        }
        false
    };
    ensure!(timeout(SOON, cut).await?, "the cut watch ended well");
    for _ in 0..5 {
        let told = pod.answers(502).await?;
        let message = told["message"].as_str().unwrap_or_default();
        ensure!(message.contains("cannot reach the API server"), "{told}");
        pod.unready(&["the API server", "refused"]).await?;
    }
    pod.said(CANNOT, 1)?;
    pod.said(CAN_AGAIN, 0)?;
    control_plane.restart_api_server().await?;
    ensure!(pod.sidecar.who().await?.ends_with(":pod"));
    pod.ready().await?;
    switches(&pod.sidecar).await?;
    pod.said(CANNOT, 1)?;
    pod.said(CAN_AGAIN, 1)?;
    control_plane.stop().await
}

/// Of the same CA: nobody has to be told.
pub(crate) async fn a_new_certificate(_: Arc<Environment>) -> Result<()> {
    let control_plane = control_plane(Options::default()).await?;
    let pod = Pod::start(&control_plane, &token(&control_plane, "pod").await?).await?;
    pod.ready().await?;
    control_plane.restart_with_new_certificate().await?;
    ensure!(pod.sidecar.who().await?.ends_with(":pod"));
    switches(&pod.sidecar).await?;
    control_plane.stop().await
}
