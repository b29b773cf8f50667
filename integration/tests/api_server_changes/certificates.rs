//! Certificates that change, and such as need no CA beside them.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;
use local_kubernetes::{Options, ServingCertificate};

use crate::pod::{Pod, switches, token};
use crate::restarts::control_plane;

pub(crate) async fn a_self_made_certificate(_: Arc<Environment>) -> Result<()> {
    served(ServingCertificate::SelfMade).await
}

async fn served(certificate: ServingCertificate) -> Result<()> {
    let options = Options {
        serving_certificate: certificate,
        ..Options::default()
    };
    let control_plane = control_plane(options).await?;
    let pod = Pod::start(&control_plane, &token(&control_plane, "pod").await?).await?;
    ensure!(pod.sidecar.who().await?.ends_with(":pod"));
    switches(&pod.sidecar).await?;
    control_plane.stop().await
}
