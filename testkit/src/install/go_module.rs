//! Programs built from a Go module that this repository pins: fetched and compiled once into a folder of the cache.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::lock::InstallLock;
use super::{Progress, go};

/// Between two lines about how far the build is.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// What to build, and from what.
#[derive(Debug)]
pub(super) struct GoModule {
    /// The first part of the folder's name in the cache.
    pub(super) name: &'static str,
    /// For a person who waits.
    pub(super) label: &'static str,
    /// The oldest Go that `go.mod` accepts: major, minor.
    pub(super) oldest_go: (u32, u32),
    /// Paths within the module and their texts: `go.mod`, `go.sum`, and what we wrote ourselves.
    pub(super) files: &'static [(&'static str, &'static str)],
    /// Packages with a `main`, as `go build` takes them.
    pub(super) programs: &'static [&'static str],
    pub(super) linker_flags: String,
}

impl GoModule {
    /// Whether the programs are here, or can be built by the Go of this machine.
    pub(super) fn check(&self) -> Result<()> {
        if self.folder()?.exists() { Ok(()) } else { go::program(self.oldest_go).map(drop) }
    }

    /// Other versions are another folder, so two checkouts share a cache without a fight.
    fn folder(&self) -> Result<PathBuf> {
        let mut hasher = DefaultHasher::new();
        (self.files, self.programs, &self.linker_flags).hash(&mut hasher);
        Ok(super::cache_folder()?.join(format!("{}-{:016x}", self.name, hasher.finish())))
    }

    /// The folder with the programs; built when it is not there.
    pub(super) fn ensure(&self, progress: Progress) -> Result<PathBuf> {
        let (cache, folder) = (super::cache_folder()?, self.folder()?);
        if !folder.exists() {
            let go = go::program(self.oldest_go)?;
            let _lock = InstallLock::acquire()?;
            if !folder.exists() {
                self.build(&go, &cache, &folder, progress)?;
            }
        }
        Ok(folder)
    }

    /// Builds into a temporary folder and renames it: the final folder is complete or not there at all.
    fn build(&self, go: &Path, cache: &Path, folder: &Path, progress: Progress) -> Result<()> {
        let work = tempfile::tempdir_in(cache).context("failed to create a folder in the cache")?;
        for (name, text) in self.files {
            let path = work.path().join(name);
            let parent = path.parent().context("a file without a folder")?;
            std::fs::create_dir_all(parent).with_context(|| format!("failed to create {}", parent.display()))?;
            std::fs::write(&path, text).with_context(|| format!("failed to write {name}"))?;
        }
        let run = |arguments: &[&str]| {
            let mut command = Command::new(go);
            command.args(arguments).current_dir(work.path()).stdin(Stdio::null());
            // A person's go.work must not take part, and without C the programs run on any Linux.
            command.env("GOWORK", "off").env("CGO_ENABLED", "0").env_remove("GOFLAGS");
            command
        };
        progress(&format!("fetching the Go modules of {}", self.label));
        let listed = run(&["list", "-deps"]).args(self.programs).output().context("failed to run go list")?;
        if !listed.status.success() {
            bail!("failed to fetch the Go modules:\n{}", String::from_utf8_lossy(&listed.stderr).trim());
        }
        let packages = String::from_utf8_lossy(&listed.stdout).lines().count();
        progress(&format!("building {}: {packages} Go packages, minutes of work, once", self.label));
        let programs = work.path().join("programs");
        std::fs::create_dir(&programs).context("failed to create the folder of the programs")?;
        let mut command = run(&["build", "-v", "-trimpath", "-buildvcs=false", "-ldflags", &self.linker_flags, "-o"]);
        self.watch(command.arg(&programs).args(self.programs), packages, progress)?;
        std::fs::rename(&programs, folder)
            .with_context(|| format!("failed to move the programs to {}", folder.display()))
    }

    /// Runs a verbose `go build`, which names each package it compiles on standard error.
    fn watch(&self, command: &mut Command, packages: usize, progress: Progress) -> Result<()> {
        let mut child =
            command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("failed to run go build")?;
        let lines = BufReader::new(child.stderr.take().context("no standard error of go build")?).lines();
        let (mut compiled, mut said, mut reported) = (0_usize, Vec::new(), Instant::now());
        for line in lines {
            let line = line.context("failed to read what go build says")?;
            if line.contains(' ') {
                said.push(line);
            } else {
                compiled += 1;
            }
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                progress(&format!("building {}: {compiled} of {packages} packages", self.label));
            }
        }
        if !child.wait().context("failed to wait for go build")?.success() {
            bail!("failed to build {}:\n{}", self.label, said[said.len().saturating_sub(20)..].join("\n"));
        }
        Ok(())
    }
}
