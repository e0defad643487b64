//! Where the platform's binaries are: beside the running test's own target folder, or where `CHATCLUSTER_BIN_DIR` says.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// The folder that holds `chatcluster`, `chatcluster-core`, `chatcluster-worker` and `chatcluster-gateway`.
#[derive(Clone, Debug)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    pub fn locate() -> Result<Self> {
        if let Some(folder) = std::env::var_os("CHATCLUSTER_BIN_DIR") {
            return Ok(Self { folder: folder.into() });
        }
        // A test runs from target/PROFILE/deps, an installed testkit from beside the others.
        let own = std::env::current_exe().context("failed to find this executable")?;
        let folder = own.parent().context("this executable has no folder")?;
        let folder = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
        Ok(Self { folder: folder.to_owned() })
    }

    /// Those of one of Cargo's folders, `debug` or `release`, beside the folder of this executable.
    pub fn of_profile(folder: &str) -> Result<Self> {
        let own = Self::locate()?;
        if std::env::var_os("CHATCLUSTER_BIN_DIR").is_some() {
            return Ok(own);
        }
        Ok(Self { folder: own.folder.with_file_name(folder) })
    }

    pub fn in_folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The path of one binary. Cargo builds binaries of other packages only when asked to, hence the advice.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        if !path.is_file() {
            bail!("{} is missing: run `cargo build --workspace --bins`, or set CHATCLUSTER_BIN_DIR", path.display());
        }
        Ok(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_binary_is_named_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("chatcluster"), "").unwrap();
        let binaries = Binaries::in_folder(folder.path());
        assert!(binaries.path("chatcluster").is_ok());
        let error = binaries.path("chatcluster-core").unwrap_err().to_string();
        assert!(error.contains("chatcluster-core") && error.contains("cargo build"), "{error}");
    }
}
