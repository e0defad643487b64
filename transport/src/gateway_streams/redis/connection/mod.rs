//! The connections to Redis, alike for one server and for a cluster: the one that all commands share, which is made when
//! first needed and dropped at the first sign of trouble, and those that a reader or a listener has for itself.

mod cluster;
mod eviction;
mod server;

use std::{fmt, sync::Arc, time::Duration};

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, RedisError,
    aio::{AsyncPushSender, MultiplexedConnection},
};
use tokio::{sync::Mutex, time::Instant};

pub(crate) use self::cluster::Node;
pub(super) use self::server::{ClusterWay, Server};
use self::{cluster::Topology, eviction::warn_of_eviction, server::Link};
use super::{super::StreamError, stream_error};

pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A server that is silent for so long is taken to be gone.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Between attempts to connect: first and longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// A cluster's connection mends itself while a server of it is away. Making it anew holds everybody up, also those with
/// business at the other servers; so it is done only where mending has had its time.
const MENDING: Duration = Duration::from_secs(5);

/// How long to wait before the next attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) const fn new() -> Self {
        Self(BACKOFF.0)
    }

    /// The pause before the next attempt; each is twice the one before.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (self.0 * 2).min(BACKOFF.1);
        pause
    }
}

pub(crate) struct SharedConnection {
    server: Server,
    slot: Mutex<Slot>,
}

struct Slot {
    /// Counts connections, so that the failure of an old one does not drop its successor.
    generation: u64,
    link: Option<Link>,
    connected: Instant,
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
    pub(super) fn new(server: Server) -> Self {
        let slot = Slot { generation: 0, link: None, connected: Instant::now(), backoff: Backoff::new(), failed: None };
        Self { server, slot: Mutex::new(slot) }
    }

    /// Is it a cluster? Then no script may have keys of several slots.
    pub(crate) fn is_cluster(&self) -> bool {
        self.server.is_cluster()
    }

    /// Sends the commands in one write and reads all answers, in their order. Any failed command fails the call. In a
    /// cluster there is a write for each slot, all at the same time, and only commands of one key keep their order.
    pub(crate) async fn run<T: FromRedisValue>(&self, commands: Vec<Cmd>) -> Result<T, StreamError> {
        let (generation, link) = self.link().await?;
        let outcome = link.run(commands).await;
        self.judged(generation, outcome).await
    }

    /// [`Self::run`] for one command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T, StreamError> {
        let (answer,) = self.run(vec![command]).await?;
        Ok(answer)
    }

    /// [`Self::ask`] of the server that has the slot.
    pub(super) async fn ask_owner<T: FromRedisValue>(&self, slot: u16, command: Cmd) -> Result<T, StreamError> {
        let (generation, link) = self.link().await?;
        let outcome = link.ask_owner(slot, command).await;
        self.judged(generation, outcome).await
    }

    /// The first slot of the next server, of those whose first slots are behind this one; `None` when there is none, as
    /// without a cluster.
    pub(super) async fn next_owner(&self, slot: u16) -> Result<Option<u16>, StreamError> {
        Ok(self.topology().await?.first_slots().filter(|first| *first > slot).min())
    }

    /// First the commands of `first`, then those of `second`. One write, in a cluster the second after the first has
    /// been answered.
    pub(super) async fn run_in_order(&self, mut first: Vec<Cmd>, second: Vec<Cmd>) -> Result<(), StreamError> {
        if self.is_cluster() {
            self.run::<()>(first).await?;
            return self.run(second).await;
        }
        first.extend(second);
        self.run(first).await
    }

    /// A connection of the caller's own to the server that has `key`. Its answers may take as long as they want.
    pub(super) async fn connect_to(&self, key: &str) -> Result<MultiplexedConnection, StreamError> {
        match &self.server {
            Server::Standalone(client) => connect(client, None).await,
            Server::Cluster(way) => connect(&way.client_of(self.topology().await?.owner(key)?)?, None).await,
        }
    }

    /// To connect to a server that hears whatever is published; in a cluster one of them, another one each time.
    pub(crate) async fn listening_client(&self) -> Result<Client, StreamError> {
        match &self.server {
            Server::Standalone(client) => Ok(Client::clone(client)),
            Server::Cluster(way) => way.client_of(self.topology().await?.any()?),
        }
    }

    /// The servers of a cluster that have these channels.
    pub(crate) async fn owners(&self, channels: &[Arc<str>]) -> Result<Vec<Node>, StreamError> {
        let topology = self.topology().await?;
        channels.iter().map(|channel| topology.owner(channel).cloned()).collect()
    }

    /// A connection of the caller's own to one server of a cluster; `hear` is called with whatever it pushes.
    pub(crate) async fn connect_pushing(
        &self,
        node: &Node,
        hear: impl AsyncPushSender,
    ) -> Result<MultiplexedConnection, StreamError> {
        let Server::Cluster(way) = &self.server else {
            return Err(StreamError::Refused("one server alone has no shards".to_owned()));
        };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT))
            .set_push_sender(hear);
        in_time(way.pushing_client_of(node)?.get_multiplexed_async_connection_with_config(&config)).await
    }

    async fn topology(&self) -> Result<Topology, StreamError> {
        let (generation, link) = self.link().await?;
        let outcome = link.topology().await;
        self.judged(generation, outcome).await
    }

    /// Drops the connection if that is what the outcome tells.
    async fn judged<T>(&self, generation: u64, outcome: Result<T, RedisError>) -> Result<T, StreamError> {
        let error = match outcome {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if breaks_connection(&error) {
            let mut slot = self.slot.lock().await;
            let mending = self.is_cluster() && slot.connected.elapsed() < MENDING;
            if slot.generation == generation && !mending {
                slot.link = None;
            }
        }
        Err(stream_error(&error))
    }

    async fn link(&self) -> Result<(u64, Link), StreamError> {
        let mut slot = self.slot.lock().await;
        if let Some(link) = &slot.link {
            return Ok((slot.generation, link.clone()));
        }
        if let Some((until, error)) = &slot.failed
            && Instant::now() < *until
        {
            return Err(error.clone());
        }
        match self.server.connect().await {
            Ok(link) => {
                warn_of_eviction(&link).await;
                slot.generation += 1;
                slot.link = Some(link.clone());
                slot.connected = Instant::now();
                slot.backoff = Backoff::new();
                slot.failed = None;
                Ok((slot.generation, link))
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
fn breaks_connection(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || matches!(error.code(), Some("READONLY" | "MASTERDOWN"))
}

async fn connect(client: &Client, response_timeout: Option<Duration>) -> Result<MultiplexedConnection, StreamError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(response_timeout);
    in_time(client.get_multiplexed_async_connection_with_config(&config)).await
}

/// The crate bounds connecting; the bound around it covers a server that accepts and then says nothing.
async fn in_time<T>(connecting: impl Future<Output = Result<T, RedisError>>) -> Result<T, StreamError> {
    match tokio::time::timeout(CONNECT_TIMEOUT * 2, connecting).await {
        Ok(outcome) => outcome.map_err(|error| stream_error(&error)),
        Err(_) => Err(StreamError::Unavailable("connecting took too long".to_owned())),
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
