//! The threads that the proxies work on. Not the test's own: a client that blocks its thread would wait for a proxy that
//! waits for the thread.

use std::net::Ipv4Addr;
use std::sync::OnceLock;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};

use crate::ports::free_port;

/// Made by the first proxy, ends with the process.
fn handle() -> Result<&'static Handle> {
    static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();
    let make = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).thread_name("testkit-proxy").enable_all().build().ok()
    };
    RUNTIME.get_or_init(make).as_ref().map(Runtime::handle).context("failed to start the threads of the proxies")
}

/// A port on 127.0.0.1 that is listened on, and where to spawn what does so.
pub(super) async fn listen() -> Result<(u16, TcpListener, &'static Handle)> {
    let (port, handle) = (free_port()?, handle()?);
    let listener = handle.spawn(TcpListener::bind((Ipv4Addr::LOCALHOST, port))).await;
    let listener = listener.context("failed to start a proxy")?.context("failed to listen as a proxy")?;
    Ok((port, listener, handle))
}
