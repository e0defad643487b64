//! Apache Kafka from Maven Central: the jars that `testkit/servers/kafka/pom.xml` names, in a cache folder.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::lock::InstallLock;
use super::{Progress, debian};

/// Compiled in, so that an installed `testkit` binary works without the source tree.
const POM: &str = include_str!("../../servers/kafka/pom.xml");

/// A folder of jars and the Java that runs them.
#[derive(Clone, Debug)]
pub struct KafkaJars {
    pub java: PathBuf,
    pub folder: PathBuf,
}

impl KafkaJars {
    /// What goes after `java -cp`; Java itself expands the star.
    pub fn class_path(&self) -> String {
        format!("{}/*", self.folder.display())
    }
}

pub(super) fn ensure(progress: Progress) -> Result<KafkaJars> {
    let java = debian::program("java")?;
    let cache = super::cache_folder()?;
    // Another pom is another folder, so two checkouts of different versions share a cache without a fight.
    let mut hasher = DefaultHasher::new();
    POM.hash(&mut hasher);
    let folder = cache.join(format!("kafka-{:016x}", hasher.finish()));
    if !folder.exists() {
        let _lock = InstallLock::acquire()?;
        if !folder.exists() {
            progress("fetching Apache Kafka from Maven Central");
            fetch(&cache, &folder)?;
        }
    }
    Ok(KafkaJars { java, folder })
}

/// Fetches into a temporary folder and renames it: the final folder is complete or not there at all.
fn fetch(cache: &Path, folder: &Path) -> Result<()> {
    let work = tempfile::tempdir_in(cache).context("failed to create a folder in the cache")?;
    let pom = work.path().join("pom.xml");
    std::fs::write(&pom, POM).context("failed to write the pom")?;
    let jars = work.path().join("jars");
    let output = Command::new(debian::program("mvn")?)
        .args(["--quiet", "--batch-mode", "--file"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
        .arg(format!("-DoutputDirectory={}", jars.display()))
        .output()
        .context("failed to run mvn")?;
    if !output.status.success() {
        // Maven reports to standard output, its start script to standard error.
        let said = [output.stdout, output.stderr].concat();
        bail!("failed to fetch Kafka's jars:\n{}", String::from_utf8_lossy(&said).trim());
    }
    std::fs::rename(&jars, folder).with_context(|| format!("failed to move the jars to {}", folder.display()))
}
