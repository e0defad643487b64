//! The shared libraries that a binary needs, and its loader, as `ldd` names them.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// Full paths, where the loader will look for them: the image has them in the same place.
pub(super) fn of(binary: &Path) -> Result<BTreeSet<PathBuf>> {
    let output = Command::new("ldd").arg(binary).env("LC_ALL", "C").output().context("failed to run ldd")?;
    let listing = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    // a static binary is an error to ldd, and fine for an image
    if listing.contains("statically linked") || errors.contains("not a dynamic executable") {
        return Ok(BTreeSet::new());
    }
    ensure!(output.status.success(), "ldd failed on {}: {errors}", binary.display());
    parse(&listing).with_context(|| format!("{} cannot be put into an image", binary.display()))
}

/// Lines are `name => path (address)`, `loader (address)`, or the kernel's own `linux-vdso.so.1 (address)`.
fn parse(listing: &str) -> Result<BTreeSet<PathBuf>> {
    let mut libraries = BTreeSet::new();
    for line in listing.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let place = line.split_once("=>").map_or(line, |(_, place)| place).trim();
        let path = place.split(" (").next().unwrap_or(place).trim();
        if path.starts_with('/') {
            libraries.insert(PathBuf::from(path));
        } else if path.starts_with("not found") {
            bail!("a library is not on this machine: {line}");
        }
    }
    Ok(libraries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_found_and_the_kernel_s_part_is_not() {
        let listing = "\tlinux-vdso.so.1 (0x00007eff06f89000)\n\
            \tlibz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x00007eff06f58000)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007eff06f8b000)\n";
        let expected = ["/lib/x86_64-linux-gnu/libz.so.1", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(parse(listing).unwrap(), BTreeSet::from(expected));
    }

    #[test]
    fn a_library_that_is_missing_is_named() {
        let error = parse("\tlibssl.so.9 => not found\n").unwrap_err().to_string();
        assert!(error.contains("libssl.so.9"), "{error}");
    }
}
