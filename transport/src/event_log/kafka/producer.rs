//! The appending side: one producer that never gives up, and one for ephemera that gives up soon.

use std::{fmt, time::Duration};

use async_trait::async_trait;
use chatcluster_contracts::topics::{Names, Topic};
use parking_lot::Mutex;
use rdkafka::{
    ClientConfig,
    error::KafkaError,
    message::{Header, OwnedHeaders},
    producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _},
    types::RDKafkaErrorCode,
};
use tokio::sync::Semaphore;

use super::{KafkaOptions, context::Logged, log_error};
use crate::event_log::{LogError, NewRecord, Producer, is_ephemeral};

/// Between two looks at a full queue of librdkafka, which tells nobody when it has room again.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);
/// Appends to one topic that may be under way. An idempotent librdkafka has five requests in flight to a partition; while
/// more records wait for their turn its threads spin, which starves brokers on the same machine, which makes them wait
/// longer. So whatever is more waits here, and meanwhile its callers' batches grow.
const UNDER_WAY: usize = 3;
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) struct KafkaProducer {
    names: Names,
    durable_config: ClientConfig,
    durable: Mutex<Durable>,
    ephemeral: FutureProducer<Logged>,
    /// One for each of [`Topic::ALL`].
    turns: [Semaphore; Topic::ALL.len()],
}

/// An idempotent producer that met a fatal error (the brokers lost data) never sends again, so it is replaced.
#[derive(Clone)]
struct Durable {
    generation: u64,
    producer: FutureProducer<Logged>,
}

impl fmt::Debug for KafkaProducer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaProducer").field("names", &self.names).finish_non_exhaustive()
    }
}

impl KafkaProducer {
    pub(super) fn new(options: &KafkaOptions) -> Result<Self, LogError> {
        let durable_config = options.durable_producer();
        let producer = durable_config.create_with_context(Logged).map_err(|error| log_error(&error))?;
        Ok(Self {
            names: options.names(),
            durable_config,
            durable: Mutex::new(Durable { generation: 0, producer }),
            turns: std::array::from_fn(|_| Semaphore::new(UNDER_WAY)),
            ephemeral: options.ephemeral_producer().create_with_context(Logged).map_err(|error| log_error(&error))?,
        })
    }

    /// Hands the record to librdkafka, which keeps the order of hand-over within a partition.
    async fn enqueue(&self, durable: &Durable, record: NewRecord) -> Result<DeliveryFuture, LogError> {
        let ephemeral = ephemeral(&record);
        let producer = if ephemeral { &self.ephemeral } else { &durable.producer };
        let topic =
            if record.dead_letter { self.names.dead_letters(record.topic) } else { self.names.topic(record.topic) };
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: Some(&value[..]) });
        }
        let mut next = FutureRecord::to(&topic).key(&record.key).payload(&record.value[..]).headers(headers);
        loop {
            match producer.send_result(next) {
                Ok(delivery) => return Ok(delivery),
                Err((error, back)) if !ephemeral && is_queue_full(&error) => {
                    next = back;
                    tokio::time::sleep(QUEUE_FULL_PAUSE).await;
                }
                Err((error, _)) => return Err(self.note(durable.generation, &error)),
            }
        }
    }

    /// Turns an error of librdkafka into ours, and replaces a producer that is broken for good.
    fn note(&self, generation: u64, error: &KafkaError) -> LogError {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            let mut durable = self.durable.lock();
            if durable.generation == generation {
                match self.durable_config.create_with_context(Logged) {
                    Ok(producer) => {
                        tracing::warn!(%error, "kafka producer met a fatal error and was replaced");
                        *durable = Durable { generation: generation + 1, producer };
                    }
                    Err(again) => tracing::error!(error = %again, "kafka producer could not be replaced"),
                }
            }
            return LogError::Unavailable(error.to_string());
        }
        log_error(error)
    }
}

fn ephemeral(record: &NewRecord) -> bool {
    is_ephemeral(record.topic) && !record.dead_letter
}

fn is_queue_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}

#[async_trait]
impl Producer for KafkaProducer {
    async fn append(&self, records: Vec<NewRecord>) -> Vec<Result<(), LogError>> {
        // always in the same order, so that nobody waits for one who waits for them
        let mut turns = Vec::with_capacity(1);
        for (topic, turn) in Topic::ALL.iter().zip(&self.turns) {
            if records.iter().any(|record| record.topic == *topic && !ephemeral(record)) {
                turns.push(turn.acquire().await);
            }
        }
        let durable = self.durable.lock().clone();
        let mut waiting = Vec::with_capacity(records.len());
        for record in records {
            waiting.push(self.enqueue(&durable, record).await);
        }
        let mut results = Vec::with_capacity(waiting.len());
        for delivery in waiting {
            results.push(match delivery {
                Err(error) => Err(error),
                Ok(delivery) => match delivery.await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err((error, _))) => Err(self.note(durable.generation, &error)),
                    Err(_) => Err(LogError::Unavailable("the producer was closed".to_owned())),
                },
            });
        }
        results
    }

    async fn check(&self) -> Result<(), LogError> {
        let producer = self.durable.lock().producer.clone();
        let topic = self.names.topic(Topic::Messages);
        let answer =
            tokio::task::spawn_blocking(move || producer.client().fetch_metadata(Some(&topic), CHECK_TIMEOUT)).await;
        match answer {
            Ok(Ok(metadata)) => match metadata.topics().first().and_then(rdkafka::metadata::MetadataTopic::error) {
                None => Ok(()),
                Some(error) => {
                    let name = self.names.topic(Topic::Messages);
                    Err(LogError::Refused(format!("topic {name}: {}", RDKafkaErrorCode::from(error))))
                }
            },
            Ok(Err(error)) => Err(log_error(&error)),
            Err(error) => Err(LogError::Unavailable(error.to_string())),
        }
    }
}
