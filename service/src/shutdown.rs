//! One value handed down to everything that must stop.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Asks every part of the process to finish. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// Stops only when [`request`](Self::request) is called.
    pub fn manual() -> Self {
        Self::default()
    }

    /// Stops at SIGTERM or SIGINT; a second signal ends the process at once.
    pub fn on_signals() -> std::io::Result<Self> {
        let shutdown = Self::manual();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let asked = shutdown.clone();
        tokio::spawn(async move {
            for first in [true, false] {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                if !first {
                    tracing::warn!(signal = name, "stopping at once");
                    std::process::exit(130);
                }
                tracing::info!(signal = name, "stopping");
                asked.request();
            }
        });
        Ok(shutdown)
    }

    pub fn request(&self) {
        self.0.cancel();
    }

    pub fn is_requested(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until somebody asked.
    pub async fn requested(&self) {
        self.0.cancelled().await;
    }

    pub fn token(&self) -> CancellationToken {
        self.0.clone()
    }
}

/// Ends the process with what its work came to. Threads of libraries are not waited for: librdkafka's wait for a time of the
/// day, and where the clock was set back by an hour they would hold the process for that hour.
pub fn leave(ended: anyhow::Result<()>) -> ! {
    let code = i32::from(ended.is_err());
    if let Err(error) = ended {
        eprintln!("Error: {error:?}");
    }
    std::process::exit(code)
}
