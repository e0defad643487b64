//! The gateway's port for user events, open, beside a Redis of its own that shares the driver's core.

use anyhow::{Context, Result};

use super::{
    Places, Running,
    process::{Process, find, folder, free_address},
};
use crate::gateway::driver::{Dialect, Endpoint};

pub(super) fn missing(places: &Places) -> Option<String> {
    match find("redis-server") {
        None => Some("Debian's redis-server is not installed".to_owned()),
        Some(_) => (!places.gateway.is_file()).then(|| format!("{} is not built", places.gateway.display())),
    }
}

pub(super) fn start(places: &Places) -> Result<Running> {
    let redis = free_address()?;
    let server = find("redis-server").context("redis-server is not installed")?;
    let port = redis.port().to_string();
    let server = server.to_str().context("a path that is not text")?;
    let command = [server, "--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
    let mut beside = Process::start_beside(&command, folder("redis")?)?;
    beside.listens(redis)?;

    let address = free_address()?;
    let gateway = places.gateway.to_str().context("a path that is not text")?;
    let (listen, url) = (address.to_string(), format!("redis://{redis}"));
    let command = [
        gateway,
        "--listen",
        "127.0.0.1:0",
        "--user-events-listen",
        &listen,
        "--user-events-open",
        "--user-events-max-connections",
        "100000",
        "--user-events-connect-rate",
        "0",
        "--redis-url",
        &url,
        "--service-token",
        "of-nobody-at-all",
    ];
    let mut process = Process::start(&command, &[], folder("user-events")?)?;
    process.listens(address)?;
    let endpoint = Endpoint { address, dialect: Dialect::UserEvents { redis } };
    Ok(Running { endpoint, process, _beside: Some(beside) })
}
