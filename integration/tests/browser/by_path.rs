//! By path every cluster shares its origin with the server: its pages get none.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::wait::until;
use serde_json::{Value, json};

use crate::attack::must_be_untouched;
use crate::site::Page;
use crate::stage::{EVIL, OTHER_BY_PATH, PROD_BY_PATH, Pages, Stage};

const PAGE: &str = "/clusters/prod/page";

/// A page that does what it can to its neighbour without a script, and with one.
const HOSTILE: &str = r#"<!doctype html><title>waits</title>
<meta http-equiv=refresh content="0; url=/clusters/other/x/refresh">
<script>document.title = 'ran'</script>
<link rel=stylesheet href=/clusters/other/x/style>
<link rel=prefetch href=/clusters/other/x/prefetch>
<script src=/clusters/other/x/script></script>
<img src=/clusters/other/x/image>
<iframe src=/clusters/other/x/frame></iframe>
<object data=/clusters/other/x/frame_object type=text/html></object>
<embed src=/clusters/other/x/frame_embed type=text/html>
<form action=/clusters/other/x/form method=post><input name=a></form>"#;

/// What the page asks for although it runs no script.
const ASKED: [&str; 5] = ["style", "image", "frame", "frame_object", "frame_embed"];

/// What a script could do, and what comes of it in an origin of nobody's.
const DONE: [(&str, &str); 10] = [
    ("self.origin", "null"),
    ("document.title", "waits"),
    ("document.cookie", "SecurityError"),
    ("localStorage.length", "SecurityError"),
    ("document.domain = 'culvert.test'", "SecurityError"),
    (
        "navigator.serviceWorker.register('/clusters/prod/x/script')",
        "SecurityError",
    ),
    ("fetch('/').then(() => 'read')", "TypeError"),
    (
        "fetch('/clusters/prod/x/fetch').then(() => 'read')",
        "TypeError",
    ),
    (
        "fetch('/clusters/other/x/fetch').then(() => 'read')",
        "TypeError",
    ),
    (
        "fetch('/clusters/other/x/post', { method: 'POST', mode: 'no-cors' }).then(a => a.type + a.status)",
        "opaque0",
    ),
];

fn page(html: &str) -> Page {
    Page::html(html)
        .with(
            "content-security-policy",
            "sandbox allow-scripts allow-same-origin allow-forms",
        )
        .with("set-cookie", "planted=1; Path=/; Secure; SameSite=None")
        .with("refresh", "0; url=/clusters/other/x/refresh_header")
        .with("link", "</clusters/other/x/link>; rel=preload; as=fetch")
        .with("service-worker-allowed", "/")
}

pub(crate) async fn a_clusters_page_has_no_origin_and_no_scripts(
    environment: Arc<Environment>,
) -> Result<()> {
    let hostile = page(HOSTILE);
    let pages = Pages::from([("/page", hostile.clone()), (PAGE, hostile)]);
    let stage = Stage::start(&environment, pages).await?;
    let browser = stage.browser_with_token().await?;
    let tab = browser.tab().await?;
    tab.open(&format!("{PROD_BY_PATH}/page")).await?;
    for (tried, expected) in DONE {
        let tried = format!(
            "(async () => {{ try {{ return String(await ({tried})) }} catch (error) {{ return error.name }} }})()"
        );
        let got = tab.evaluate(&tried).await?;
        ensure!(got == expected, "{tried}: {got}");
    }
    tab.evaluate("document.forms[0].submit()").await?;
    for name in ASKED.iter().chain(&["fetch", "post"]) {
        stage.refused(&format!("/x/{name}")).await?;
    }
    let location = tab.evaluate("location.href").await?;
    ensure!(location == format!("{PROD_BY_PATH}/page"), "{location}");
    must_be_untouched(&stage.other, "/")?;
    must_be_untouched(&stage.prod, "/x/")?;

    // The same page where nothing confines it: all of that works.
    let tab = browser.tab().await?;
    tab.call("Page.navigate", json!({ "url": format!("{EVIL}{PAGE}") }))
        .await?;
    for name in ASKED.iter().chain(&["script", "refresh"]) {
        until(&format!("the unconfined {name}"), SOON, || async {
            let asked = stage.evil.asked_below(&format!("/clusters/other/x/{name}"));
            Ok((!asked.is_empty()).then_some(()))
        })
        .await?;
    }
    stage.stop().await
}

/// On a page of the server's own, without the policy that lets it load nothing.
pub(crate) async fn by_path_no_text_becomes_a_script(environment: Arc<Environment>) -> Result<()> {
    let code = "globalThis.ran = true";
    let pages = Pages::from([
        ("/text", Page::of("text/plain", code)),
        ("/none", Page::of("", code)),
        ("/javascript", Page::of("text/javascript", code)),
    ]);
    let stage = Stage::start(&environment, pages).await?;
    let browser = stage.browser_with_token().await?;
    for (path, runs) in [("/text", false), ("/none", false), ("/javascript", true)] {
        for (site, runs) in [
            (PROD_BY_PATH, runs),
            // Where nothing says nosniff.
            (EVIL, true),
        ] {
            let tab = browser.tab().await?;
            tab.call("Page.setBypassCSP", json!({ "enabled": true }))
                .await?;
            let own = if site == EVIL {
                EVIL
            } else {
                "https://culvert.test"
            };
            tab.open(&format!("{own}/")).await?;
            let load = format!(
                "new Promise(done => {{ const script = document.createElement('script'); \
                script.onload = script.onerror = () => done(globalThis.ran === true); \
                script.src = {:?}; document.body.append(script) }})",
                format!("{site}{path}")
            );
            let ran = tab.evaluate(&load).await?;
            ensure!(ran == runs, "{site}{path}: {ran}");
        }
    }
    stage.stop().await
}

/// Neither cookies nor service workers, even from a page of the server's own.
pub(crate) async fn by_path_nothing_is_kept(environment: Arc<Environment>) -> Result<()> {
    let worker = Page::of("text/javascript", "self.onfetch = () => {}")
        .with("service-worker-allowed", "/")
        .with("set-cookie", "planted=1; Path=/");
    let cookies = Page::html("<!doctype html>")
        .with("set-cookie", "planted=1; Path=/; Secure")
        .with("set-cookie", "__Host-planted=1; Path=/; Secure");
    let pages = Pages::from([("/worker", worker), ("/page", cookies)]);
    let stage = Stage::start(&environment, pages).await?;
    let browser = stage.browser_with_token().await?;
    let tab = browser.tab().await?;
    tab.call("Page.setBypassCSP", json!({ "enabled": true }))
        .await?;
    for base in [PROD_BY_PATH, OTHER_BY_PATH] {
        tab.open(&format!("{base}/page")).await?;
    }
    let kept = browser.cookies().await?;
    ensure!(kept.is_empty(), "{kept:?}");

    let register = |path: &str| {
        format!(
            "navigator.serviceWorker.register({path:?}, {{ scope: '/' }}).then(() => 'registered', error => error.name)"
        )
    };
    tab.open("https://culvert.test/").await?;
    let registered = tab.evaluate(&register("/clusters/prod/worker")).await?;
    ensure!(registered == "SecurityError", "{registered}");
    // Where the header that widens the scope arrives, and cookies do.
    tab.open(&format!("{EVIL}/page")).await?;
    let registered = tab.evaluate(&register("/worker")).await?;
    ensure!(registered == "registered", "{registered}");
    let kept: Vec<Value> = browser.cookies().await?;
    ensure!(
        kept.len() == 2 && kept[0]["domain"] == "evil.test",
        "{kept:?}"
    );
    stage.stop().await
}
