//! One installation at a time on this machine: test binaries run in parallel and each asks for the servers.

use std::fs::File;

use anyhow::{Context, Result};

/// Held while something is installed; released when dropped, or when the process dies.
#[derive(Debug)]
pub(super) struct InstallLock {
    _file: File,
}

impl InstallLock {
    pub(super) fn acquire() -> Result<Self> {
        let path = super::cache_folder()?.join("install.lock");
        let file = File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
        file.lock().with_context(|| format!("failed to lock {}", path.display()))?;
        Ok(Self { _file: file })
    }
}
