//! Programs that say whose page they are, although they show none.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;
use integration::python;
use tokio::process::Command;

use crate::attack::pages;
use crate::site::SECRET;
use crate::stage::Stage;

/// The only client of Kubernetes' own that sends an Origin: its server's.
pub(crate) async fn pythons_websockets_are_served(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment, pages()).await?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let requirements = folder.join("../examples/python/requirements.txt");
    let interpreter = python::with_requirements(requirements).await?;
    for (number, url) in [stage.chain.url_by_host(), stage.chain.url_by_path()]
        .into_iter()
        .enumerate()
    {
        let path = format!("/exec/{number}");
        let output = Command::new(&interpreter)
            .arg(folder.join("tests/browser/exec_socket.py"))
            .env("URL", format!("{url}{path}").replace("https:", "wss:"))
            .env("CA_FILE", stage.chain.ca_file())
            .env("PROXY", stage.chain.connect_proxy())
            .env("TOKEN", stage.chain.access_token.expose())
            .output()
            .await?;
        let err = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{url}: {err}");
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(said.trim() == SECRET, "{url}: {said}");
        let asked = stage.prod.asked_below(&path);
        // Else this proves nothing of Origins any more.
        ensure!(asked[0].headers.contains_key("origin"), "{asked:?}");
    }
    stage.stop().await
}
