//! Folders for data and logs of one run. They are named after the process that made them, so that what a killed
//! test runner left behind is swept by the next one.

use std::path::{Path, PathBuf};
use std::sync::Once;

use anyhow::{Context, Result};

use crate::faults::SmallDisk;

const PREFIX: &str = "chatcluster-testkit-run-";

/// A folder that is removed when this value is dropped, unless it was given by name.
#[derive(Debug)]
pub struct ScratchDir {
    /// Unmounted before the folder is removed.
    disk: Option<SmallDisk>,
    path: PathBuf,
    /// `None` when the caller named the folder and wants to keep it.
    _owned: Option<tempfile::TempDir>,
}

impl ScratchDir {
    /// A fresh folder; `label` only helps a person who looks into it. `CHATCLUSTER_KEEP=1` keeps it for reading logs.
    pub fn new(label: &str) -> Result<Self> {
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let mut folder = tempfile::Builder::new()
            .prefix(&format!("{PREFIX}{}-{label}-", std::process::id()))
            .tempdir()
            .context("failed to create a scratch folder")?;
        if std::env::var_os("CHATCLUSTER_KEEP").is_some() {
            folder.disable_cleanup(true);
        }
        Ok(Self { disk: None, path: folder.path().to_owned(), _owned: Some(folder) })
    }

    /// A fresh folder on a disk of its own, which can be filled; an ordinary one where nothing can be mounted.
    pub fn on_small_disk(label: &str, mebibytes: u32) -> Result<Self> {
        let mut folder = Self::new(label)?;
        folder.disk = SmallDisk::mount(&folder.path, mebibytes).ok();
        Ok(folder)
    }

    /// Its own disk, if it has one.
    pub fn disk(&self) -> Option<&SmallDisk> {
        self.disk.as_ref()
    }

    /// A folder the caller chose; it stays.
    pub fn at(path: &Path) -> Result<Self> {
        std::fs::create_dir_all(path).with_context(|| format!("failed to create {}", path.display()))?;
        let path = path.canonicalize().with_context(|| format!("failed to resolve {}", path.display()))?;
        Ok(Self { disk: None, path, _owned: None })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Removes the folders of processes that are gone. Best effort: what cannot be removed now is tried again next time.
fn sweep() {
    if std::env::var_os("CHATCLUSTER_KEEP").is_some() {
        return;
    }
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX)).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
