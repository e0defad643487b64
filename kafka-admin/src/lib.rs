//! What an operator asks of Kafka's controllers: topics with their ids, settings changed one by one, groups removed.
//!
//! librdkafka does the work. Its Rust binding wraps neither `IncrementalAlterConfigs` nor topic ids, and drops the
//! brokers' explanations of a refusal, so the module `native` calls the C interface; it is the only place with unsafe code.
//!
//! ```no_run
//! # async fn demo() -> Result<(), chatcluster_kafka_admin::Error> {
//! use std::time::Duration;
//! use chatcluster_kafka_admin::{Admin, ConfigChange, ConnectionOptions};
//!
//! let admin = Admin::new(&ConnectionOptions::plaintext("kafka:9092", Duration::from_secs(10)))?;
//! for topic in admin.describe_topics(&["message.all".to_owned()]).await? {
//!     println!("{:?}", topic?);
//! }
//! let change = ConfigChange::new("message.all").set("retention.ms", "604800000");
//! admin.alter_configs_incrementally(&[change]).await?;
//! # Ok(()) }
//! ```

mod admin;
mod connection;
mod error;
mod native;
mod topic;

pub use self::{
    admin::Admin,
    connection::{ConnectionOptions, Mechanism, Password, Sasl, Security, UnknownMechanism},
    error::{Error, Refusal},
    topic::{Config, ConfigChange, ConfigValue, NewTopic, Topic},
};
