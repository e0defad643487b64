//! Container images of the services, made without a container engine: each is a shared layer (libraries, loader,
//! authorities, one user who owns nothing) and a layer of one binary; no shell, nothing that the user could write to.
//!
//! Reproducible: entries are sorted, belong to root and date from 1970, so the same binaries on the same distribution
//! make the same digests. All images of a tag are in one archive, an OCI layout that `docker load` reads as well:
//!
//! ```sh
//! testkit images --profile dev --tag 0.1.0            # target/images/chatcluster-0.1.0.tar
//! ctr --namespace k8s.io images import target/images/chatcluster-0.1.0.tar
//! ```

mod archive;
mod base;
mod binary;
pub(crate) mod digest;
mod libraries;
mod oci;
mod service;
mod tree;

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

pub use self::service::Service;
use self::{archive::Archive, oci::Layer};
use crate::deployment::Binaries;

/// The registry that the archive's names begin with. Nothing is ever pulled from it: nodes import the archive.
pub const LOCAL_REGISTRY: &str = "docker.io/local";

/// What to build, and what to call it.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the services' binaries are, with or without debug information.
    pub binaries: Binaries,
    /// In front of the images' names, as `spec.image.registry` of a `ChatCluster`.
    pub registry: String,
    /// Also the version in the labels.
    pub tag: String,
    /// Folder of the archive.
    pub out: PathBuf,
    /// Compress the layers: smaller to push, slower to make.
    pub compress: bool,
    /// Commit that the binaries were built from, for the labels.
    pub revision: Option<String>,
    /// When that was, in seconds since 1970, for the labels; files date from 1970 in any case.
    pub created: i64,
}

impl Options {
    /// Uncompressed, under [`LOCAL_REGISTRY`], without a revision: what a node on this machine imports.
    pub fn local(binaries: Binaries, tag: impl Into<String>, out: impl Into<PathBuf>) -> Self {
        Self {
            binaries,
            registry: LOCAL_REGISTRY.to_owned(),
            tag: tag.into(),
            out: out.into(),
            compress: false,
            revision: None,
            created: 0,
        }
    }
}

/// The images of one tag.
#[derive(Debug, Clone)]
pub struct Built {
    /// Holds all of them.
    pub archive: PathBuf,
    pub images: Vec<Image>,
}

/// One image in the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub service: Service,
    /// Full name with tag, such as `docker.io/local/chatcluster-core:0.1.0`.
    pub reference: String,
    /// Of the manifest: `sha256:…`.
    pub digest: String,
    /// Bytes of all its layers, as in the archive.
    pub size: u64,
    /// Bytes of all its layers, unpacked.
    pub unpacked: u64,
}

/// Builds the images of all services into one archive, in place of an earlier one of this tag.
pub fn build(options: &Options) -> Result<Built> {
    check_names(options)?;
    let binaries = paths(&options.binaries)?;
    fs::create_dir_all(&options.out).with_context(|| format!("failed to make {}", options.out.display()))?;
    let path = options.out.join(format!("chatcluster-{}.tar", options.tag));
    // whoever imports the archive meanwhile sees the whole old or the whole new one
    let mut file = tempfile::NamedTempFile::new_in(&options.out).context("failed to make a temporary file")?;
    let images =
        write(options, &binaries, file.as_file_mut()).with_context(|| format!("failed to write {}", path.display()))?;
    readable_by_all(file.path())?;
    file.persist(&path).with_context(|| format!("failed to write {}", path.display()))?;
    Ok(Built { archive: path, images })
}

/// The same files as folders, for who assembles images with another tool: `base`, and one a service. `folder` is new.
pub fn unpacked(binaries: &Binaries, folder: &Path) -> Result<()> {
    let binaries = paths(binaries)?;
    fs::create_dir(folder).with_context(|| format!("failed to make {}, which must not exist", folder.display()))?;
    let failed = || format!("failed to write below {}", folder.display());
    let base = base::tree(binaries.iter().map(|(_, path)| path.as_path()))?;
    base.write_to(&folder.join("base")).with_context(failed)?;
    for (service, path) in &binaries {
        binary::tree(*service, path)?.write_to(&folder.join(service.name())).with_context(failed)?;
    }
    Ok(())
}

fn paths(binaries: &Binaries) -> Result<Vec<(Service, PathBuf)>> {
    Service::ALL.into_iter().map(|service| Ok((service, binaries.path(service.name())?))).collect()
}

fn write(options: &Options, binaries: &[(Service, PathBuf)], out: impl Write) -> Result<Vec<Image>> {
    let mut archive = Archive::new(std::io::BufWriter::new(out));
    let paths = binaries.iter().map(|(_, path)| path.as_path());
    let base = Layer::new(&base::tree(paths)?, options.compress, "libraries, authorities and user")?;
    archive.layer(&base)?;
    let mut images = Vec::new();
    for (service, path) in binaries {
        let own = Layer::new(&binary::tree(*service, path)?, options.compress, service.name())?;
        archive.layer(&own)?;
        images.push(archive.image(options, *service, &[&base, &own])?);
    }
    archive.finish()?;
    Ok(images)
}

/// Temporary files are for their owner only; an archive is nobody's secret.
fn readable_by_all(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).context("failed to let others read the archive")
}

/// The operator's rules for `spec.version` and `spec.image.registry`.
fn check_names(options: &Options) -> Result<()> {
    let Options { tag, registry, .. } = options;
    let starts = tag.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '_');
    let is_tag = |char: char| char.is_ascii_alphanumeric() || "._-".contains(char);
    ensure!(starts && tag.len() <= 128 && tag.chars().all(is_tag), "{tag:?} cannot be the tag of an image");
    let is_part = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "._-/:".contains(char);
    let is_registry = registry.contains('/') && !registry.ends_with('/') && registry.chars().all(is_part);
    ensure!(is_registry, "{registry:?} is no registry with a path, such as {LOCAL_REGISTRY}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_an_image_s_name_is_refused() {
        let here = Binaries::in_folder(Path::new("."));
        let with = |registry: &str, tag: &str| Options {
            registry: registry.to_owned(),
            ..Options::local(here.clone(), tag, "target/images")
        };
        assert!(check_names(&with("ghcr.io/chatcluster", "0.1.0-rc.1")).is_ok());
        let mistakes = [("local", "1"), ("a/b/", "1"), ("a/B", "1"), ("a/b", ""), ("a/b", "-1"), ("a/b", "1/2")];
        for (registry, tag) in mistakes {
            assert!(check_names(&with(registry, tag)).is_err(), "{registry} {tag}");
        }
    }
}
