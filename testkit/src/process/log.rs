//! Reading the end of a child's log file, for error messages that a person can act on.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// Enough for the last lines of any server, small enough to read at once.
const WINDOW_BYTES: u64 = 64 * 1024;

/// The last `lines` lines of the file at `path`, or why there are none. Never fails: it is used while reporting a failure.
pub fn tail(path: &Path, lines: usize) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(WINDOW_BYTES)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    match read() {
        Ok(text) => {
            let all: Vec<&str> = text.lines().collect();
            all[all.len().saturating_sub(lines)..].join("\n")
        }
        Err(error) => format!("(no log at {}: {error})", path.display()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn only_the_last_lines_are_given() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\ntwo\nthree\n").unwrap();
        assert_eq!(super::tail(file.path(), 2), "two\nthree");
        assert_eq!(super::tail(file.path(), 9), "one\ntwo\nthree");
    }
}
