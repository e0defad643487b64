//! The limit and our gateway.

use std::path::Path;

use anyhow::{Context, Result};

use super::{
    Places, Running,
    process::{Process, folder, free_address},
};
use crate::gateway::driver::{Dialect, Endpoint};

pub(super) const ROOMS: Dialect = Dialect::Rooms;
pub(super) const STOMP: Dialect = Dialect::Stomp { path: "/stomp" };

pub(super) fn limit(batched: bool) -> Result<Running> {
    let program = std::env::current_exe()?;
    let mut arguments = vec!["limit"];
    if batched {
        arguments.push("--batched");
    }
    listening(&program, &arguments, ROOMS)
}

pub(super) fn gateway(places: &Places, dialect: Dialect) -> Result<Running> {
    listening(&places.gateway, &["--conformance"], dialect)
}

fn listening(program: &Path, arguments: &[&str], dialect: Dialect) -> Result<Running> {
    let address = free_address()?;
    let listen = address.to_string();
    let program = program.to_str().context("a path that is not text")?;
    let command = [&[program], arguments, &["--listen", &listen]].concat();
    let mut process = Process::start(&command, &[], folder("ours")?)?;
    process.listens(address)?;
    Ok(Running::new(Endpoint { address, dialect }, process))
}
