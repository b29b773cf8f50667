//! Reads archives as the tools do that load them.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::Read as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use data_encoding::HEXLOWER;
use image_archive::{Architecture, Attributes, Config, Content, Error, Image, Layer};
use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// An entry of a layer: type, mode, owner, and its content or its target.
type Entry = (u8, u32, (u64, u64), Vec<u8>);

/// An archive's files.
struct Archive(BTreeMap<String, Vec<u8>>);

impl Archive {
    fn read(path: &Path) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in tar::Archive::new(File::open(path)?).entries()? {
            let mut entry = entry?;
            let name = entry.path()?.to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            ensure!(files.insert(name, content).is_none(), "an entry is twice");
        }
        Ok(Self(files))
    }

    fn file(&self, name: &str) -> Result<&[u8]> {
        let file = self.0.get(name).with_context(|| format!("no {name}"))?;
        Ok(file)
    }

    /// A blob, checked against what names it.
    fn blob(&self, descriptor: &Descriptor) -> Result<&[u8]> {
        let digest = descriptor.digest().digest();
        let blob = self.file(&format!("blobs/sha256/{digest}"))?;
        ensure!(HEXLOWER.encode(&Sha256::digest(blob)) == digest);
        ensure!(blob.len() as u64 == descriptor.size());
        Ok(blob)
    }

    fn manifest(&self) -> Result<ImageManifest> {
        let index: ImageIndex = serde_json::from_slice(self.file("index.json")?)?;
        let [manifest] = index.manifests().as_slice() else {
            anyhow::bail!("not one manifest");
        };
        ensure!(*manifest.media_type() == MediaType::ImageManifest);
        Ok(serde_json::from_slice(self.blob(manifest)?)?)
    }

    fn layers(&self) -> Result<Vec<BTreeMap<String, Entry>>> {
        let manifest = self.manifest()?;
        let layers = manifest.layers().iter();
        layers.map(|layer| entries(self.blob(layer)?)).collect()
    }
}

fn entries(tar: &[u8]) -> Result<BTreeMap<String, Entry>> {
    let mut entries = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let header = entry.header().clone();
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        if let Some(target) = entry.link_name_bytes() {
            content = target.into_owned();
        }
        let kind = header.entry_type().as_byte();
        let about = (
            kind,
            header.mode()?,
            (header.uid()?, header.gid()?),
            content,
        );
        ensure!(header.mtime()? == 0);
        let name = String::from_utf8(entry.path_bytes().into_owned())?;
        ensure!(entries.insert(name, about).is_none(), "an entry is twice");
    }
    Ok(entries)
}

fn entry(kind: u8, mode: u32, content: &str) -> Entry {
    (kind, mode, (0, 0), content.as_bytes().to_vec())
}

fn image(layers: Vec<Layer>) -> Result<Image> {
    Ok(Image {
        reference: "example/tool:1.0".parse()?,
        config: Config {
            architecture: Architecture::Amd64,
            user: "65532:65532".to_owned(),
            entrypoint: vec!["/usr/bin/tool".to_owned()],
            command: vec!["--help".to_owned()],
            environment: BTreeMap::from([("A".to_owned(), "b=c".to_owned())]),
            working_directory: "/srv".to_owned(),
            exposed_ports: ["8443/tcp".to_owned(), "53/udp".to_owned()].into(),
            volumes: ["/var".to_owned()].into(),
            stop_signal: "SIGTERM".to_owned(),
            labels: (0..20)
                .map(|label| (format!("label{label}"), "x".to_owned()))
                .collect(),
        },
        layers,
        time: 0,
    })
}

fn small_layer() -> Result<Layer> {
    let mut layer = Layer::new();
    layer.file("/usr/bin/tool", "#!/bin/sh\n", 0o755)?;
    layer.symlink("bin", "usr/bin")?;
    Ok(layer)
}

/// Writes an image in a folder of its own and reads it.
fn written(image: &Image) -> Result<(TempDir, PathBuf, Archive)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("image.tar");
    image.write(&path)?;
    let archive = Archive::read(&path)?;
    Ok((folder, path, archive))
}

