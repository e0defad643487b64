//! `testkit images`: the services' container images, without a container engine.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::deployment::Binaries;
use crate::images::{self, LOCAL_REGISTRY};

#[derive(Debug, Args)]
pub(super) struct Images {
    /// Which binaries; those of dev are larger and built anyway
    #[arg(long, value_enum, default_value_t = Profile::Dev)]
    profile: Profile,
    /// Version of the images
    #[arg(long, default_value = env!("CARGO_PKG_VERSION"))]
    tag: String,
    /// In front of the images' names
    #[arg(long, default_value = LOCAL_REGISTRY)]
    registry: String,
    /// Folder of the archive
    #[arg(long, default_value = "target/images")]
    out: PathBuf,
    /// Instead of an archive: the files of the images in this new folder, as the Dockerfile takes them
    #[arg(long, value_name = "FOLDER")]
    unpacked: Option<PathBuf>,
    /// Commit that the binaries were built from, for the labels
    #[arg(long)]
    revision: Option<String>,
    /// When that was, in seconds since 1970, for the labels
    #[arg(long, env = "SOURCE_DATE_EPOCH", default_value_t = 0)]
    created: i64,
}

/// A profile of Cargo. Layers of release images are compressed, as registries expect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Profile {
    Dev,
    Release,
}

impl Images {
    pub(super) async fn run(self) -> Result<()> {
        let binaries = Binaries::of_profile(if self.profile == Profile::Dev { "debug" } else { "release" })?;
        if let Some(folder) = self.unpacked {
            let write = tokio::task::spawn_blocking(move || images::unpacked(&binaries, &folder));
            return write.await.context("the build panicked")?;
        }
        let options = images::Options {
            binaries,
            registry: self.registry,
            tag: self.tag,
            out: self.out,
            compress: self.profile == Profile::Release,
            revision: self.revision.filter(|revision| !revision.is_empty()),
            created: self.created,
        };
        let building = tokio::task::spawn_blocking(move || images::build(&options));
        let built = building.await.context("the build panicked")??;
        println!("{:<48} {:>9} {:>9}  digest", "image", "MB", "unpacked");
        for image in &built.images {
            println!(
                "{:<48} {:>9.1} {:>9.1}  {}",
                image.reference,
                image.size as f64 / 1e6,
                image.unpacked as f64 / 1e6,
                image.digest
            );
        }
        println!("{}", built.archive.display());
        Ok(())
    }
}
