//! The layer of one service: its binary, without what only a debugger reads.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use super::{
    service::Service,
    tree::{PROGRAM, Tree},
};

pub(super) fn tree(service: Service, binary: &Path) -> Result<Tree> {
    let mut tree = Tree::default();
    tree.file(&place(service), stripped(binary)?, PROGRAM);
    Ok(tree)
}

/// Where the binary is in the image.
pub(super) fn place(service: Service) -> String {
    format!("/usr/bin/{}", service.name())
}

/// The build id goes too: it is a digest of debug information as well, which names folders of the machine that built it.
fn stripped(binary: &Path) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().context("failed to make a temporary folder")?;
    let out = folder.path().join("stripped");
    let output = Command::new("strip")
        .args(["--strip-all", "--remove-section=.note.gnu.build-id", "--remove-section=.comment", "-o"])
        .arg(&out)
        .arg(binary)
        .output()
        .context("failed to run strip, of the package binutils")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "strip failed on {}: {errors}", binary.display());
    fs::read(&out).with_context(|| format!("failed to read the stripped {}", binary.display()))
}
