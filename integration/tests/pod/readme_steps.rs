//! The README's way to a first cluster, step by step, as its reader would type it.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use integration::connect_proxy::ConnectProxy;
use integration::rendered::manifests;

use crate::authority::certify;
use crate::connector::copy_tree;
use crate::desk::Desk;
use crate::images;
use crate::stage::{Set, Stage};

const DOMAIN: &str = "clusters.example.com";
const SERVER: &str = "culvert-readme-server";

/// What the test has done before, or others test; all else is run.
const NOT_RUN: [&str; 2] = ["cargo xtask images", "proxy-sidecar --kubeconfig"];

/// What cannot be as in the README, and what stands for it here.
const STAND_INS: [(&str, &str); 5] = [
    // No registry: a folder.
    ("docker://registry.example.com/culvert/", "oci:registry-"),
    ("--volume /etc/culvert:", "--volume $PWD/etc:"),
    // As only root may.
    ("chown 65532 /etc/culvert/tls.key", "chmod 644 etc/tls.key"),
    // No DNS: the engine's, for the cluster. It leads to the container and not to
    // the host's port.
    (
        "--publish 443:8443",
        "--publish 127.0.0.1::443 --network kind --network-alias clusters.example.com",
    ),
    ("--name tunnel-server", "--name culvert-readme-server"),
];

pub(crate) async fn the_readmes_steps_lead_to_a_call(stage: Arc<Stage>) -> Result<()> {
    let set = stage.set().await?;
    let mut reader = Reader::new(set).await?;
    reader.take_away(set).await?;
    let walked = reader.walk(set).await;
    let taken_away = reader.take_away(set).await;
    walked?;
    taken_away
}

struct Reader {
    desk: Desk,
    /// Of step 4: the connector token's and the access token's.
    hashes: Vec<String>,
    /// What the last command printed.
    said: String,
    proxy: Option<ConnectProxy>,
}

impl Reader {
    /// At a checkout, with images that are built, and a certificate.
    async fn new(set: &Set) -> Result<Self> {
        let desk = Desk::new(set, "readme").await?;
        let built = desk.folder.join("target/images");
        std::fs::create_dir_all(&built)?;
        for name in ["proxy-sidecar", "tunnel-client", "tunnel-server"] {
            let link = built.join(format!("{name}.tar"));
            std::os::unix::fs::symlink(images::ours(name)?.canonicalize()?, link)?;
        }
        copy_tree(&manifests(""), &desk.folder.join("manifests"))?;
        let etc = desk.folder.join("etc");
        std::fs::create_dir(&etc)?;
        certify(DOMAIN, &etc, &desk.folder.join("ca.crt"))?;
        Ok(Self {
            desk,
            hashes: Vec::new(),
            said: String::new(),
            proxy: None,
        })
    }

    async fn walk(&mut self, set: &Set) -> Result<()> {
        let readme = std::fs::read_to_string(manifests("../README.md"))?;
        let (_, section) = readme
            .split_once("\n## Your first cluster\n")
            .context("the section has another name")?;
        let section = section.split("\n## ").next().unwrap_or_default();
        let mut ran = 0;
        for (language, text) in blocks(section)? {
            match language {
                "sh" => ran += usize::from(self.run(set, &text).await?),
                "yaml" => self.write(&text)?,
                _ => self.must_have_seen(&text)?,
            }
        }
        ensure!(ran > 5, "{ran} blocks of commands were run");
        self.search(set).await
    }

