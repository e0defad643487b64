//! Creates the topics of the contracts where no operator does: `chatcluster topics apply`.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_contracts::topics::{DEAD_LETTER_RETENTION, Names, Topic};
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    metadata::MetadataTopic,
    types::RDKafkaErrorCode,
};

use super::{KafkaOptions, log_error};
use crate::event_log::LogError;

const TIMEOUT: Duration = Duration::from_secs(15);
/// Between two looks whether new topics are served.
const SERVED_PAUSE: Duration = Duration::from_millis(50);

/// What became of one topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Created,
    /// It was there as declared.
    Existing,
    /// It was there with another number of partitions and was left alone: keys would move between partitions.
    Differs {
        found: u32,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    pub name: String,
    pub partitions: u32,
    pub outcome: Outcome,
}

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Declared {
    name: String,
    partitions: u32,
    config: Vec<(&'static str, String)>,
}

/// Every topic of the contracts and its dead letters, for brokers that hold `replicas` copies.
fn declared(names: &Names, replicas: u32) -> Vec<Declared> {
    let config = |retention: Duration, segment: Duration| {
        vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", retention.as_millis().to_string()),
            ("segment.ms", segment.as_millis().to_string()),
            // One broker may be away without stopping writes: two of three, and with fewer than three only one.
            ("min.insync.replicas", replicas.saturating_sub(1).clamp(1, 2).to_string()),
            ("unclean.leader.election.enable", "false".to_owned()),
        ]
    };
    let mut all = Vec::new();
    for topic in Topic::ALL {
        all.push(Declared {
            name: names.topic(topic),
            partitions: topic.partitions(),
            config: config(topic.retention(), topic.segment()),
        });
        if topic.has_dead_letters() {
            all.push(Declared {
                name: names.dead_letters(topic),
                partitions: 1,
                config: config(DEAD_LETTER_RETENTION, DEAD_LETTER_RETENTION / 2),
            });
        }
    }
    all
}

type Admin = AdminClient<DefaultClientContext>;

#[derive(Debug, Clone, Copy)]
struct Partitions {
    total: u32,
    /// Those that can be written to and read from now.
    with_leader: u32,
}

/// What the brokers serve now.
struct Served {
    topics: HashMap<String, Partitions>,
    brokers: u32,
}

async fn served(admin: Arc<Admin>) -> Result<Served, LogError> {
    let looking = tokio::task::spawn_blocking(move || admin.inner().fetch_metadata(None, TIMEOUT));
    let metadata =
        looking.await.map_err(|error| LogError::Unavailable(error.to_string()))?.map_err(|error| log_error(&error))?;
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let partitions = |topic: &MetadataTopic| Partitions {
        total: count(topic.partitions().len()),
        with_leader: count(topic.partitions().iter().filter(|partition| partition.leader() >= 0).count()),
    };
    Ok(Served {
        topics: metadata.topics().iter().map(|topic| (topic.name().to_owned(), partitions(topic))).collect(),
        brokers: u32::try_from(metadata.brokers().len()).unwrap_or(1),
    })
}

/// Waits until the brokers serve what was created: the controller answers before they have heard of it, and whoever
/// starts in between would be told that its topics do not exist.
async fn until_served(admin: &Arc<Admin>, created: &[&Declared]) -> Result<(), LogError> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let now = served(admin.clone()).await?;
        let ready = |found: &Partitions| found.total > 0 && found.with_leader == found.total;
        let waiting = created.iter().find(|topic| !now.topics.get(&topic.name).is_some_and(ready));
        let Some(topic) = waiting else { return Ok(()) };
        if Instant::now() > deadline {
            return Err(LogError::Unavailable(format!("topic {} was created but is not served", topic.name)));
        }
        tokio::time::sleep(SERVED_PAUSE).await;
    }
}

/// Creates what is missing, waits until it can be used, and reports all. May be repeated at any time. `replication` is
/// the number of copies of each partition; without it three, or as many as there are brokers.
pub async fn apply(options: &KafkaOptions, replication: Option<u32>) -> Result<Vec<Applied>, LogError> {
    options.check_names()?;
    let admin: Arc<Admin> = Arc::new(options.admin().create().map_err(|error| log_error(&error))?);
    let Served { topics: found, brokers } = served(admin.clone()).await?;

    let replicas = replication.unwrap_or(brokers.min(3)).max(1);
    let declared = declared(&options.names(), replicas);
    let missing: Vec<&Declared> = declared.iter().filter(|topic| !found.contains_key(&topic.name)).collect();
    let new: Vec<NewTopic<'_>> = missing
        .iter()
        .map(|topic| {
            let replication = TopicReplication::Fixed(i32::try_from(replicas).unwrap_or(i32::MAX));
            let new = NewTopic::new(&topic.name, i32::try_from(topic.partitions).unwrap_or(i32::MAX), replication);
            topic.config.iter().fold(new, |new, (key, value)| new.set(key, value))
        })
        .collect();
    if !missing.is_empty() {
        let results = admin
            .create_topics(&new, &AdminOptions::new().operation_timeout(Some(TIMEOUT)))
            .await
            .map_err(|error| log_error(&error))?;
        for result in results {
            match result {
                // Somebody else created it between the look and the call.
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((name, code)) => return Err(LogError::Refused(format!("creating topic {name}: {code}"))),
            }
        }
        until_served(&admin, &missing).await?;
    }
    Ok(declared
        .into_iter()
        .map(|topic| {
            let outcome = match found.get(&topic.name) {
                None => Outcome::Created,
                Some(partitions) if partitions.total == topic.partitions => Outcome::Existing,
                Some(partitions) => Outcome::Differs { found: partitions.total },
            };
            Applied { name: topic.name, partitions: topic.partitions, outcome }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_copies_need_two_in_sync_and_short_retentions_roll_segments() {
        let topics = declared(&Names::with_prefix("p."), 3);
        let typing = topics.iter().find(|topic| topic.name == "p.typing-events").unwrap();
        assert!(typing.config.contains(&("min.insync.replicas", "2".to_owned())));
        assert!(typing.config.contains(&("segment.ms", "30000".to_owned())));
        assert!(topics.iter().any(|topic| topic.name == "p.message.all.dlq" && topic.partitions == 1));
        assert!(!topics.iter().any(|topic| topic.name == "p.typing-events.dlq"));
        let single = declared(&Names::default(), 1);
        assert!(single[0].config.contains(&("min.insync.replicas", "1".to_owned())));
    }
}
