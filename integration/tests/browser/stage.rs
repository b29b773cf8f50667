//! Two clusters that are web sites of a stranger's, a hostile site, and one that is
//! open to everybody; and browsers that know all of them by name, at port 443.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use integration::chain::{BASE_DOMAIN, Chain, ChainOptions, SOON};
use integration::chromium::Chromium;
use integration::environment::Environment;
use integration::neighbour;
use integration::service::Service;
use integration::wait::until;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use tokio_rustls::TlsAcceptor;

use crate::site::{Page, Site};

/// The hostile site.
pub(crate) const EVIL: &str = "https://evil.test";
/// A site that is open to every page.
pub(crate) const OPEN: &str = "https://open.test";
/// The chain's cluster by hostname and by path, and its neighbour.
pub(crate) const PROD: &str = "https://prod.culvert.test";
pub(crate) const PROD_BY_PATH: &str = "https://culvert.test/clusters/prod";
pub(crate) const OTHER: &str = "https://other.culvert.test";
pub(crate) const OTHER_BY_PATH: &str = "https://culvert.test/clusters/other";

/// What a site shows, by path.
pub(crate) type Pages = BTreeMap<&'static str, Page>;

pub(crate) struct Stage {
    pub(crate) chain: Chain,
    pub(crate) prod: Site,
    pub(crate) other: Site,
    pub(crate) evil: Site,
    pub(crate) open: Site,
    /// All names at port 80.
    pub(crate) plain: Site,
    ca_file: PathBuf,
    _other_client: Service,
}

impl Stage {
    pub(crate) async fn start(environment: &Environment, pages: Pages) -> Result<Self> {
        let prod = Site::start(None, pages.clone()).await?;
        let other = Site::start(None, pages.clone()).await?;
        let options = ChainOptions {
            upstream: Some(prod.address),
            ..ChainOptions::bare()
        };
        let mut chain = environment.chain_with(options).await?;
        let other_client = neighbour::join(environment, &mut chain, other.address).await?;
        let (ca_pem, tls) = certificate()?;
        let ca_file = chain.folder().join("sites-ca.crt");
        std::fs::write(&ca_file, ca_pem)?;
        Ok(Self {
            evil: Site::start(Some(tls.clone()), pages.clone()).await?,
            open: Site::start(Some(tls), pages.clone()).await?,
            plain: Site::start(None, pages).await?,
            chain,
            prod,
            other,
            ca_file,
            _other_client: other_client,
        })
    }

    /// A browser that sends no token by itself.
    pub(crate) async fn browser(&self) -> Result<Chromium> {
        self.browser_with(None).await
    }

    /// A browser with an extension that adds the token to every request to the
    /// server's hosts, whoever asks for it.
    pub(crate) async fn browser_with_token(&self) -> Result<Chromium> {
        let browser = self
            .browser_with(Some(self.chain.access_token.expose()))
            .await?;
        // Chromium loads extensions beside everything else.
        let tab = browser.tab().await?;
        until("the extension", SOON * 3, || async {
            tab.open(&format!("{PROD}/own/extension")).await?;
            let text = tab.evaluate("document.body.textContent").await?;
            let adds_nothing = text
                .as_str()
                .is_some_and(|text| text.contains("Unauthorized"));
            Ok((!adds_nothing).then_some(()))
        })
        .await?;
        Ok(browser)
    }

    async fn browser_with(&self, token: Option<&str>) -> Result<Chromium> {
        let server = self.chain.server_address;
        let routes = [
            (BASE_DOMAIN, 443, server),
            ("*.culvert.test", 443, server),
            ("evil.test", 443, self.evil.address),
            ("open.test", 443, self.open.address),
            ("*", 80, self.plain.address),
        ];
        let trusted = [self.chain.ca_file(), self.ca_file.clone()];
        Chromium::start(&routes, &trusted, token).await
    }

    /// Waits until the server has refused a request for that path because of whose
    /// page it came from.
    pub(crate) async fn refused(&self, path: &str) -> Result<()> {
        self.ended(path, 403, "cross-origin").await
    }

    /// Waits until a request for that path has ended so.
    pub(crate) async fn ended(&self, path: &str, status: u16, outcome: &str) -> Result<()> {
        until(&format!("{outcome} of {path}"), SOON, || async {
            let lines = self.chain.server.log_lines();
            let ended = lines.iter().any(|line| {
                line["event"] == "request"
                    && line["path"] == path
                    && line["outcome"] == outcome
                    && line["status"] == status
            });
            Ok(ended.then_some(()))
        })
        .await
    }

    pub(crate) async fn stop(self) -> Result<()> {
        self.chain.stop().await
    }
}

/// One for both foreign sites.
fn certificate() -> Result<(String, TlsAcceptor)> {
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let names = ["evil.test", "open.test"].map(str::to_owned);
    let leaf = CertificateParams::new(names)?.signed_by(&key, &ca)?;
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?;
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], key)?;
    Ok((ca.pem(), TlsAcceptor::from(Arc::new(config))))
}
