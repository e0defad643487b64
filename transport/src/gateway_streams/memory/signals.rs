//! Signals between the tasks of one process.

use std::collections::HashSet;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast::{self, error::RecvError};

use super::{
    super::{Signal, SignalStream, Signals, StreamError},
    Inner,
};

/// Signals waiting for a slow listener; more are dropped and reported as a gap.
const QUEUE: usize = 1024;

/// Everything that is published in this process. Clones share it.
#[derive(Clone)]
pub(crate) struct Channels(pub(crate) broadcast::Sender<(String, Bytes)>);

impl Default for Channels {
    fn default() -> Self {
        Self(broadcast::Sender::new(QUEUE))
    }
}

#[async_trait]
impl Signals for Inner {
    async fn publish(&self, channel: &str, payload: Bytes) -> Result<(), StreamError> {
        // Nobody listens: then nobody is told, as with Pub/Sub.
        let _ = self.channels.0.send((channel.to_owned(), payload));
        Ok(())
    }

    async fn listen(&self, channels: Vec<String>) -> Result<Box<dyn SignalStream>, StreamError> {
        Ok(Box::new(Listener { wanted: channels.into_iter().collect(), signals: self.channels.0.subscribe() }))
    }
}

struct Listener {
    wanted: HashSet<String>,
    signals: broadcast::Receiver<(String, Bytes)>,
}

#[async_trait]
impl SignalStream for Listener {
    async fn next(&mut self) -> Signal {
        loop {
            match self.signals.recv().await {
                Ok((channel, payload)) if self.wanted.contains(&channel) => {
                    return Signal::Message { channel, payload };
                }
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => return Signal::Gap,
                Err(RecvError::Closed) => std::future::pending().await,
            }
        }
    }
}
