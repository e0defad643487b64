//! Folders of jars from Maven Central: what a pom names, with all it needs, kept in the cache.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::lock::InstallLock;
use super::{Progress, debian};

/// A folder of jars and the Java that runs them.
#[derive(Clone, Debug)]
pub struct Jars {
    pub java: PathBuf,
    pub folder: PathBuf,
}

impl Jars {
    /// What goes after `java -cp`; Java itself expands the star.
    pub fn class_path(&self) -> String {
        format!("{}/*", self.folder.display())
    }
}

/// `name`: of the folder in the cache; `pom`: what is to be there.
pub(super) fn ensure(name: &str, pom: &str, progress: Progress) -> Result<Jars> {
    let java = debian::program("java")?;
    let cache = super::cache_folder()?;
    // Another pom is another folder, so two checkouts of different versions share a cache without a fight.
    let mut hasher = DefaultHasher::new();
    pom.hash(&mut hasher);
    let folder = cache.join(format!("{name}-{:016x}", hasher.finish()));
    if !folder.exists() {
        let _lock = InstallLock::acquire()?;
        if !folder.exists() {
            progress(&format!("fetching {name} from Maven Central"));
            fetch(pom, &cache, &folder).with_context(|| format!("failed to fetch {name}"))?;
        }
    }
    Ok(Jars { java, folder })
}

/// Fetches into a temporary folder and renames it: the final folder is complete or not there at all.
fn fetch(text: &str, cache: &Path, folder: &Path) -> Result<()> {
    let work = tempfile::tempdir_in(cache).context("failed to create a folder in the cache")?;
    let pom = work.path().join("pom.xml");
    std::fs::write(&pom, text).context("failed to write the pom")?;
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
        bail!("{}", String::from_utf8_lossy(&said).trim());
    }
    std::fs::rename(&jars, folder).with_context(|| format!("failed to move the jars to {}", folder.display()))
}