#[test]
fn each_name_leads_to_its_content() -> Result<()> {
    let mut upper = Layer::new();
    upper.file("etc/tool.conf", "quiet\n", 0o640)?;
    let image = image(vec![small_layer()?, upper])?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("image.tar");
    let told = image.write(&path)?;
    assert_eq!(told.size, fs::metadata(&path)?.len());
    let archive = Archive::read(&path)?;

    let manifest = archive.manifest()?;
    assert_eq!(told.id.to_string(), manifest.config().digest().to_string());
    let config: ImageConfiguration = serde_json::from_slice(archive.blob(manifest.config())?)?;
    let layers: Vec<_> = manifest
        .layers()
        .iter()
        .map(|layer| layer.digest().to_string())
        .collect();
    assert_eq!(layers.len(), 2);
    assert_eq!(config.rootfs().diff_ids(), &layers);
    for layer in manifest.layers() {
        assert_eq!(*layer.media_type(), MediaType::ImageLayer);
        archive.blob(layer)?;
    }

    let docker: Value = serde_json::from_slice(archive.file("manifest.json")?)?;
    let blob = |digest: &str| format!("blobs/{}", digest.replace(':', "/"));
    let layers: Vec<_> = layers.iter().map(|layer| blob(layer)).collect();
    assert_eq!(
        docker,
        json!([{
            "Config": blob(&told.id.to_string()),
            "RepoTags": ["example/tool:1.0"],
            "Layers": layers,
        }])
    );

    let index: Value = serde_json::from_slice(archive.file("index.json")?)?;
    let described = &index["manifests"][0];
    assert_eq!(described["digest"], told.digest.to_string());
    assert_eq!(
        described["annotations"],
        json!({
            "io.containerd.image.name": "docker.io/example/tool:1.0",
            "org.opencontainers.image.ref.name": "1.0",
        })
    );
    assert_eq!(
        described["platform"],
        json!({"architecture": "amd64", "os": "linux"})
    );
    assert_eq!(
        archive.file("oci-layout")?,
        br#"{"imageLayoutVersion":"1.0.0"}"#
    );

    // Two folders, four blobs, three documents, and nothing else.
    assert_eq!(archive.0.len(), 2 + 4 + 3, "{:?}", archive.0.keys());
    Ok(())
}

#[test]
fn the_configuration_says_how_it_is_run() -> Result<()> {
    let (_folder, _, archive) = written(&image(vec![small_layer()?])?)?;
    let config = archive.blob(archive.manifest()?.config())?.to_vec();
    let config: Value = serde_json::from_slice(&config)?;
    assert_eq!(config["created"], "1970-01-01T00:00:00Z");
    assert_eq!(config["architecture"], "amd64");
    assert_eq!(config["os"], "linux");
    let mut run = config["config"].clone();
    let labels = run["Labels"].take();
    assert_eq!(labels.as_object().map(serde_json::Map::len), Some(20));
    assert_eq!(
        run,
        json!({
            "User": "65532:65532",
            "ExposedPorts": {"8443/tcp": {}, "53/udp": {}},
            "Env": ["A=b=c"],
            "Entrypoint": ["/usr/bin/tool"],
            "Cmd": ["--help"],
            "Volumes": {"/var": {}},
            "WorkingDir": "/srv",
            "Labels": null,
            "StopSignal": "SIGTERM",
        })
    );
    Ok(())
}

#[test]
fn what_is_not_set_is_not_there() -> Result<()> {
    let mut image = image(vec![small_layer()?])?;
    image.config = Config::default();
    let (_folder, _, archive) = written(&image)?;
    let config: Value = serde_json::from_slice(archive.blob(archive.manifest()?.config())?)?;
    assert_eq!(config["config"], json!({}));
    Ok(())
}

#[test]
fn the_same_input_gives_the_same_bytes() -> Result<()> {
    let bytes = || -> Result<Vec<u8>> {
        let (_folder, path, _) = written(&image(vec![small_layer()?])?)?;
        Ok(fs::read(path)?)
    };
    let first = bytes()?;
    for _ in 0..3 {
        ensure!(bytes()? == first);
    }
    Ok(())
}

#[test]
fn a_layer_has_its_files_and_what_leads_to_them() -> Result<()> {
    let source = tempfile::NamedTempFile::new()?;
    fs::write(source.path(), "from disk")?;
    let long = format!("usr/share/{}/file", "long".repeat(60));
    let mut layer = small_layer()?;
    layer.file("opt/data", Content::File(source.path().to_owned()), 0o400)?;
    layer.directory("tmp", 0o1777)?;
    layer.file("tmp/x", "", Attributes::from(0o600).owned_by(65532, 1000))?;
    layer.file(&long, "deep", 0o644)?;
    let (_folder, _, archive) = written(&image(vec![layer])?)?;
    let [files] = archive
        .layers()?
        .try_into()
        .map_err(|_| anyhow::anyhow!("layers"))?;
    let expected = BTreeMap::from([
        ("bin".to_owned(), entry(b'2', 0o777, "usr/bin")),
        ("opt/".to_owned(), entry(b'5', 0o755, "")),
        ("opt/data".to_owned(), entry(b'0', 0o400, "from disk")),
        ("tmp/".to_owned(), entry(b'5', 0o1777, "")),
        ("tmp/x".to_owned(), (b'0', 0o600, (65532, 1000), Vec::new())),
        ("usr/".to_owned(), entry(b'5', 0o755, "")),
        ("usr/bin/".to_owned(), entry(b'5', 0o755, "")),
        ("usr/bin/tool".to_owned(), entry(b'0', 0o755, "#!/bin/sh\n")),
        ("usr/share/".to_owned(), entry(b'5', 0o755, "")),
        (long.replace("file", ""), entry(b'5', 0o755, "")),
        (long, entry(b'0', 0o644, "deep")),
    ]);
    assert_eq!(files, expected);
    Ok(())
}

