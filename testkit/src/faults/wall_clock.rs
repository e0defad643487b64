//! The wall clock of one process, which can be set: timers and other processes do not notice.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Read by the process once a second.
#[derive(Debug)]
pub struct WallClock {
    library: PathBuf,
    /// What the clock is ahead by.
    file: PathBuf,
}

impl WallClock {
    /// `library`: see [`crate::install::faketime`]. The file is made in `folder`.
    pub fn right(library: &Path, folder: &Path, name: &str) -> Result<Self> {
        let clock = Self { library: library.to_owned(), file: folder.join(format!("{name}.clock")) };
        clock.set_ahead(0)?;
        Ok(clock)
    }

    /// With which a process has to be started.
    pub fn env(&self) -> [(&'static str, String); 4] {
        [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            // what has to do with timeouts goes on as before
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    /// From now on it shows so many seconds more than the right time.
    pub fn set_ahead(&self, seconds: u32) -> Result<()> {
        // in one step, or a reader may find half of it
        let fresh = self.file.with_extension("clock.new");
        std::fs::write(&fresh, format!("+{seconds}"))
            .with_context(|| format!("failed to write {}", fresh.display()))?;
        std::fs::rename(&fresh, &self.file).with_context(|| format!("failed to set {}", self.file.display()))
    }
}
