//! By hostname each cluster has an origin of its own, but all share a site.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::SOON;
use integration::chromium::Chromium;
use integration::environment::Environment;
use integration::wait::until;
use serde_json::json;

use crate::attack::{attack, must_be_untouched, must_have_failed, pages};
use crate::site::Page;
use crate::stage::{EVIL, OPEN, OTHER, OTHER_BY_PATH, PROD, Pages, Stage};

pub(crate) async fn a_clusters_page_cannot_reach_another_cluster(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::start(&environment, pages()).await?;
    let browser = stage.browser_with_token().await?;
    for (base, below) in [(OTHER, "/by-host"), (OTHER_BY_PATH, "/by-path")] {
        let tab = browser.tab().await?;
        let report = attack(&tab, PROD, &format!("{base}{below}")).await?;
        must_have_failed(&stage, below, &report, true).await?;
        must_be_untouched(&stage.other, below)?;
    }
    // Itself it can, and that it may.
    let tab = browser.tab().await?;
    let report = attack(&tab, PROD, &format!("{PROD}/own")).await?;
    let read = report.values().filter(|read| read.is_some()).count();
    ensure!(read > report.len() / 2, "{report:?}");
    stage.stop().await
}

/// Where the browser keeps them, and that none reaches a cluster.
pub(crate) async fn cookies_stay_on_their_host(environment: Arc<Environment>) -> Result<()> {
    let pages = Pages::from([(
        "/cookies",
        Page::html("<!doctype html>")
            .with(
                "set-cookie",
                "tossed=1; Domain=culvert.test; Path=/; Secure",
            )
            .with("set-cookie", "__Host-own=1; Path=/; Secure")
            .with(
                "set-cookie",
                "__Host-tossed=1; Path=/; Secure; Domain=culvert.test",
            ),
    )]);
    let stage = Stage::start(&environment, pages).await?;
    let browser = stage.browser_with_token().await?;
    let tab = browser.tab().await?;
    tab.open(&format!("{PROD}/cookies")).await?;
    let kept = browser.cookies().await?;
    ensure!(kept.len() == 3, "{kept:?}");
    for cookie in &kept {
        // With a Domain it would have a dot.
        ensure!(cookie["domain"] == "prod.culvert.test", "{cookie}");
    }
    // A script can toss one; that it reaches nobody is the server's to see to.
    tab.evaluate("document.cookie = 'script=1; Domain=culvert.test; Path=/; Secure'")
        .await?;
    for base in [PROD, OTHER, OTHER_BY_PATH] {
        tab.open(&format!("{base}/after/tab")).await?;
    }
    for site in [&stage.prod, &stage.other] {
        let asked = site.asked();
        ensure!(!asked.is_empty());
        for one in asked {
            ensure!(!one.headers.contains_key("cookie"), "{one:?}");
        }
    }
    stage.stop().await
}

/// What a cluster might say for a whole host, from now on.
fn for_the_host() -> Pages {
    let page = Page::html("<!doctype html>")
        .with(
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        )
        .with("alt-svc", "h3=\"evil.test:443\"; ma=86400")
        .with("clear-site-data", "\"*\"")
        .with("nel", r#"{"report_to":"x","max_age":86400}"#)
        .with(
            "report-to",
            r#"{"group":"x","max_age":86400,"endpoints":[{"url":"https://evil.test/report"}]}"#,
        )
        .with("origin-agent-cluster", "?0");
    Pages::from([("/host", page), ("/", Page::html("<!doctype html>"))])
}

/// Whether what was stored is gone after the page, and http is https.
async fn effects(stage: &Stage, browser: &Chromium, site: &str) -> Result<(bool, bool)> {
    let tab = browser.tab().await?;
    tab.open(&format!("{site}/")).await?;
    tab.evaluate("localStorage.setItem('a', 'b')").await?;
    tab.open(&format!("{site}/host")).await?;
    let cleared = tab.evaluate("localStorage.getItem('a') === null").await?;
    let plain = format!("{}/after", site.replace("https:", "http:"));
    let host = site.trim_start_matches("https://");
    tab.call("Page.navigate", json!({ "url": plain })).await?;
    let upgraded = until("the page at port 80 or 443", SOON, || async {
        let is_here = |asked: &crate::site::Asked| asked.host == host;
        if stage.plain.asked_below("/after").iter().any(is_here) {
            return Ok(Some(false));
        }
        let sites = [&stage.open, &stage.prod];
        let came = sites
            .iter()
            .any(|site| !site.asked_below("/after").is_empty());
        Ok(came.then_some(true))
    })
    .await?;
    Ok((cleared == true, upgraded))
}

pub(crate) async fn a_cluster_says_nothing_for_its_host(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::start(&environment, for_the_host()).await?;
    let browser = stage.browser_with_token().await?;
    let cluster = effects(&stage, &browser, PROD).await?;
    ensure!(cluster == (false, false), "{cluster:?}");
    let open = effects(&stage, &browser, OPEN).await?;
    ensure!(open == (true, true), "what works elsewhere: {open:?}");

    // What has no effect to be seen here is at least not there.
    let names = "fetch('/host').then(answer => [...answer.headers.keys()])";
    let tab = browser.tab().await?;
    for (site, there) in [(PROD, false), (EVIL, true)] {
        tab.open(&format!("{site}/")).await?;
        let names = tab.evaluate(names).await?;
        for name in ["alt-svc", "nel", "report-to", "origin-agent-cluster"] {
            let found = names
                .as_array()
                .is_some_and(|names| names.contains(&json!(name)));
            ensure!(found == there, "{site}: {name} in {names}");
        }
    }
    stage.stop().await
}
