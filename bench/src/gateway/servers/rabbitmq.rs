//! `RabbitMQ`'s Web STOMP, as Debian packages it: one node, its data in a folder that goes away with it.

use std::{fs, path::Path};

use anyhow::{Context, Result};

use super::{
    Running,
    process::{Process, find, folder, free_address},
};
use crate::gateway::driver::{Dialect, Endpoint};

pub(super) fn missing() -> Option<&'static str> {
    (!Path::new(SERVER).is_file()).then_some("Debian's rabbitmq-server is not installed")
}

/// Not the one in the path, which changes to another user first.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

pub(super) fn start() -> Result<Running> {
    let [address, amqp, stomp, distribution, names] =
        [free_address()?, free_address()?, free_address()?, free_address()?, free_address()?];
    let folder = folder("rabbitmq")?;
    let place = folder.path().to_str().context("a path that is not text")?;
    let configuration = format!(
        "listeners.tcp.1 = {amqp}
stomp.listeners.tcp.1 = {stomp}
web_stomp.tcp.ip = {}
web_stomp.tcp.port = {}
web_stomp.tcp.backlog = 4096
disk_free_limit.absolute = 1MB
log.console = true
log.console.level = error
log.file = false
",
        address.ip(),
        address.port()
    );
    fs::write(folder.path().join("rabbitmq.conf"), configuration)
        .context("failed to write RabbitMQ's configuration")?;
    fs::write(folder.path().join("enabled_plugins"), "[rabbitmq_web_stomp].\n")?;
    let at = |name: &str| format!("{place}/{name}");
    let (ports, nodes) = (distribution.port().to_string(), names.port().to_string());
    let environment = [
        ("HOME", place.to_owned()),
        ("ERL_EPMD_PORT", nodes.clone()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_DIST_PORT", ports),
        ("RABBITMQ_NODENAME", "bench@localhost".to_owned()),
        ("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins")),
        ("RABBITMQ_MNESIA_BASE", at("data")),
        ("RABBITMQ_LOG_BASE", at("log")),
        ("RABBITMQ_PID_FILE", at("pid")),
    ];
    let environment: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    // the node would start a port mapper that outlives it
    let mapper = find("epmd").context("Erlang's epmd is not installed")?;
    let mapper = mapper.to_str().context("a path that is not text")?;
    let mapper_folder = super::process::folder("epmd")?;
    let mut mapper = Process::start(&[mapper, "-port", &nodes], &[("ERL_EPMD_ADDRESS", "127.0.0.1")], mapper_folder)?;
    mapper.listens(names)?;
    let mut process = Process::start(&[SERVER], &environment, folder)?;
    process.listens(address)?;
    let endpoint = Endpoint { address, dialect: Dialect::Stomp { path: "/ws" } };
    Ok(Running { _beside: Some(mapper), ..Running::new(endpoint, process) })
}
