//! A hostile site against a cluster, by hostname and by path: through a browser
//! that is logged out, that has cookies, and that adds a token to all it sends.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::SOON;
use integration::chromium::Chromium;
use integration::environment::Environment;
use integration::wait::until;
use serde_json::json;

use crate::attack::{attack, must_be_untouched, must_have_failed, must_have_worked, pages};
use crate::site::SECRET;
use crate::stage::{EVIL, OPEN, PROD, PROD_BY_PATH, Stage};

pub(crate) async fn every_attack_works_where_nothing_protects(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::start(&environment, pages()).await?;
    let browser = stage.browser().await?;
    let tab = browser.tab().await?;
    let report = attack(&tab, EVIL, &format!("{OPEN}/x")).await?;
    must_have_worked(&stage.open, "/x", &report).await?;
    stage.stop().await
}

/// Attacks the cluster both ways; nothing comes of it.
async fn attacked(stage: &Stage, browser: &Chromium, adds_token: bool) -> Result<()> {
    for (base, below) in [(PROD, "/by-host"), (PROD_BY_PATH, "/by-path")] {
        let tab = browser.tab().await?;
        let report = attack(&tab, EVIL, &format!("{base}{below}")).await?;
        must_have_failed(stage, below, &report, adds_token).await?;
        must_be_untouched(&stage.prod, below)?;
    }
    Ok(())
}

pub(crate) async fn a_logged_out_browser_sends_nothing_to_a_cluster(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::start(&environment, pages()).await?;
    attacked(&stage, &stage.browser().await?, false).await?;
    stage.stop().await
}

pub(crate) async fn cookies_help_no_foreign_page(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment, pages()).await?;
    let browser = stage.browser().await?;
    for url in [PROD, "https://culvert.test"] {
        for name in ["__Host-session", "session"] {
            // As weak as a cookie can be made.
            let cookie = json!({
                "name": name, "value": "somebody", "url": url,
                "secure": true, "sameSite": "None",
            });
            browser.set_cookie(cookie).await?;
        }
    }
    attacked(&stage, &browser, false).await?;
    stage.stop().await
}

pub(crate) async fn headers_of_an_extension_help_no_foreign_page(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::start(&environment, pages()).await?;
    let browser = stage.browser_with_token().await?;
    let tab = browser.tab().await?;
    // Else the token would not be what the attacks lack.
    for base in [PROD, PROD_BY_PATH] {
        tab.open(&format!("{base}/own/tab")).await?;
        let text = tab.evaluate("document.body.textContent").await?;
        ensure!(text == SECRET, "{base}: {text}");
    }
    attacked(&stage, &browser, true).await?;
    stage.stop().await
}

/// A tab of its own, by a link, by a script or by a redirect: whose page opened it
/// does not see into it.
pub(crate) async fn a_link_shows_a_page_and_no_more(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment, pages()).await?;
    let browser = stage.browser_with_token().await?;
    let ways = [
        (PROD, &stage.prod, "SecurityError"),
        (PROD_BY_PATH, &stage.prod, "SecurityError"),
        (EVIL, &stage.evil, SECRET),
    ];
    for (number, (base, site, expected)) in ways.into_iter().enumerate() {
        for through in ["", "/redirect?to="] {
            let tab = browser.tab().await?;
            tab.open(&format!("{EVIL}/attacks")).await?;
            let path = format!("/{number}{}/tab", through.len());
            tab.evaluate(&format!(
                "globalThis.opened = open({:?}); null",
                format!("{through}{base}{path}")
            ))
            .await?;
            let arrived = until("a tab", SOON, || async {
                Ok(site.asked_below(&path).into_iter().next())
            })
            .await?;
            ensure!(arrived.method == "GET", "{arrived:?}");
            let read = "(() => { try { return opened.document.body.textContent } \
                catch (error) { return error.name } })()";
            until(&format!("{expected} of {base}"), SOON, || async {
                let read = tab.evaluate(read).await?;
                Ok((read == expected).then_some(()))
            })
            .await?;
        }
    }
    stage.stop().await
}
