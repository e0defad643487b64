//! A Go that is new enough. It is never installed from here: Debian 12 has 1.19, and its backports stop before 1.24.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

/// Where the archive of go.dev is unpacked by its instructions, often without being on the `PATH` of root.
const MORE_FOLDERS: [&str; 1] = ["/usr/local/go/bin"];

/// The first `go` on the `PATH` that is at least this new: major, minor.
pub(super) fn program(oldest: (u32, u32)) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(MORE_FOLDERS.iter().map(PathBuf::from));
    let mut seen = None;
    for go in folders.map(|folder| folder.join("go")).filter(|go| go.is_file()) {
        match version_of(&go) {
            Some(version) if version >= oldest => return Ok(go),
            version => seen = seen.or(version),
        }
    }
    let instead = seen.map(|(major, minor)| format!(", not {major}.{minor}")).unwrap_or_default();
    bail!("missing: Go {}.{} or newer{instead} (https://go.dev/dl)", oldest.0, oldest.1)
}

fn version_of(go: &Path) -> Option<(u32, u32)> {
    let output = Command::new(go).args(["env", "GOVERSION"]).output().ok()?;
    parse(&String::from_utf8_lossy(&output.stdout))
}

/// `go1.24.3`, `go1.26rc1`, `go1.25 X:nogreenteagc`
fn parse(version: &str) -> Option<(u32, u32)> {
    let (major, rest) = version.trim().strip_prefix("go")?.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    #[test]
    fn versions_are_read() {
        assert_eq!(super::parse("go1.24.3\n"), Some((1, 24)));
        assert_eq!(super::parse("go1.26rc1"), Some((1, 26)));
        assert_eq!(super::parse("devel"), None);
    }
}
