//! A disk that can be full: a small file system in memory.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

const FILLER: &str = "filler";

/// Mounted on a folder until dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    /// Only root may mount, and not everywhere.
    pub fn mount(folder: &Path, mebibytes: u32) -> Result<Self> {
        let size = format!("size={mebibytes}m");
        let mut mount = Command::new("mount");
        let output = mount.args(["-t", "tmpfs", "-o", &size, "testkit"]).arg(folder).output();
        let output = output.context("failed to run mount")?;
        ensure!(output.status.success(), "failed to mount: {}", String::from_utf8_lossy(&output.stderr).trim());
        Ok(Self { folder: folder.to_owned() })
    }

    /// Not a byte is left.
    pub fn fill(&self) -> Result<()> {
        let path = self.folder.join(FILLER);
        let mut file = OpenOptions::new().create(true).append(true).open(&path).context("failed to make the filler")?;
        for chunk in [1 << 20, 4096] {
            fill_with(&mut file, &vec![0; chunk])?;
        }
        Ok(())
    }

    pub fn free(&self) -> Result<()> {
        match std::fs::remove_file(self.folder.join(FILLER)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error).context("failed to remove the filler"),
            _ => Ok(()),
        }
    }
}

fn fill_with(file: &mut File, chunk: &[u8]) -> Result<()> {
    loop {
        match file.write_all(chunk) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error).context("failed to fill the disk"),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // whoever has a file open there keeps it until then
        let _ = Command::new("umount").arg("--lazy").arg(&self.folder).output();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_takes_nothing_until_it_is_freed() {
        let folder = tempfile::tempdir().unwrap();
        let Ok(disk) = SmallDisk::mount(folder.path(), 2) else { return };
        let write = || std::fs::write(folder.path().join("one"), [1; 8192]);
        write().unwrap();
        disk.fill().unwrap();
        let more = std::fs::write(folder.path().join("two"), [1; 8192]);
        assert_eq!(more.unwrap_err().kind(), ErrorKind::StorageFull);
        disk.free().unwrap();
        write().unwrap();
        drop(disk);
        assert!(!folder.path().join("one").exists(), "nothing is left of it");
    }
}
