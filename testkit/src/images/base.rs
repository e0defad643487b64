//! The layer that all images share: what every binary needs and none brings.

use std::{collections::BTreeSet, fs, path::Path};

use anyhow::{Context, Result};

use super::{
    libraries,
    tree::{PLAIN, PROGRAM, Tree},
};

/// Who the processes are. Nothing in an image belongs to this user.
pub(super) const USER: u32 = 65532;

/// Where rustls and, by the link, OpenSSL look.
pub(super) const AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";
const OPENSSL_AUTHORITIES: &str = "/usr/lib/ssl/cert.pem";
/// Where distributions keep them.
const SOURCES: [&str; 3] = [AUTHORITIES, "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem"];

/// Of the libraries of all `binaries` together.
pub(super) fn tree<'a>(binaries: impl Iterator<Item = &'a Path>) -> Result<Tree> {
    let mut tree = Tree::default();
    let mut needed = BTreeSet::new();
    for binary in binaries {
        needed.extend(libraries::of(binary)?);
    }
    for library in needed {
        let content = fs::read(&library).with_context(|| format!("failed to read {}", library.display()))?;
        tree.file(&library.to_string_lossy(), content, PROGRAM);
    }
    tree.file(AUTHORITIES, authorities()?, PLAIN);
    tree.link(OPENSSL_AUTHORITIES, AUTHORITIES);
    let passwd = format!("root:x:0:0:root:/:/nonexistent\nchatcluster:x:{USER}:{USER}:chatcluster:/:/nonexistent\n");
    tree.file("/etc/passwd", passwd, PLAIN);
    tree.file("/etc/group", format!("root:x:0:\nchatcluster:x:{USER}:\n"), PLAIN);
    tree.file("/etc/nsswitch.conf", "hosts: files dns\n", PLAIN);
    Ok(tree)
}

fn authorities() -> Result<Vec<u8>> {
    let found = SOURCES.iter().find_map(|path| fs::read(path).ok());
    found.with_context(|| format!("{AUTHORITIES} is missing; it is in the package ca-certificates"))
}
