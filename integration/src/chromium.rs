//! A headless Chromium with a profile of its own, to which the tests' names lead to
//! ports on loopback.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::chain::{BASE_DOMAIN, SOON};
use crate::wait::until;
use anyhow::{Context, Result, ensure};
use local_kubernetes::process::{Process, Program, Spawner};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::devtools::{DevTools, Session, evaluated};

/// What a name and a port lead to.
pub type Route = (&'static str, u16, SocketAddr);

/// Nothing of its own accord: no updates, no upgrades to https, no dialogs.
const FLAGS: [&str; 14] = [
    "--headless",
    // The sandbox needs another user than root.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-sync",
    "--disable-popup-blocking",
    "--metrics-recording-only",
    "--remote-debugging-port=0",
    "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,OptimizationHints,MediaRouter",
    "--password-store=basic",
];

/// Ends with this.
pub struct Chromium {
    devtools: DevTools,
    // In this order: the process ends before who started it and its profile.
    _process: Process,
    _spawner: Spawner,
    _folder: TempDir,
}

/// One tab.
pub struct Tab<'a> {
    browser: &'a Chromium,
    session: Session,
}

impl Chromium {
    /// Starts it. A token is added to every request to the server's hosts, as
    /// extensions that set headers do.
    pub async fn start(routes: &[Route], trusted: &[PathBuf], token: Option<&str>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("culvert-chromium-")
            .tempdir()?;
        trust(folder.path(), trusted).await?;
        let profile = folder.path().join("profile");
        let mut arguments: Vec<_> = FLAGS.map(str::to_owned).into();
        arguments.push(format!("--user-data-dir={}", profile.display()));
        arguments.push(format!("--host-resolver-rules={}", rules(routes)));
        if let Some(token) = token {
            let extension = extension(folder.path(), token)?;
            arguments.push(format!("--load-extension={}", extension.display()));
        }
        arguments.push("about:blank".to_owned());
        let home = ("HOME".to_owned(), folder.path().display().to_string());
        let spawner = Spawner::new()?;
        let mut process = spawner.spawn_with(
            &Program {
                name: "chromium",
                binary: Path::new("/usr/bin/chromium"),
                arguments: &arguments,
                folder: folder.path(),
            },
            &[home],
        )?;
        let port_file = profile.join("DevToolsActivePort");
        let (port, path) = until("the start of Chromium", SOON * 3, || {
            let running = process.must_run();
            let text = std::fs::read_to_string(&port_file).unwrap_or_default();
            async move {
                running?;
                let (port, path) = text.split_once('\n').unwrap_or_default();
                Ok(port.parse().ok().map(|port| (port, path.trim().to_owned())))
            }
        })
        .await?;
        Ok(Self {
            devtools: DevTools::connect(port, &path).await?,
            _process: process,
            _spawner: spawner,
            _folder: folder,
        })
    }

    /// A new tab, empty.
    pub async fn tab(&self) -> Result<Tab<'_>> {
        let browser = &None;
        let target = self
            .devtools
            .call(
                browser,
                "Target.createTarget",
                json!({ "url": "about:blank" }),
            )
            .await?;
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let attached = self
            .devtools
            .call(browser, "Target.attachToTarget", attach)
            .await?;
        let session = attached["sessionId"].as_str().context("no session")?;
        Ok(Tab {
            browser: self,
            session: Some(session.to_owned()),
        })
    }

    /// Plants a cookie.
    pub async fn set_cookie(&self, cookie: Value) -> Result<()> {
        let cookies = json!({ "cookies": [cookie] });
        self.devtools
            .call(&None, "Storage.setCookies", cookies)
            .await?;
        Ok(())
    }

    /// Every cookie that is kept.
    pub async fn cookies(&self) -> Result<Vec<Value>> {
        let kept = self
            .devtools
            .call(&None, "Storage.getCookies", json!({}))
            .await?;
        Ok(kept["cookies"].as_array().cloned().unwrap_or_default())
    }
}

impl Tab<'_> {
    pub async fn call(&self, method: &str, parameters: Value) -> Result<Value> {
        let devtools = &self.browser.devtools;
        devtools.call(&self.session, method, parameters).await
    }

    /// Goes where the address bar says, and waits for the page.
    pub async fn open(&self, url: &str) -> Result<()> {
        let opened = self.call("Page.navigate", json!({ "url": url })).await?;
        ensure!(opened["errorText"].is_null(), "{url}: {opened}");
        until("a page", SOON, || async {
            let state = self.evaluate("location.href + ' ' + document.readyState");
            let state = state.await.unwrap_or_default();
            let state = state.as_str().unwrap_or_default();
            Ok((!state.starts_with("about:") && state.ends_with(" complete")).then_some(()))
        })
        .await
        .with_context(|| url.to_owned())
    }

    /// The value of an expression; of a promise, what it comes to.
    pub async fn evaluate(&self, expression: &str) -> Result<Value> {
        let parameters = json!({
            "expression": expression,
            "awaitPromise": true,
            "returnByValue": true,
            "userGesture": true,
        });
        evaluated(&self.call("Runtime.evaluate", parameters).await?)
    }
}

fn rules(routes: &[Route]) -> String {
    let mut rules: Vec<_> = routes
        .iter()
        .map(|(name, port, address)| format!("MAP {name}:{port} {address}"))
        .collect();
    rules.push("MAP * ~NOTFOUND".to_owned());
    rules.push("EXCLUDE 127.0.0.1".to_owned());
    rules.join(", ")
}

/// Trust as people give it, in the NSS database of the browser's HOME.
async fn trust(home: &Path, certificates: &[PathBuf]) -> Result<()> {
    let database = home.join(".pki/nssdb");
    std::fs::create_dir_all(&database)?;
    let database = format!("sql:{}", database.display());
    certutil(&["-N", "--empty-password", "-d", &database]).await?;
    for (number, certificate) in certificates.iter().enumerate() {
        let (name, file) = (number.to_string(), certificate.display().to_string());
        certutil(&["-A", "-d", &database, "-t", "C,,", "-n", &name, "-i", &file]).await?;
    }
    Ok(())
}

async fn certutil(arguments: &[&str]) -> Result<()> {
    let output = Command::new("certutil").args(arguments).output().await?;
    let err = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "certutil {arguments:?}: {err}");
    Ok(())
}

fn extension(folder: &Path, token: &str) -> Result<PathBuf> {
    let extension = folder.join("extension");
    std::fs::create_dir(&extension)?;
    let manifest = json!({
        "manifest_version": 3,
        "name": "Adds a token",
        "version": "1",
        "permissions": ["declarativeNetRequest"],
        "host_permissions": ["<all_urls>"],
        "declarative_net_request": {
            "rule_resources": [{ "id": "token", "enabled": true, "path": "rules.json" }],
        },
    });
    let everything = [
        "main_frame",
        "sub_frame",
        "stylesheet",
        "script",
        "image",
        "font",
        "object",
        "xmlhttprequest",
        "ping",
        "csp_report",
        "media",
        "websocket",
        "webtransport",
        "webbundle",
        "other",
    ];
    let rules = json!([{
        "id": 1,
        "action": {
            "type": "modifyHeaders",
            "requestHeaders": [
                { "header": "authorization", "operation": "set", "value": format!("Bearer {token}") },
            ],
        },
        "condition": { "requestDomains": [BASE_DOMAIN], "resourceTypes": everything },
    }]);
    std::fs::write(extension.join("manifest.json"), manifest.to_string())?;
    std::fs::write(extension.join("rules.json"), rules.to_string())?;
    Ok(extension)
}
