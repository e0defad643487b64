//! One file with all images: an OCI layout, which containerd, podman and skopeo read, and beside it the `manifest.json`
//! by which every `docker load` finds the same blobs.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
};

use anyhow::{Context, Result};
use serde::Serialize;

use super::{
    Image, Options, digest,
    oci::{CONFIG_TYPE, Config, Descriptor, INDEX_TYPE, Index, Layer, MANIFEST_TYPE, Manifest, Platform},
    service::Service,
};

const LAYOUT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

pub(super) struct Archive<W: Write> {
    tar: tar::Builder<W>,
    written: BTreeSet<String>,
    manifests: Vec<Descriptor>,
    for_docker: Vec<DockerImage>,
}

/// An entry of `manifest.json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct DockerImage {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        let (written, manifests, for_docker) = (BTreeSet::new(), Vec::new(), Vec::new());
        Self { tar: tar::Builder::new(out), written, manifests, for_docker }
    }

    pub(super) fn layer(&mut self, layer: &Layer) -> Result<()> {
        self.blob(layer.media_type, &layer.blob).map(drop)
    }

    /// The image of `service` over `layers`, which were written before.
    pub(super) fn image(&mut self, options: &Options, service: Service, layers: &[&Layer]) -> Result<Image> {
        let config = serde_json::to_vec(&Config::new(options, service, layers)?)?;
        let config = self.blob(CONFIG_TYPE, &config)?;
        let descriptors: Vec<Descriptor> =
            layers.iter().map(|layer| descriptor(layer.media_type, &layer.blob)).collect();
        let manifest = Manifest {
            schema_version: 2,
            media_type: MANIFEST_TYPE,
            config: &config,
            layers: descriptors.iter().collect(),
        };
        let mut manifest = self.blob(MANIFEST_TYPE, &serde_json::to_vec(&manifest)?)?;
        let reference = format!("{}/{}:{}", options.registry, service.name(), options.tag);
        manifest.annotations = BTreeMap::from([
            ("io.containerd.image.name", reference.clone()),
            ("org.opencontainers.image.ref.name", reference.clone()),
        ]);
        manifest.platform = Some(Platform::own()?);
        let digest = manifest.digest.clone();
        self.manifests.push(manifest);
        self.for_docker.push(DockerImage {
            config: path(&config.digest),
            repo_tags: vec![reference.clone()],
            layers: descriptors.iter().map(|layer| path(&layer.digest)).collect(),
        });
        let size = layers.iter().map(|layer| layer.blob.len() as u64).sum();
        let unpacked = layers.iter().map(|layer| layer.unpacked).sum();
        Ok(Image { service, reference, digest, size, unpacked })
    }

    pub(super) fn finish(mut self) -> Result<()> {
        let index = Index { schema_version: 2, media_type: INDEX_TYPE, manifests: &self.manifests };
        let index = serde_json::to_vec(&index)?;
        let for_docker = serde_json::to_vec(&self.for_docker)?;
        self.file("index.json", &index)?;
        self.file("manifest.json", &for_docker)?;
        self.file("oci-layout", LAYOUT.as_bytes())?;
        self.tar.into_inner().and_then(|mut out| out.flush()).context("failed to end the archive")
    }

    /// Written once, however many images share it.
    fn blob(&mut self, media_type: &'static str, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = descriptor(media_type, bytes);
        if self.written.insert(descriptor.digest.clone()) {
            self.file(&path(&descriptor.digest), bytes)?;
        }
        Ok(descriptor)
    }

    fn file(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(bytes.len() as u64);
        self.tar.append_data(&mut header, path, bytes).with_context(|| format!("failed to write {path}"))
    }
}

fn descriptor(media_type: &'static str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type,
        digest: format!("sha256:{}", digest::hex(bytes)),
        size: bytes.len() as u64,
        annotations: BTreeMap::new(),
        platform: None,
    }
}

/// Of a blob in the archive.
fn path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}
