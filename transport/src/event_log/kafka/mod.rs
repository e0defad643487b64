//! The event log on Apache Kafka, by librdkafka.

mod consumer;
mod context;
pub mod dead_letters;
mod offsets;
mod options;
mod producer;
pub mod provision;

use std::sync::Arc;

use async_trait::async_trait;
use chatcluster_contracts::topics::{Group, Topic};
use rdkafka::{error::KafkaError, types::RDKafkaErrorCode};

pub use self::options::{KafkaOptions, Property};
use self::{consumer::KafkaConsumer, producer::KafkaProducer};
use super::{Consumer, EventLog, LogError, Producer};

/// Kafka as the event log. Opening it connects to nothing yet.
#[derive(Debug)]
pub struct KafkaLog {
    options: KafkaOptions,
    producer: Arc<KafkaProducer>,
}

impl KafkaLog {
    /// Fails when a property is not one librdkafka knows, and when topics cannot have the names they are given.
    pub fn new(options: &KafkaOptions) -> Result<Self, LogError> {
        options.check_names()?;
        let producer = Arc::new(KafkaProducer::new(options)?);
        Ok(Self { options: options.clone(), producer })
    }
}

#[async_trait]
impl EventLog for KafkaLog {
    fn producer(&self) -> Arc<dyn Producer> {
        self.producer.clone()
    }

    async fn subscribe(&self, group: Group, topics: &[Topic]) -> Result<Box<dyn Consumer>, LogError> {
        Ok(Box::new(KafkaConsumer::new(&self.options, group, topics)?))
    }
}

/// Sorts what librdkafka says into "try again" and "give up".
fn log_error(error: &KafkaError) -> LogError {
    use RDKafkaErrorCode as Code;
    match error {
        KafkaError::ClientConfig(..) | KafkaError::ClientCreation(_) | KafkaError::Nul(_) => {
            LogError::Refused(error.to_string())
        }
        _ => match error.rdkafka_error_code() {
            Some(
                Code::MessageSizeTooLarge
                | Code::InvalidMessageSize
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::ClusterAuthorizationFailed
                | Code::UnknownTopic
                | Code::UnknownTopicOrPartition
                | Code::UnknownPartition
                | Code::InvalidTopic
                | Code::PolicyViolation
                | Code::Authentication
                | Code::SaslAuthenticationFailed,
            ) => LogError::Refused(error.to_string()),
            _ => LogError::Unavailable(error.to_string()),
        },
    }
}
