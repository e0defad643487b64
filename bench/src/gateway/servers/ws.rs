//! A plain loop over the sockets of Node's `ws` package: `bench/peers/ws.mjs`.

use std::{env, fs, path::PathBuf};

use anyhow::{Context, Result};

use super::{
    Running,
    process::{Process, find, folder, free_address},
};
use crate::gateway::driver::{Dialect, Endpoint};

const SCRIPT: &str = include_str!("../../../peers/ws.mjs");

pub(super) fn missing() -> Option<&'static str> {
    let there = find("node").is_some() && packages().is_some_and(|place| place.join("node_modules/ws").is_dir());
    (!there).then_some("node or its package ws is not installed (scripts/prepare bench)")
}

pub(super) fn start() -> Result<Running> {
    let address = free_address()?;
    let folder = folder("ws")?;
    let file = folder.path().join("ws.mjs");
    fs::write(&file, SCRIPT).context("failed to write the server")?;
    let (node, packages) = (find("node").context("node is not installed")?, packages().context("no home folder")?);
    let port = address.port().to_string();
    let command = [node.to_str(), file.to_str(), Some(port.as_str()), packages.to_str()];
    let command = command.into_iter().collect::<Option<Vec<&str>>>().context("a path that is not text")?;
    let mut process = Process::start(&command, &[], folder)?;
    process.listens(address)?;
    Ok(Running::new(Endpoint { address, dialect: Dialect::Rooms }, process))
}

/// Where `scripts/prepare bench` installs npm packages.
fn packages() -> Option<PathBuf> {
    let cache = env::var_os("CHATCLUSTER_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache/chatcluster")))?;
    Some(cache.join("bench-peers"))
}
