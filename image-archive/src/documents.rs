//! The JSON documents of an image: those of the OCI image specification, and
//! docker's `manifest.json`.
//!
//! Fields come in the order of declaration and maps are sorted, so that the same
//! image gives the same bytes (the types of `oci-spec` hash their maps).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::blob::{Blob, Digest};
use crate::{Config, Reference};

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// The file `oci-layout`.
pub(crate) const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The configuration, whose digest is what docker calls the image's id.
pub(crate) fn config(config: &Config, layers: &[Blob], time: u64) -> serde_json::Result<Vec<u8>> {
    let created = rfc3339(time);
    let history = History {
        created: &created,
        created_by: env!("CARGO_PKG_NAME"),
    };
    serde_json::to_vec(&Configuration {
        created: &created,
        architecture: config.architecture.name(),
        os: "linux",
        config: Run::from(config),
        rootfs: RootFs {
            kind: "layers",
            // Of the layers uncompressed, as these are.
            diff_ids: layers
                .iter()
                .map(|layer| layer.digest.to_string())
                .collect(),
        },
        history: vec![history; layers.len()],
    })
}

/// The OCI manifest.
pub(crate) fn manifest(config: &Blob, layers: &[Blob]) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: Descriptor::of(config, CONFIG),
        layers: layers
            .iter()
            .map(|layer| Descriptor::of(layer, LAYER))
            .collect(),
    })
}

/// The file `index.json`, which gives the manifest its name.
pub(crate) fn index(
    manifest: &Blob,
    config: &Config,
    reference: &Reference,
) -> serde_json::Result<Vec<u8>> {
    let annotations = BTreeMap::from([
        ("io.containerd.image.name", reference.full()),
        (
            "org.opencontainers.image.ref.name",
            reference.tag().to_owned(),
        ),
    ]);
    serde_json::to_vec(&Index {
        schema_version: 2,
        media_type: INDEX,
        manifests: [Descriptor {
            annotations,
            platform: Some(Platform {
                architecture: config.architecture.name(),
                os: "linux",
            }),
            ..Descriptor::of(manifest, MANIFEST)
        }],
    })
}

/// Docker's file `manifest.json`.
pub(crate) fn docker_manifest(
    config: &Digest,
    layers: &[Blob],
    reference: &Reference,
) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&[DockerManifest {
        config: config.path(),
        repo_tags: [reference.to_string()],
        layers: layers.iter().map(|layer| layer.digest.path()).collect(),
    }])
}

fn rfc3339(time: u64) -> String {
    i64::try_from(time)
        .ok()
        .and_then(|time| OffsetDateTime::from_unix_timestamp(time).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

#[derive(Serialize)]
struct Configuration<'a> {
    created: &'a str,
    architecture: &'a str,
    os: &'a str,
    config: Run<'a>,
    rootfs: RootFs,
    history: Vec<History<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Run<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    user: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    exposed_ports: Set<'a>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: Vec<String>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    entrypoint: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    cmd: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    volumes: Set<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    working_dir: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    stop_signal: &'a str,
}

/// A set as Go writes it: an object with empty objects in it.
type Set<'a> = BTreeMap<&'a str, BTreeMap<&'a str, ()>>;

fn set(names: &BTreeSet<String>) -> Set<'_> {
    names
        .iter()
        .map(|name| (name.as_str(), BTreeMap::new()))
        .collect()
}

impl<'a> From<&'a Config> for Run<'a> {
    fn from(config: &'a Config) -> Self {
        let environment = config.environment.iter();
        Self {
            user: &config.user,
            exposed_ports: set(&config.exposed_ports),
            env: environment
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
            entrypoint: &config.entrypoint,
            cmd: &config.command,
            volumes: set(&config.volumes),
            working_dir: &config.working_directory,
            labels: &config.labels,
            stop_signal: &config.stop_signal,
        }
    }
}

#[derive(Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: Vec<String>,
}

#[derive(Clone, Serialize)]
struct History<'a> {
    created: &'a str,
    created_by: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    schema_version: u32,
    media_type: &'static str,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: &'static str,
    manifests: [Descriptor; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
}

impl Descriptor {
    fn of(blob: &Blob, media_type: &'static str) -> Self {
        Self {
            media_type,
            digest: blob.digest.to_string(),
            size: blob.size,
            annotations: BTreeMap::new(),
            platform: None,
        }
    }
}

#[derive(Serialize)]
struct Platform {
    architecture: &'static str,
    os: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerManifest {
    config: String,
    repo_tags: [String; 1],
    layers: Vec<String>,
}
