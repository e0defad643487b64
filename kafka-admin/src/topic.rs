//! Topics and their settings, as plain values.

use std::collections::BTreeMap;

/// A topic as the brokers know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    /// 16 bytes in URL-safe base64, as Kafka's tools print them. A topic that was deleted and created again has another one.
    pub id: String,
    pub partitions: u32,
    /// Copies of each partition; where partitions differ, the fewest.
    pub replication: u32,
    /// Partitions that can be written to and read from now.
    pub with_leader: u32,
}

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    pub partitions: u32,
    pub replication: u32,
    pub config: Vec<(String, String)>,
}

/// Every setting of one topic or broker, by its key.
pub type Config = BTreeMap<String, ConfigValue>;

/// The value of one setting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigValue {
    /// `None`: the broker does not show it.
    pub value: Option<String>,
    /// Set on this very topic or broker; else it is a default that may change with the broker's configuration.
    pub own: bool,
}

/// Settings of one topic to be changed. Those not named keep their values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    pub topic: String,
    pub set: Vec<(String, String)>,
    /// Back to the broker's default.
    pub remove: Vec<String>,
}

impl ConfigChange {
    pub fn new(topic: &str) -> Self {
        Self { topic: topic.to_owned(), set: Vec::new(), remove: Vec::new() }
    }

    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.set.push((key.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn remove(mut self, key: &str) -> Self {
        self.remove.push(key.to_owned());
        self
    }
}
