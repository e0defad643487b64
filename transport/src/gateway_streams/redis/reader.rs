//! One gateway's own stream, read by its consumer group over a connection of its own: a blocking read would hold up
//! everybody else's commands, and the crate's response timeout would break it. In a cluster it leads to the server that
//! has the stream; where that is now is asked anew after each failure, as when a slot has moved.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use chatcluster_contracts::{
    ids::{BootId, Node},
    redis_keys::STREAM_GROUP,
};
use redis::{Cmd, Pipeline, RedisError, Value, aio::MultiplexedConnection, cmd};
use tokio::time::Instant;

use super::{
    super::{Batch, EntryId, StreamError, StreamReader},
    Inner,
    connection::{Backoff, RESPONSE_TIMEOUT},
    reply::{Entries, StreamInfo, entries},
    stream_error,
};

/// Between two looks for unread entries that were trimmed.
const INSPECT_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct RedisReader {
    inner: Arc<Inner>,
    key: String,
    consumer: String,
    connection: Option<MultiplexedConnection>,
    backoff: Backoff,
    /// The last entry handed out.
    last_id: EntryId,
    /// How many entries were ever added before the first unread one.
    position: u64,
    /// A read may have taken entries whose answer never came: they are in the pending list.
    unsure: bool,
    inspected: Instant,
    length: u64,
}

/// Why a step of a read did not work.
enum Failure {
    /// The stream or its group is gone.
    Lost,
    Away(StreamError),
}

impl RedisReader {
    pub(super) async fn open(inner: Arc<Inner>, node: &Node, boot: &BootId) -> Result<Self, StreamError> {
        let key = inner.keys.gateway_stream(node);
        let mut connection = inner.shared.connect_to(&key).await?;
        // Fails where there is no stream yet, which is as good.
        let _ =
            bounded(cmd("XGROUP").arg("DESTROY").arg(&key).arg(STREAM_GROUP), &mut connection, Duration::ZERO).await;
        // For an operator, who removes the streams of gateways that are gone. It notes those it knows of itself.
        let noted = cmd("SADD").arg(inner.keys.gateway_nodes()).arg(node.as_str()).take();
        if let Err(error) = inner.shared.ask::<()>(noted).await {
            tracing::warn!(%error, "redis did not note that this gateway has a stream");
        }
        let mut end = cmd("XGROUP");
        end.arg("CREATE").arg(&key).arg(STREAM_GROUP).arg("$").arg("MKSTREAM");
        let info = match start_with(&end, &key, &mut connection).await {
            // An operator has made it in this moment, to be read from the beginning.
            Err(error) if is_busy(&error) => {
                let mut end = cmd("XGROUP");
                end.arg("SETID").arg(&key).arg(STREAM_GROUP).arg("$");
                start_with(&end, &key, &mut connection).await?
            }
            info => info?,
        };
        let info = StreamInfo::of_reply(&info);
        Ok(Self {
            inner,
            key,
            consumer: boot.to_string(),
            connection: Some(connection),
            backoff: Backoff::new(),
            last_id: info.last_id,
            position: info.added.unwrap_or(0),
            unsure: false,
            inspected: Instant::now(),
            length: 0,
        })
    }

    async fn connected(&mut self) -> Result<MultiplexedConnection, StreamError> {
        if let Some(connection) = &self.connection {
            return Ok(connection.clone());
        }
        match self.inner.shared.connect_to(&self.key).await {
            Ok(connection) => {
                self.backoff = Backoff::new();
                // Data may have gone with the server: look before reading on.
                self.inspected = Instant::now().checked_sub(INSPECT_INTERVAL).unwrap_or(self.inspected);
                Ok(self.connection.insert(connection).clone())
            }
            Err(error) => {
                tokio::time::sleep(self.backoff.next()).await;
                Err(error)
            }
        }
    }

    async fn step(&mut self, max: usize, block: Duration) -> Result<Batch, Failure> {
        let mut connection = self.connected().await.map_err(Failure::Away)?;
        if self.inspected.elapsed() >= INSPECT_INTERVAL && self.inspect(&mut connection).await? {
            return Ok(Batch { gap: true, ..Batch::default() });
        }
        if self.unsure {
            let pending = self.read_group(&mut connection, max, None).await?;
            self.unsure = pending.count() >= max;
            if pending.count() > 0 {
                return Ok(self.take(pending).await);
            }
        }
        self.unsure = true;
        let fresh = self.read_group(&mut connection, max, Some(block)).await?;
        self.unsure = false;
        Ok(self.take(fresh).await)
    }

    /// New entries with `block`, those pending after the last one handed out without.
    async fn read_group(
        &self,
        connection: &mut MultiplexedConnection,
        max: usize,
        block: Option<Duration>,
    ) -> Result<Entries, Failure> {
        let mut command = cmd("XREADGROUP");
        command.arg("GROUP").arg(STREAM_GROUP).arg(&self.consumer).arg("COUNT").arg(max);
        if let Some(block) = block {
            // 0 would mean for ever.
            command.arg("BLOCK").arg(u64::try_from(block.as_millis()).unwrap_or(u64::MAX).max(1));
        }
        let from = if block.is_some() { ">" } else { &self.last_id };
        command.arg("STREAMS").arg(&self.key).arg(from);
        bounded(&command, connection, block.unwrap_or_default()).await.map(entries)
    }

