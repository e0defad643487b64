//! A program of the node that runs for as long as the node does.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::layout::{PROGRAMS, inside};

/// What the supervisor runs. All paths are as the node's processes see them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Daemon {
    /// Its log is called like it.
    pub(super) name: String,
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
}

impl Daemon {
    /// One of our own building: `folder` is `api`, `components` or `addons`.
    pub(super) fn built<V: AsRef<str>>(folder: &str, name: &str, options: &[(&str, V)]) -> Self {
        Self::of(name, format!("{PROGRAMS}/{folder}/{name}"), options)
    }

    /// One of Debian's.
    pub(super) fn installed<V: AsRef<str>>(program: &Path, name: &str, options: &[(&str, V)]) -> Self {
        Self::of(name, program.display().to_string(), options)
    }

    fn of<V: AsRef<str>>(name: &str, program: String, options: &[(&str, V)]) -> Self {
        let arguments = options.iter().map(|(option, value)| format!("--{option}={}", value.as_ref())).collect();
        Self { name: name.to_owned(), program, arguments }
    }
}

/// The kubeconfig of a component, as its process sees it.
pub(super) fn kubeconfig(user: &str) -> String {
    inside(&format!("{user}.kubeconfig"))
}
