//! Pub/Sub: each listener has a connection of its own and a task that keeps it. A cluster hands what is published at one
//! server to all of them, so it does not matter which one is listened to.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use redis::{aio::PubSub, cmd};
use tokio::{sync::mpsc, task::AbortHandle};

use super::{
    super::{Signal, SignalStream, Signals, StreamError},
    Inner,
    connection::{Backoff, CONNECT_TIMEOUT, RESPONSE_TIMEOUT, SharedConnection},
    stream_error,
};

/// Signals waiting for a slow listener; more are dropped and reported as a gap.
const QUEUE: usize = 1024;
/// A silent connection is asked whether it still lives.
const PING_INTERVAL: Duration = Duration::from_secs(5);

#[async_trait]
impl Signals for Inner {
    async fn publish(&self, channel: &str, payload: Bytes) -> Result<(), StreamError> {
        self.shared.ask(cmd("PUBLISH").arg(channel).arg(&payload[..]).take()).await
    }

    async fn listen(&self, channels: Vec<String>) -> Result<Box<dyn SignalStream>, StreamError> {
        let (sender, signals) = mpsc::channel(QUEUE);
        let first = match subscribe(&self.shared, &channels).await {
            Ok(subscribed) => Some(subscribed),
            Err(StreamError::Unavailable(reason)) => {
                tracing::warn!(reason, "redis is away, listening starts when it is there");
                None
            }
            Err(refused) => return Err(refused),
        };
        let task = tokio::spawn(keep_listening(self.shared.clone(), channels, first, sender)).abort_handle();
        Ok(Box::new(Listener { signals, task }))
    }
}

struct Listener {
    signals: mpsc::Receiver<Signal>,
    task: AbortHandle,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[async_trait]
impl SignalStream for Listener {
    async fn next(&mut self) -> Signal {
        match self.signals.recv().await {
            Some(signal) => signal,
            // The task ends only with the runtime.
            None => std::future::pending().await,
        }
    }
}

async fn subscribe(shared: &SharedConnection, channels: &[String]) -> Result<PubSub, StreamError> {
    let client = shared.listening_client().await?;
    let subscribing = async {
        let mut pubsub = client.get_async_pubsub().await?;
        pubsub.subscribe(channels).await?;
        Ok(pubsub)
    };
    match tokio::time::timeout(CONNECT_TIMEOUT + RESPONSE_TIMEOUT, subscribing).await {
        Ok(outcome) => outcome.map_err(|error| stream_error(&error)),
        Err(_) => Err(StreamError::Unavailable("subscribing took too long".to_owned())),
    }
}

async fn keep_listening(
    shared: Arc<SharedConnection>,
    channels: Vec<String>,
    mut subscribed: Option<PubSub>,
    sender: mpsc::Sender<Signal>,
) {
    let mut backoff = Backoff::new();
    loop {
        match subscribed.take() {
            Some(pubsub) => {
                backoff = Backoff::new();
                forward(pubsub, &sender).await;
            }
            None => tokio::time::sleep(backoff.next()).await,
        }
        if sender.is_closed() {
            return;
        }
        match subscribe(&shared, &channels).await {
            Ok(pubsub) => {
                subscribed = Some(pubsub);
                if sender.send(Signal::Gap).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::warn!(%error, "redis subscription lost, trying again"),
        }
    }
}

/// Hands messages on until the connection is gone.
async fn forward(pubsub: PubSub, sender: &mpsc::Sender<Signal>) {
    let (mut sink, mut messages) = pubsub.split();
    let mut overflowed = false;
    loop {
        let message = tokio::select! {
            message = messages.next() => message,
            () = tokio::time::sleep(PING_INTERVAL) => {
                match tokio::time::timeout(RESPONSE_TIMEOUT, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => continue,
                    _ => return,
                }
            }
        };
        let Some(message) = message else { return };
        // A slow listener must not hold the connection up: Redis would cut it.
        if overflowed {
            match sender.try_send(Signal::Gap) {
                Ok(()) => overflowed = false,
                Err(_) => continue,
            }
        }
        let signal = Signal::Message {
            channel: message.get_channel_name().to_owned(),
            payload: Bytes::copy_from_slice(message.get_payload_bytes()),
        };
        if sender.try_send(signal).is_err() {
            overflowed = true;
        }
    }
}