    /// Looks whether unread entries were trimmed, or the data went back in time.
    async fn inspect(&mut self, connection: &mut MultiplexedConnection) -> Result<bool, Failure> {
        let reply = bounded(cmd("XINFO").arg("STREAM").arg(&self.key), connection, Duration::ZERO).await?;
        let info = StreamInfo::of_reply(&reply);
        self.inspected = Instant::now();
        let found = info.compare(self.position, &self.last_id, self.inner.max_length);
        self.position = found.position;
        self.length = found.unread;
        Ok(found.gap)
    }

    /// Decodes; what cannot be decoded is acknowledged at once, or it would come again for ever.
    async fn take(&mut self, entries: Entries) -> Batch {
        self.position += u64::try_from(entries.count()).unwrap_or_default();
        if let Some(last) = entries.last_id() {
            self.last_id = last;
        }
        let batch = Batch { entries: entries.decoded, undecodable: entries.undecodable.len(), gap: entries.deleted };
        self.length = self.length.saturating_sub(u64::try_from(batch.entries.len()).unwrap_or_default());
        if !entries.undecodable.is_empty() {
            let _ = self.acknowledge(entries.undecodable).await;
        }
        batch
    }

    /// Makes stream and group again. Whatever is in the stream by then is new.
    async fn make_again(&mut self) -> Result<(), StreamError> {
        let mut connection = self.connected().await?;
        let made = bounded(
            cmd("XGROUP").arg("CREATE").arg(&self.key).arg(STREAM_GROUP).arg("0").arg("MKSTREAM"),
            &mut connection,
            Duration::ZERO,
        )
        .await;
        match made {
            Ok(_) => {}
            Err(Failure::Away(error)) if is_busy(&error) => {}
            Err(Failure::Away(error)) => return Err(error),
            Err(Failure::Lost) => return Err(StreamError::Unavailable("the stream cannot be made again".to_owned())),
        }
        "0-0".clone_into(&mut self.last_id);
        self.position = 0;
        self.unsure = false;
        self.length = 0;
        Ok(())
    }
}

#[async_trait]
impl StreamReader for RedisReader {
    async fn read(&mut self, max: usize, block: Duration) -> Result<Batch, StreamError> {
        match self.step(max.max(1), block).await {
            Ok(batch) => Ok(batch),
            Err(Failure::Lost) => {
                tracing::warn!(stream = self.key, "redis lost the stream, it is made again");
                self.make_again().await.inspect_err(|_| self.connection = None)?;
                Ok(Batch { gap: true, ..Batch::default() })
            }
            Err(Failure::Away(error)) => {
                self.connection = None;
                Err(error)
            }
        }
    }

    async fn acknowledge(&mut self, ids: Vec<EntryId>) -> Result<(), StreamError> {
        if ids.is_empty() {
            return Ok(());
        }
        self.inner.shared.ask(cmd("XACK").arg(&self.key).arg(STREAM_GROUP).arg(ids).take()).await
    }

    fn length(&self) -> u64 {
        self.length
    }
}

fn silent() -> StreamError {
    StreamError::Unavailable("the server does not answer".to_owned())
}

/// Moves the group to where it begins, and says how the stream is at that moment.
async fn start_with(group: &Cmd, key: &str, connection: &mut MultiplexedConnection) -> Result<Value, StreamError> {
    let mut pipeline = Pipeline::with_capacity(2);
    pipeline.atomic();
    pipeline.add_command(group.clone()).ignore();
    pipeline.cmd("XINFO").arg("STREAM").arg(key);
    match tokio::time::timeout(RESPONSE_TIMEOUT, pipeline.query_async::<(Value,)>(connection)).await {
        Ok(answer) => answer.map(|(info,)| info).map_err(|error| stream_error(&error)),
        Err(_) => Err(silent()),
    }
}

/// There is such a group already.
fn is_busy(error: &StreamError) -> bool {
    error.to_string().contains("BUSYGROUP")
}

/// Waits for the answer as long as the command may block, and a little.
async fn bounded(command: &Cmd, connection: &mut MultiplexedConnection, block: Duration) -> Result<Value, Failure> {
    match tokio::time::timeout(block + RESPONSE_TIMEOUT, command.query_async::<Value>(connection)).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if is_lost(&error) => Err(Failure::Lost),
        Ok(Err(error)) => Err(Failure::Away(stream_error(&error))),
        Err(_) => Err(Failure::Away(silent())),
    }
}

/// The group or its stream is not there: NOGROUP, UNBLOCKED (deleted while we waited, Redis 7), or XINFO of nothing.
fn is_lost(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOGROUP" | "UNBLOCKED")) || error.to_string().contains("no such key")
}
