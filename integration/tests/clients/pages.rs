//! Web pages in a real Chromium: one that the sidecar serves beside the API, and
//! those of other origins.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chromium::{Chromium, Tab};
use integration::environment::Environment;
use serde_json::{Value, json};

use crate::stage::Stage;

fn www() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/pages");
    format!("--www={}", folder.display())
}

async fn evaluated(tab: &Tab<'_>, call: &str, arguments: &[Value]) -> Result<Value> {
    let arguments: Vec<_> = arguments.iter().map(Value::to_string).collect();
    let call = format!("{call}({})", arguments.join(", "));
    tab.evaluate(&call).await.with_context(|| call)
}

/// A browser knows this machine under that name.
async fn browser(name: &'static str, addresses: &[SocketAddr]) -> Result<Chromium> {
    let own = addresses.iter().map(|&at| (name, at.port(), at));
    let local = addresses.iter().map(|&at| ("localhost", at.port(), at));
    let routes: Vec<_> = own.chain(local).collect();
    Chromium::start(&routes, &[], None).await
}

/// It lists, makes objects, and watches: by a fetch that it reads as it comes, and by
/// a WebSocket.
pub(crate) async fn a_page_beside_the_api(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(environment, "page-beside", &[&www()]).await?;
    let address = stage.sidecar.address()?;
    let browser = browser("rebound.test", &[address]).await?;
    let tab = browser.tab().await?;
    let port = address.port();
    tab.open(&format!("http://localhost:{port}/static/"))
        .await?;
    let path = json!(stage.config_maps());
    let status = evaluated(&tab, "post", &[path.clone(), json!("posted")]).await?;
    ensure!(status == 201, "{status}");
    let names = evaluated(&tab, "names", std::slice::from_ref(&path)).await?;
    ensure!(names == json!(["posted"]), "{names}");
    for call in ["watchedByFetch", "watchedBySocket"] {
        let wanted = json!([
            format!("{call}-1").to_lowercase(),
            format!("{call}-2").to_lowercase()
        ]);
        let seen = evaluated(&tab, call, &[path.clone(), wanted.clone()]).await?;
        ensure!(seen == wanted, "{call}: {seen}");
    }
    // Whoever makes a name of their own lead to this machine is of that name's origin.
    for path in ["/static/", "/api/v1/namespaces"] {
        tab.open(&format!("http://rebound.test:{port}{path}"))
            .await?;
        let text = tab.evaluate("document.body.textContent").await?;
        let text = text.as_str().unwrap_or_default();
        ensure!(text.contains("--accept-hosts"), "{path}: {text}");
    }
    stage.stop()
}

pub(crate) async fn pages_of_other_origins(environment: Arc<Environment>) -> Result<()> {
    let hosts = [&www(), "--accept-hosts=evil.test"];
    let evil = Stage::start(environment.clone(), "page-evil", &hosts).await?;
    let plain = Stage::start(environment.clone(), "page-plain", &[]).await?;
    let accepting = ["--accept-hosts=^localhost$,^evil.test$"];
    let accepting = Stage::start(environment.clone(), "page-accepting", &accepting).await?;
    let open = Stage::start(environment, "page-open", &["--disable-filter"]).await?;
    let mut addresses = vec![evil.sidecar.address()?];
    for stage in [&plain, &accepting, &open] {
        addresses.push(stage.sidecar.address()?);
    }
    let browser = browser("evil.test", &addresses).await?;
    let tab = browser.tab().await?;
    let port = addresses[0].port();
    tab.open(&format!("http://evil.test:{port}/static/"))
        .await?;
    for (stage, succeeds) in [(&plain, false), (&accepting, true), (&open, true)] {
        let target = format!("http://localhost:{}", stage.sidecar.address()?.port());
        let path = stage.config_maps();
        let attack = [json!(target), json!(path), json!("planted")];
        let came = evaluated(&tab, "attack", &attack).await?;
        let socket = if succeeds { "open" } else { "refused" };
        // Reading is what browsers themselves prevent.
        ensure!(came == json!(["TypeError", socket]), "{path}: {came}");
        let stored = stage.stored(&path).await?;
        let items = stored["items"].as_array().context("no items")?;
        ensure!(items.len() == usize::from(succeeds), "{path}: {stored}");
    }
    for stage in [evil, plain, accepting, open] {
        stage.stop()?;
    }
    Ok(())
}
