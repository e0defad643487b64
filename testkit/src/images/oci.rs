//! The documents of an image, as the OCI image specification 1.0 has them. Structs and not free JSON: the order of their
//! fields, and with it the digest, is the same in every build.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write as _,
};

use anyhow::{Context, Result, bail};
use flate2::{Compression, write::GzEncoder};
use serde::{Serialize, Serializer};

use super::{
    Options,
    base::{AUTHORITIES, USER},
    binary, digest,
    service::Service,
    tree::Tree,
};

pub(super) const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar";
const COMPRESSED_LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A layer as it is in the archive, and what is known of it unpacked.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) blob: Vec<u8>,
    pub(super) media_type: &'static str,
    /// Bytes.
    pub(super) unpacked: u64,
    diff_id: String,
    what: String,
}

impl Layer {
    pub(super) fn new(tree: &Tree, compress: bool, what: &str) -> Result<Self> {
        let tar = tree.to_tar().context("failed to make a layer")?;
        let diff_id = format!("sha256:{}", digest::hex(&tar));
        let unpacked = tar.len() as u64;
        let (blob, media_type) = if compress { (gzip(&tar)?, COMPRESSED_LAYER_TYPE) } else { (tar, LAYER_TYPE) };
        Ok(Self { blob, media_type, unpacked, diff_id, what: what.to_owned() })
    }
}

/// Without a time or a name in its header.
fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).and_then(|()| encoder.finish()).context("failed to compress a layer")
}

/// Where a blob is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: &'static str,
    pub(super) digest: String,
    pub(super) size: u64,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) annotations: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) platform: Option<Platform>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Platform {
    architecture: &'static str,
    os: &'static str,
}

impl Platform {
    /// Of this machine, whose binaries go into the images.
    pub(super) fn own() -> Result<Self> {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            other => bail!("images for {other} are not known"),
        };
        Ok(Self { architecture, os: "linux" })
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest<'a> {
    pub(super) schema_version: u8,
    pub(super) media_type: &'static str,
    pub(super) config: &'a Descriptor,
    pub(super) layers: Vec<&'a Descriptor>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index<'a> {
    pub(super) schema_version: u8,
    pub(super) media_type: &'static str,
    pub(super) manifests: &'a [Descriptor],
}

/// How to run the image.
#[derive(Debug, Serialize)]
pub(super) struct Config {
    created: String,
    #[serde(flatten)]
    platform: Platform,
    #[serde(rename = "config")]
    process: Process,
    rootfs: RootFs,
    history: Vec<Step>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Process {
    user: String,
    #[serde(serialize_with = "as_keys")]
    exposed_ports: BTreeSet<String>,
    env: Vec<String>,
    entrypoint: Vec<String>,
    working_dir: &'static str,
    labels: BTreeMap<&'static str, String>,
}

/// A set is an object of empty objects here.
fn as_keys<S: Serializer>(set: &BTreeSet<String>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.collect_map(set.iter().map(|key| (key, serde_json::Map::new())))
}

#[derive(Debug, Serialize)]
struct RootFs {
    #[serde(rename = "type")]
    kind: &'static str,
    diff_ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Step {
    created: String,
    comment: String,
}

impl Config {
    pub(super) fn new(options: &Options, service: Service, layers: &[&Layer]) -> Result<Self> {
        let created = jiff::Timestamp::from_second(options.created).context("no such time")?.to_string();
        let process = Process {
            // in numbers: only then does a node see that it is not root
            user: format!("{USER}:{USER}"),
            exposed_ports: service.ports().iter().map(|port| format!("{port}/tcp")).collect(),
            env: vec!["PATH=/usr/bin".to_owned(), format!("SSL_CERT_FILE={AUTHORITIES}")],
            entrypoint: vec![binary::place(service)],
            working_dir: "/",
            labels: labels(options, service, &created),
        };
        Ok(Self {
            process,
            platform: Platform::own()?,
            rootfs: RootFs { kind: "layers", diff_ids: layers.iter().map(|layer| layer.diff_id.clone()).collect() },
            history: layers
                .iter()
                .map(|layer| Step { created: created.clone(), comment: layer.what.clone() })
                .collect(),
            created,
        })
    }
}

fn labels(options: &Options, service: Service, created: &str) -> BTreeMap<&'static str, String> {
    let mut labels = BTreeMap::from([
        ("org.opencontainers.image.title", service.name().to_owned()),
        ("org.opencontainers.image.description", service.description().to_owned()),
        ("org.opencontainers.image.version", options.tag.clone()),
        ("org.opencontainers.image.licenses", env!("CARGO_PKG_LICENSE").to_owned()),
        ("org.opencontainers.image.created", created.to_owned()),
    ]);
    labels.extend(options.revision.clone().map(|revision| ("org.opencontainers.image.revision", revision)));
    labels
}
