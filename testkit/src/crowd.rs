//! Threads of their own for many clients, so that what they have to do is no part of what is measured beside them.

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime that may be dropped in another one: what runs on it then is not waited for.
#[derive(Debug)]
pub struct Crowd {
    runtime: Option<Runtime>,
    handle: Handle,
}

impl Crowd {
    pub fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { handle: runtime.handle().clone(), runtime: Some(runtime) })
    }

    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