    /// Runs a block as a script; false if it is not for this test.
    async fn run(&mut self, set: &Set, text: &str) -> Result<bool> {
        if NOT_RUN.iter().any(|start| text.starts_with(start)) {
            return Ok(false);
        }
        if text.starts_with("skopeo") && !self.desk.has("skopeo").await? {
            eprintln!("skopeo is not there, so the README's step with it is not run");
            return Ok(false);
        }
        let mut script = text.to_owned();
        for (from, to) in STAND_INS {
            script = script.replace(from, to);
        }
        self.said = self.desk.types(&script).await?;
        if text.contains("token new") {
            self.hashes = self
                .said
                .lines()
                .filter(is_hash)
                .map(str::to_owned)
                .collect();
            ensure!(self.hashes.len() == 2, "not two hashes");
            for name in ["connector-token", "access-token"] {
                let file = self.desk.folder.join(name);
                let mode = file.metadata()?.permissions().mode();
                ensure!(mode & 0o077 == 0, "{name} is for others to read: {mode:o}");
                let token = std::fs::read_to_string(file)?;
                set.secrets
                    .add(format!("the README's {name}"), token.trim());
            }
        }
        if text.contains("docker run --detach") {
            self.find_the_server().await?;
        }
        Ok(true)
    }

    /// In place of DNS, for callers.
    async fn find_the_server(&mut self) -> Result<()> {
        let port = format!("docker port {SERVER} 443/tcp");
        let address: SocketAddr = self.desk.types(&port).await?.trim().parse()?;
        let proxy = ConnectProxy::start(address).await?;
        self.desk.export_proxy(&proxy.url());
        self.proxy = Some(proxy);
        Ok(())
    }

    /// Writes a file as the text before it says.
    fn write(&self, text: &str) -> Result<()> {
        if text.contains("kind: Config") {
            let with_ca = text.replace(
                "cluster: {server",
                "cluster: {certificate-authority: ca.crt, server",
            );
            return Ok(std::fs::write(
                self.desk.folder.join("culvert.kubeconfig"),
                with_ca,
            )?);
        }
        ensure!(text.contains("baseDomain:"), "what is this file? {text}");
        let shown: Vec<_> = text.split_whitespace().filter(is_hash).collect();
        let [connector, access] = shown.as_slice() else {
            bail!("not two hashes: {text}");
        };
        let mut config = text.replace("listen: 0.0.0.0:8443", "listen: 0.0.0.0:443");
        for (shown, ours) in [connector, access].into_iter().zip(&self.hashes) {
            config = config.replace(*shown, ours);
        }
        let file = self.desk.folder.join("etc/tunnel-server.yaml");
        Ok(std::fs::write(file, config)?)
    }

    fn must_have_seen(&self, text: &str) -> Result<()> {
        for line in text.lines() {
            ensure!(self.said.contains(line), "{line} is not in {}", self.said);
        }
        Ok(())
    }

    /// The last command called the cluster; nothing printed a secret.
    async fn search(&self, set: &Set) -> Result<()> {
        ensure!(self.said.contains("kube-apiserver-"), "{}", self.said);
        for (place, command) in [
            (
                "the README's server's log",
                format!("docker logs {SERVER} 2>&1"),
            ),
            (
                "the README's connector's log",
                "kubectl logs -n gitlab-connector deployment/gitlab-connector-pod --all-containers"
                    .to_owned(),
            ),
        ] {
            let log = self.desk.types(&command).await?;
            set.secrets.must_not_be_in(place, &log)?;
        }
        Ok(())
    }

    /// Also what a test that failed left in a cluster that is not new.
    async fn take_away(&self, set: &Set) -> Result<()> {
        self.desk
            .types(&format!("docker rm --force {SERVER}"))
            .await?;
        let file = manifests("gitlab-connector-pod.yaml");
        let file = file.to_str().context("the checkout's path")?;
        set.admin(&["delete", "--ignore-not-found", "--filename", file])
            .await
            .map(drop)
    }
}

/// The fenced blocks: language and text, without the list's indentation.
fn blocks(section: &str) -> Result<Vec<(&str, String)>> {
    let mut blocks = Vec::new();
    let mut lines = section.lines();
    while let Some(line) = lines.next() {
        let Some(language) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let mut text = String::new();
        loop {
            let line = lines.next().context("a block does not end")?;
            if line.trim() == "```" {
                break;
            }
            text += line.get(indent..).unwrap_or_default();
            text += "\n";
        }
        blocks.push((language, text));
    }
    Ok(blocks)
}

fn is_hash(text: &&str) -> bool {
    text.starts_with("sha256:")
}
