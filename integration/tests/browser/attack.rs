//! The attacks of `attacks.js`, and what is to be seen of them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::chromium::Tab;
use integration::wait::until;

use crate::site::{Page, SECRET, Site};
use crate::stage::{Pages, Stage};

/// The page that attacks, on whatever site.
pub(crate) const PAGE: &str = "/attacks";

/// Attacks that can read where nothing protects.
const READ: [&str; 17] = [
    "events",
    "fetch",
    "fetch_delete",
    "fetch_keepalive",
    "fetch_no_referrer",
    "fetch_post",
    "fetch_preflighted",
    "fetch_put",
    "fetch_redirected",
    "script",
    "script_module",
    "script_worker",
    "socket",
    "socket_own_token",
    "socket_protocol",
    "style",
    "xhr",
];

/// What each could read.
type Report = BTreeMap<String, Option<String>>;

pub(crate) fn pages() -> Pages {
    let page = format!(
        "<!doctype html><meta charset=utf-8><body><script>{}</script>",
        include_str!("attacks.js")
    );
    BTreeMap::from([(PAGE, Page::html(&page))])
}

/// The attacks of a site's page on what is below `base`.
pub(crate) async fn attack(tab: &Tab<'_>, site: &str, base: &str) -> Result<Report> {
    tab.open(&format!("{site}{PAGE}")).await?;
    match tab.evaluate(&format!("attack({base:?})")).await {
        Ok(report) => Ok(serde_json::from_value(report)?),
        Err(error) => {
            let pending = tab.evaluate("[...pending]").await?;
            Err(error.context(format!("without an end: {pending}")))
        }
    }
}

/// All that `site` protects nothing of has come to it, and been read.
pub(crate) async fn must_have_worked(site: &Site, below: &str, report: &Report) -> Result<()> {
    for name in report.keys() {
        let path = format!("{below}/{name}");
        let arrived = until(&format!("the attack {name}"), SOON, || async {
            let mut asked = site.asked_below(&path);
            asked.retain(|one| one.path == path && one.method != "OPTIONS");
            Ok((!asked.is_empty()).then_some(asked))
        })
        .await?;
        let method = match name.as_str() {
            "fetch_put" => "PUT",
            "fetch_delete" => "DELETE",
            name if ["post", "form", "keepalive", "referrer", "beacon", "ping"]
                .iter()
                .any(|word| name.contains(word)) =>
            {
                "POST"
            }
            _ => "GET",
        };
        ensure!(arrived[0].method == method, "{name}: {:?}", arrived[0]);
    }
    for name in READ {
        let read = report.get(name).context(name)?;
        ensure!(read.as_deref() == Some(SECRET), "{name} read {read:?}");
    }
    Ok(())
}

/// All were refused by the server, and nothing was read; that nothing came to the
/// cluster is its site's to tell. `adds_token`: as the browser does.
pub(crate) async fn must_have_failed(
    stage: &Stage,
    below: &str,
    report: &Report,
    adds_token: bool,
) -> Result<()> {
    ensure!(report.len() > READ.len(), "no attacks: {report:?}");
    for (name, read) in report {
        ensure!(read.is_none(), "{name} read {read:?}");
        let path = format!("{below}/{name}");
        if name == "socket_own_token" && !adds_token {
            // Whose page it is says nothing then, but the token is none.
            stage.ended(&path, 401, "unauthenticated").await?;
        } else {
            stage.refused(&path).await?;
        }
    }
    Ok(())
}

/// Nothing below a path has come to a site.
pub(crate) fn must_be_untouched(site: &Site, below: &str) -> Result<()> {
    let asked = site.asked_below(below);
    ensure!(asked.is_empty(), "{asked:#?}");
    Ok(())
}
