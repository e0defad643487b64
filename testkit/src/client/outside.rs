//! A service beside the platform that produces to its topics.

use std::time::Duration;

use anyhow::{Context, Result};
use rdkafka::{
    ClientConfig,
    producer::{FutureProducer, FutureRecord},
};

use crate::Deployment;

const TAKEN_WITHIN: Duration = Duration::from_secs(20);

/// Its producer is set up as those of the JVM are: a key has the partition that it has for them.
pub struct Outside {
    producer: FutureProducer,
    prefix: String,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl Outside {
    pub fn of(deployment: &Deployment) -> Result<Self> {
        let on = deployment.namespace().context("no servers")?;
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &on.kafka_bootstrap_servers)
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .create()?;
        Ok(Self { producer, prefix: on.kafka_prefix.clone() })
    }

    /// `topic`: without the prefix. Answers where the record is: `partition-offset`.
    pub async fn produce(&self, topic: &str, key: &str, value: &str) -> Result<String> {
        let topic = format!("{}{topic}", self.prefix);
        self.send(FutureRecord::to(&topic).key(key).payload(value)).await
    }

    /// The same with the record's time, in milliseconds since the epoch.
    pub async fn produce_at(&self, at: i64, topic: &str, key: &str, value: &str) -> Result<String> {
        let topic = format!("{}{topic}", self.prefix);
        self.send(FutureRecord::to(&topic).key(key).payload(value).timestamp(at)).await
    }

    async fn send(&self, record: FutureRecord<'_, str, str>) -> Result<String> {
        let place = self.producer.send(record, TAKEN_WITHIN).await.map_err(|(error, _)| error)?;
        Ok(format!("{}-{}", place.partition, place.offset))
    }
}