#[test]
fn a_folder_is_taken_over_with_its_links() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let root = folder.path();
    fs::create_dir_all(root.join("lib/xtables"))?;
    fs::set_permissions(root.join("lib"), Permissions::from_mode(0o750))?;
    fs::write(root.join("lib/xtables/libxt_a.so"), "a")?;
    fs::set_permissions(
        root.join("lib/xtables/libxt_a.so"),
        Permissions::from_mode(0o4755),
    )?;
    symlink("libxt_a.so", root.join("lib/xtables/libxt_b.so"))?;
    symlink("/no/where", root.join("dangling"))?;
    symlink("lib/xtables", root.join("folder"))?;
    let mut layer = Layer::new();
    layer.tree(root, "usr")?;
    let (_folder, _, archive) = written(&image(vec![layer])?)?;
    let modes: BTreeMap<_, _> = archive.layers()?[0]
        .iter()
        .map(|(path, (kind, mode, owner, content))| {
            assert_eq!(*owner, (0, 0), "{path}");
            let content = String::from_utf8_lossy(content).into_owned();
            (path.clone(), (char::from(*kind), *mode, content))
        })
        .filter(|(path, _)| path != "usr/lib/xtables/")
        .collect();
    let expected = [
        ("usr/", '5', 0o755, ""),
        ("usr/dangling", '2', 0o777, "/no/where"),
        ("usr/folder", '2', 0o777, "lib/xtables"),
        ("usr/lib/", '5', 0o750, ""),
        ("usr/lib/xtables/libxt_a.so", '0', 0o4755, "a"),
        ("usr/lib/xtables/libxt_b.so", '2', 0o777, "libxt_a.so"),
    ]
    .map(|(path, kind, mode, content)| (path.to_owned(), (kind, mode, content.to_owned())));
    assert_eq!(modes, BTreeMap::from(expected));
    Ok(())
}

#[test]
fn two_layers_that_are_the_same_are_one_blob() -> Result<()> {
    let (_folder, _, archive) = written(&image(vec![small_layer()?, small_layer()?])?)?;
    assert_eq!(archive.layers()?.len(), 2);
    let blobs = archive.0.keys().filter(|name| name.len() > 64).count();
    assert_eq!(blobs, 3, "{:?}", archive.0.keys());
    Ok(())
}

#[test]
fn what_cannot_be_in_a_layer_is_refused() -> Result<()> {
    let mut layer = small_layer()?;
    for path in ["", "/", ".", "..", "usr/../../etc/passwd"] {
        let refused = layer.file(path, "", 0o644);
        assert!(matches!(refused, Err(Error::Path(_))), "{path}");
    }
    for path in ["usr/bin/tool", "bin", "usr"] {
        let refused = layer.file(path, "", 0o644);
        assert!(matches!(refused, Err(Error::Taken(_))), "{path}");
    }
    for path in ["usr/bin/tool/x", "bin/x/y"] {
        let refused = layer.file(path, "", 0o644);
        assert!(matches!(refused, Err(Error::Below { .. })), "{path}");
    }
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("socket");
    let _listener = UnixListener::bind(&socket)?;
    assert!(matches!(layer.tree(folder.path(), "run"), Err(Error::Kind(path)) if path == socket));
    Ok(())
}

#[test]
fn what_was_there_stays_until_all_is_written() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("image.tar");
    fs::write(&path, "the last one")?;
    let mut layer = Layer::new();
    layer.file("gone", Content::File(folder.path().join("gone")), 0o644)?;
    assert!(matches!(
        image(vec![layer])?.write(&path),
        Err(Error::Read { .. })
    ));
    assert_eq!(fs::read(&path)?, b"the last one");
    assert_eq!(fs::read_dir(folder.path())?.count(), 1);
    image(vec![small_layer()?])?.write(&path)?;
    assert_eq!(fs::read_dir(folder.path())?.count(), 1);
    Ok(())
}

#[test]
fn a_file_that_has_no_end_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut layer = Layer::new();
    // A file whose size is told as 0 although it has content.
    layer.file("status", Content::File("/proc/self/status".into()), 0o644)?;
    let refused = image(vec![layer])?.write(&folder.path().join("image.tar"));
    assert!(matches!(refused, Err(Error::Changed(_))), "{refused:?}");
    Ok(())
}
