//! One Pub/Sub connection and the task that keeps it.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use redis::{
    RedisResult,
    aio::{PubSub, PubSubSink},
};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::wishes::{Changes, Wishes};
use crate::gateway_streams::{
    Signal, StreamError,
    redis::{
        connection::{Backoff, CONNECT_TIMEOUT, RESPONSE_TIMEOUT, SharedConnection},
        stream_error,
    },
};

/// A silent connection is asked whether it still lives.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Bytes of messages waiting for a slow listener; more are dropped and reported as a gap.
const MAX_WAITING: usize = 64 << 20;

/// What a connection listens to.
pub(super) enum What {
    Named(Arc<Wishes>),
    /// Everything whose name begins so.
    All(String),
}

/// How much waits for the listener.
#[derive(Default)]
pub(super) struct Backlog(AtomicUsize);

impl Backlog {
    pub(super) fn took(&self, signal: &Signal) {
        if let Signal::Message { payload, .. } = signal {
            self.0.fetch_sub(payload.len(), Ordering::Relaxed);
        }
    }
}

/// The way of what was heard to the listener.
pub(super) struct Forwarding {
    pub(super) sender: mpsc::Sender<Signal>,
    pub(super) backlog: Arc<Backlog>,
}

impl Forwarding {
    /// Does nobody listen any more?
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// False: there is no room for it now.
    pub(super) fn send(&self, signal: Signal) -> bool {
        self.sender.try_send(signal).is_ok()
    }

    /// False: the listener is too slow, and the message is lost. The connection must not be held up: Redis would cut it.
    pub(super) fn hand_on(&self, channel: &str, payload: &[u8]) -> bool {
        if self.backlog.0.load(Ordering::Relaxed) > MAX_WAITING {
            return false;
        }
        self.backlog.0.fetch_add(payload.len(), Ordering::Relaxed);
        let signal = Signal::Message { channel: channel.to_owned(), payload: Bytes::copy_from_slice(payload) };
        match self.sender.try_send(signal) {
            Ok(()) => true,
            Err(TrySendError::Full(signal) | TrySendError::Closed(signal)) => {
                self.backlog.took(&signal);
                false
            }
        }
    }
}

pub(super) struct Listening {
    pub(super) shared: Arc<SharedConnection>,
    pub(super) what: What,
    pub(super) forwarding: Forwarding,
}

/// Connects, and subscribes to what does not change.
pub(super) async fn open(shared: &SharedConnection, what: &What) -> Result<PubSub, StreamError> {
    let client = shared.listening_client().await?;
    let opening = async {
        let mut pubsub = client.get_async_pubsub().await?;
        if let What::All(prefix) = what {
            pubsub.psubscribe(pattern(prefix)).await?;
        }
        Ok(pubsub)
    };
    match tokio::time::timeout(CONNECT_TIMEOUT + RESPONSE_TIMEOUT, opening).await {
        Ok(outcome) => outcome.map_err(|error| stream_error(&error)),
        Err(_) => Err(StreamError::Unavailable("subscribing took too long".to_owned())),
    }
}

/// The pattern of all names that begin with `prefix`, whatever stands in it.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 1);
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('*');
    pattern
}

impl Listening {
    pub(super) async fn keep(self, mut connection: Option<PubSub>) {
        let mut backoff = Backoff::new();
        let mut is_first = true;
        loop {
            let opened = match connection.take() {
                Some(pubsub) => Ok(pubsub),
                None => open(&self.shared, &self.what).await,
            };
            match opened {
                Ok(pubsub) => {
                    if self.serve(pubsub, !std::mem::take(&mut is_first)).await {
                        backoff = Backoff::new();
                    }
                }
                Err(error) => tracing::warn!(%error, "redis is not listened to, trying again"),
            }
            if self.forwarding.is_closed() {
                return;
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Until the connection is gone. False: it was never of use.
    async fn serve(&self, pubsub: PubSub, is_back: bool) -> bool {
        let (sink, mut messages) = pubsub.split();
        let mut here = HashSet::new();
        let mut asking: Option<BoxFuture<'static, RedisResult<Changes>>> = None;
        let mut gap = is_back;
        let mut useful = false;
        if let What::Named(wishes) = &self.what {
            wishes.begin_anew();
        }
        loop {
            if let What::Named(wishes) = &self.what {
                while asking.is_none() && !wishes.is_settled() {
                    asking = wishes.changes(&mut here).map(|changes| ask(sink.clone(), changes));
                }
            }
            if gap && self.is_settled(asking.is_none()) {
                gap = !self.forwarding.send(Signal::Gap);
            }
            tokio::select! {
                biased;
                answer = answered(&mut asking), if asking.is_some() => {
                    asking = None;
                    match answer {
                        Ok(changes) => self.confirm(&changes),
                        Err(error) => {
                            tracing::warn!(%error, "redis did not take a subscription");
                            return useful;
                        }
                    }
                    useful = true;
                }
                message = messages.next() => {
                    let Some(message) = message else {
                        tracing::warn!("redis subscription lost");
                        return true;
                    };
                    // nothing comes between what was lost and the word of it
                    let waits = gap && matches!(self.what, What::All(_));
                    gap |= waits || !self.forwarding.hand_on(message.get_channel_name(), message.get_payload_bytes());
                }
                () = self.changed(), if asking.is_none() => {}
                () = tokio::time::sleep(PING_INTERVAL), if asking.is_none() => {
                    asking = Some(ping(sink.clone()));
                }
            }
        }
    }

    fn is_settled(&self, nothing_asked: bool) -> bool {
        match &self.what {
            What::Named(wishes) => nothing_asked && wishes.is_settled(),
            What::All(_) => true,
        }
    }

    fn confirm(&self, changes: &Changes) {
        if let What::Named(wishes) = &self.what {
            wishes.confirm(&changes.subscribe);
        }
    }

    async fn changed(&self) {
        match &self.what {
            What::Named(wishes) => wishes.changed.notified().await,
            What::All(_) => std::future::pending().await,
        }
    }
}

async fn answered(asking: &mut Option<BoxFuture<'static, RedisResult<Changes>>>) -> RedisResult<Changes> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

fn ask(mut sink: PubSubSink, changes: Changes) -> BoxFuture<'static, RedisResult<Changes>> {
    in_time(async move {
        let names = |names: &[Arc<str>]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        if !changes.subscribe.is_empty() {
            sink.subscribe(names(&changes.subscribe)).await?;
        }
        if !changes.unsubscribe.is_empty() {
            sink.unsubscribe(names(&changes.unsubscribe)).await?;
        }
        Ok(changes)
    })
}

fn ping(mut sink: PubSubSink) -> BoxFuture<'static, RedisResult<Changes>> {
    in_time(async move { sink.ping::<redis::Value>().await.map(|_| Changes::default()) })
}

fn in_time(
    asking: impl Future<Output = RedisResult<Changes>> + Send + 'static,
) -> BoxFuture<'static, RedisResult<Changes>> {
    async move {
        match tokio::time::timeout(RESPONSE_TIMEOUT, asking).await {
            Ok(answer) => answer,
            Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
        }
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_by_the_letter() {
        assert_eq!(pattern("t:workflow:events:"), "t:workflow:events:*");
        assert_eq!(pattern("a*[b]?\\"), "a\\*\\[b\\]\\?\\\\*");
    }
}
