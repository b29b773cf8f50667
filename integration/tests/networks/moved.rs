//! A server whose name leads elsewhere from now on.

use std::sync::Arc;

use anyhow::Result;
use integration::chain::BASE_DOMAIN;
use integration::environment::Environment;

use crate::stage::Stage;

pub(crate) async fn a_server_that_moved_is_found(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment).await?;
    let before = stage.network.here;
    stage.chain.server.kill()?;
    stage.network.move_here().await?;
    stage.chain.restart_server().await?;
    // The old address is still the name's first, and leads nowhere.
    let now = stage.network.here;
    stage
        .network
        .hosts(&format!("{before} {BASE_DOMAIN}\n{now} {BASE_DOMAIN}\n"))?;
    stage.chain.linked().await?;
    stage.chain.stop().await
}
