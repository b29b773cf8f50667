//! A server without any connector: enough to see which files it has taken.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::binaries::culvert;
use integration::chain::{BASE_DOMAIN, SOON};
use integration::server_config::new_token;
use integration::service::Service;
use integration::wait::until;
use local_kubernetes::process::Spawner;
use serde_json::{Value, json};
use tempfile::TempDir;
use tunnel_protocol::token::{Token, TokenKind};

/// Many looks at the files: as long as something that must not happen is waited for.
const LOOKS: Duration = Duration::from_secs(2);

/// A running server, its folder and who may call.
pub(crate) struct Alone {
    pub(crate) service: Service,
    pub(crate) token: Token,
    pub(crate) folder: TempDir,
    port: u16,
    _spawner: Spawner,
}

/// A configuration with one caller, known by this token, and a cluster that has no
/// link; what comes with `more` is added.
pub(crate) fn config(port: u16, token: &Token, more: &Value) -> Value {
    let mut document = json!({
        "baseDomain": BASE_DOMAIN,
        "listen": format!("127.0.0.1:{port}"),
        "adminListen": "127.0.0.1:0",
        "clusters": [{"name": "empty"}],
        "callers": [{"name": "one", "clusters": ["empty"],
            "accessTokens": [{"hash": token.hash().to_string()}]}],
    });
    if let (Some(document), Some(more)) = (document.as_object_mut(), more.as_object()) {
        document.extend(more.clone());
    }
    document
}

impl Alone {
    /// Starts with a development certificate.
    pub(crate) async fn start() -> Result<Self> {
        Self::start_with(&["--dev", "dev"], &json!({}), None, |_| Ok(())).await
    }

    /// `prepare` fills the folder; `user` is who the process runs as.
    pub(crate) async fn start_with(
        flags: &[&str],
        more: &Value,
        user: Option<u32>,
        prepare: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("culvert-reload-")
            .tempdir()?;
        let token = new_token(TokenKind::Access);
        std::fs::write(
            folder.path().join("server.yaml"),
            config(0, &token, more).to_string(),
        )?;
        prepare(folder.path())?;
        let spawner = Spawner::new()?;
        let server = culvert("tunnel-server")?;
        let mut arguments = vec!["--config".to_owned(), "server.yaml".to_owned()];
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let mut binary = server.clone();
        if let Some(user) = user {
            let (user, group) = (format!("--reuid={user}"), format!("--regid={user}"));
            let server = server.display().to_string();
            let mut before = vec!["--pdeathsig".to_owned(), "KILL".to_owned(), user, group];
            before.extend(["--clear-groups".to_owned(), "--".to_owned(), server]);
            before.append(&mut arguments);
            arguments = before;
            binary = PathBuf::from("/usr/bin/setpriv");
        }
        let service = Service::start_binary(
            &spawner,
            "tunnel-server",
            &binary,
            "trace",
            &arguments,
            folder.path(),
        )
        .await?;
        let port = service.address.context("no address")?.port();
        Ok(Self {
            service,
            token,
            folder,
            port,
            _spawner: spawner,
        })
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the file says when this token is the caller's.
    pub(crate) fn text(&self, token: &Token) -> String {
        config(self.port, token, &json!({})).to_string()
    }

    /// The status that a caller with this token gets: 503 if it is known.
    pub(crate) async fn status(&self, token: &Token) -> Result<u16> {
        let address = self.service.address.context("no address")?;
        let host = format!("empty.{BASE_DOMAIN}");
        let client = reqwest::Client::builder()
            .no_proxy()
            // Another test is about the certificate.
            .danger_accept_invalid_certs(true)
            .resolve(&host, address)
            .build()?;
        let answer = client
            .get(format!("https://{host}:{}/", self.port))
            .bearer_auth(token.expose())
            .send()
            .await?;
        Ok(answer.status().as_u16())
    }

    pub(crate) async fn knows(&self, token: &Token) -> Result<()> {
        until("the caller is known", SOON, || async {
            Ok((self.status(token).await? == 503).then_some(()))
        })
        .await
    }

    pub(crate) async fn metric(&self, name: &str) -> Result<f64> {
        let value = self
            .service
            .metric(&format!("tunnel_server_{name}"))
            .await?;
        value.with_context(|| format!("no metric {name}"))
    }

    pub(crate) async fn metric_becomes(&self, name: &str, value: f64) -> Result<()> {
        until(&format!("{name} is {value}"), SOON, || async {
            Ok((self.metric(name).await? == value).then_some(()))
        })
        .await
    }

    /// How many lines of the log hold that.
    pub(crate) fn said(&self, words: &str) -> usize {
        let lines = self.service.log_lines();
        lines
            .iter()
            .filter(|line| line.to_string().contains(words))
            .count()
    }

    /// Waits until that is said, and looks on: it must not be said again. The
    /// caller is served all the time.
    pub(crate) async fn says_once(&self, words: &str) -> Result<()> {
        until(words, SOON, || async {
            Ok((self.said(words) > 0).then_some(()))
        })
        .await?;
        let since = Instant::now();
        while since.elapsed() < LOOKS {
            ensure!(
                self.status(&self.token).await? == 503,
                "{words}: the caller is turned away"
            );
        }
        let times = self.said(words);
        ensure!(times == 1, "{words}: said {times} times");
        Ok(())
    }
}

/// Replaces a file at once.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text)?;
    Ok(std::fs::rename(beside, path)?)
}
