//! The topics as the manifest declares them.

use std::collections::BTreeMap;

use chatcluster_contracts::topics::{Names, Topic, is_valid_name};

use super::Invalid;
use crate::{
    crd::KafkaSpec,
    kafka::{DeclaredTopic, TopicSettings},
};

/// Kafka allows 249 characters, and dead letters need four of them.
const LONGEST_NAME: usize = 240;
const LONGEST_PREFIX: usize = 64;
const MOST_PARTITIONS: u32 = 1000;

pub(super) fn names(spec: &KafkaSpec) -> Result<Names, Invalid> {
    let prefix = &spec.prefix;
    if prefix.len() > LONGEST_PREFIX || !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)) {
        let reason = format!("{prefix:?} must have at most {LONGEST_PREFIX} letters, digits, '.', '_' and '-'");
        return Err(Invalid::new("spec.kafka.prefix", reason));
    }
    let mut names = Names::with_prefix(prefix);
    for topic in Topic::ALL {
        let Some(name) = &spec.topics.of(topic).name else { continue };
        if name.len() > LONGEST_NAME || !is_valid_name(name) {
            let reason = format!(
                "{name:?} is no name of a topic: 1 to {LONGEST_NAME} letters, digits, '.', '_' and '-', and not . or .."
            );
            return Err(Invalid::new(field(topic, "name"), reason));
        }
        names = names.with_topic(topic, name);
    }
    Ok(names)
}

/// What the manifest chooses of the topics.
pub(super) fn settings(spec: &KafkaSpec) -> Result<BTreeMap<Topic, TopicSettings>, Invalid> {
    let chosen = Topic::ALL.into_iter().map(|topic| {
        let asked = spec.topics.of(topic);
        if asked.partitions.is_some_and(|partitions| !(1..=MOST_PARTITIONS).contains(&partitions)) {
            return Err(Invalid::new(field(topic, "partitions"), format!("must be from 1 to {MOST_PARTITIONS}")));
        }
        let retention = asked.retention.as_ref().map(|text| {
            let retention = chatcluster_service::config::duration(text)?;
            // Kafka counts milliseconds in 64 bits with a sign
            i64::try_from(retention.as_millis()).map_err(|_| "is longer than Kafka can count".to_owned())?;
            Ok(retention)
        });
        let retention =
            retention.transpose().map_err(|reason: String| Invalid::new(field(topic, "retention"), reason))?;
        Ok((topic, TopicSettings { partitions: asked.partitions, retention }))
    });
    chosen.collect()
}

/// Two roles on one topic would read each other's records.
pub(super) fn all_different(topics: &[DeclaredTopic]) -> Result<(), Invalid> {
    let mut roles = BTreeMap::new();
    for topic in topics {
        if let Some(other) = roles.insert(&topic.name, &topic.role) {
            let reason = format!("{} and {other} would both be the topic {:?}", topic.role, topic.name);
            return Err(Invalid::new("spec.kafka.topics", reason));
        }
    }
    Ok(())
}

fn field(topic: Topic, field: &str) -> String {
    format!("spec.kafka.topics.{}.{field}", topic.role_name())
}
