//! The connection that all pipelines share: made when first needed, dropped at the first sign of trouble.

use std::{fmt, time::Duration};

use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline, RedisError, aio::MultiplexedConnection};
use tokio::{sync::Mutex, time::Instant};

use super::{super::StreamError, stream_error};

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A server that is silent for so long is taken to be gone.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between attempts to connect: first and longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

/// How long to wait before the next attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backoff(Duration);

impl Backoff {
    pub(super) const fn new() -> Self {
        Self(BACKOFF.0)
    }

    /// The pause before the next attempt; each is twice the one before.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (self.0 * 2).min(BACKOFF.1);
        pause
    }
}

pub(super) struct SharedConnection {
    client: Client,
    slot: Mutex<Slot>,
}

struct Slot {
    /// Counts connections, so that the failure of an old one does not drop its successor.
    generation: u64,
    connection: Option<MultiplexedConnection>,
    backoff: Backoff,
    /// No attempt before this time; until then the last failure is the answer.
    failed: Option<(Instant, StreamError)>,
}

impl fmt::Debug for SharedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedConnection").finish_non_exhaustive()
    }
}

impl SharedConnection {
    pub(super) fn new(client: Client) -> Self {
        let slot = Slot { generation: 0, connection: None, backoff: Backoff::new(), failed: None };
        Self { client, slot: Mutex::new(slot) }
    }

    /// Sends the commands in one write and reads all answers. Any failed command fails the call.
    pub(super) async fn run<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, StreamError> {
        let (generation, mut connection) = self.connection().await?;
        match pipeline.query_async::<T>(&mut connection).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                if breaks_connection(&error) {
                    let mut slot = self.slot.lock().await;
                    if slot.generation == generation {
                        slot.connection = None;
                    }
                }
                Err(stream_error(&error))
            }
        }
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), StreamError> {
        let mut slot = self.slot.lock().await;
        if let Some(connection) = &slot.connection {
            return Ok((slot.generation, connection.clone()));
        }
        if let Some((until, error)) = &slot.failed
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        match connect(&self.client, Some(RESPONSE_TIMEOUT)).await {
            Ok(mut connection) => {
                warn_of_eviction(&mut connection).await;
                slot.generation += 1;
                slot.connection = Some(connection.clone());
                slot.backoff = Backoff::new();
                slot.failed = None;
                Ok((slot.generation, connection))
            }
            Err(error) => {
                slot.failed = Some((Instant::now() + slot.backoff.next(), error.clone()));
                Err(error)
            }
        }
    }
}

/// A timeout counts: the server may be frozen behind a connection that looks alive. So does a server that became a
/// replica: the name may lead to another one by now.
pub(super) fn breaks_connection(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || matches!(error.code(), Some("READONLY" | "MASTERDOWN"))
}

pub(super) async fn connect(
    client: &Client,
    response_timeout: Option<Duration>,
) -> Result<MultiplexedConnection, StreamError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(response_timeout);
    // The crate bounds connecting; the bound around it covers a server that accepts and then says nothing.
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    match tokio::time::timeout(CONNECT_TIMEOUT * 2, connecting).await {
        Ok(outcome) => outcome.map_err(|error| stream_error(&error)),
        Err(_) => Err(StreamError::Unavailable("connecting took too long".to_owned())),
    }
}

/// A policy that evicts any key eats streams and the registry without a word, so say it. Servers that hide their
/// configuration are left alone.
async fn warn_of_eviction(connection: &mut MultiplexedConnection) {
    let answer: Result<(String, String), _> =
        redis::cmd("CONFIG").arg("GET").arg("maxmemory-policy").query_async(connection).await;
    if let Ok((_, policy)) = answer
        && policy.starts_with("allkeys-")
    {
        tracing::error!(policy, "redis evicts any key when memory is short: streams may vanish, use noeviction");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_a_second() {
        let mut backoff = Backoff::new();
        let pauses: Vec<u128> = (0..7).map(|_| backoff.next().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1000, 1000]);
    }
}
