//! The topics as they should be.

use std::{collections::BTreeMap, time::Duration};

use chatcluster_contracts::topics::{DEAD_LETTER_RETENTION, DEAD_LETTER_SUFFIX, Names, Topic};

/// What may be chosen of one topic; `None`: the default of the contracts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TopicSettings {
    pub partitions: Option<u32>,
    pub retention: Option<Duration>,
}

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredTopic {
    /// What it is for: the role in the contracts, with `.dlq` for its dead letters.
    pub role: String,
    pub name: String,
    pub partitions: u32,
    /// Copies of each partition.
    pub replication: u32,
    /// The settings that are ours. Others on the same topic belong to whoever set them.
    pub config: BTreeMap<String, String>,
}

pub(super) const MIN_IN_SYNC: &str = "min.insync.replicas";

/// One broker may be away without stopping writes: two of three, and with fewer than three only one.
pub(super) fn min_in_sync(replication: u32) -> String {
    replication.saturating_sub(1).clamp(1, 2).to_string()
}

/// Every topic of the contracts and its dead letters, in the contracts' order.
pub fn declare(names: &Names, replication: u32, settings: &BTreeMap<Topic, TopicSettings>) -> Vec<DeclaredTopic> {
    let mut all = Vec::new();
    for topic in Topic::ALL {
        let chosen = settings.get(&topic).copied().unwrap_or_default();
        let retention = chosen.retention.unwrap_or(topic.retention());
        all.push(DeclaredTopic {
            role: topic.role_name().to_owned(),
            name: names.topic(topic),
            partitions: chosen.partitions.unwrap_or(topic.partitions()),
            replication,
            config: config(retention, segment(retention), replication),
        });
        if topic.has_dead_letters() {
            all.push(DeclaredTopic {
                role: format!("{}{DEAD_LETTER_SUFFIX}", topic.role_name()),
                name: names.dead_letters(topic),
                partitions: 1,
                replication,
                config: config(DEAD_LETTER_RETENTION, DEAD_LETTER_RETENTION / 2, replication),
            });
        }
    }
    all
}

fn config(retention: Duration, segment: Duration, replication: u32) -> BTreeMap<String, String> {
    [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", retention.as_millis().to_string()),
        ("segment.ms", segment.as_millis().to_string()),
        (MIN_IN_SYNC, min_in_sync(replication)),
        ("unclean.leader.election.enable", "false".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// A segment is deleted as a whole and never while it is written: it must roll at least as often as records expire.
fn segment(retention: Duration) -> Duration {
    const MINUTE: Duration = Duration::from_mins(1);
    const WEEK: Duration = Duration::from_hours(7 * 24);
    retention.clamp(MINUTE, WEEK) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find<'a>(all: &'a [DeclaredTopic], role: &str) -> &'a DeclaredTopic {
        all.iter().find(|topic| topic.role == role).unwrap()
    }

    #[test]
    fn the_defaults_are_those_of_the_contracts() {
        let all = declare(&Names::with_prefix("blue."), 3, &BTreeMap::new());
        for topic in Topic::ALL {
            let declared = find(&all, topic.role_name());
            assert_eq!(declared.name, format!("blue.{}", topic.default_name()));
            assert_eq!((declared.partitions, declared.replication), (topic.partitions(), 3));
            assert_eq!(declared.config["retention.ms"], topic.retention().as_millis().to_string());
            assert_eq!(declared.config["segment.ms"], topic.segment().as_millis().to_string());
        }
        let messages = find(&all, "messages");
        assert_eq!(messages.config["min.insync.replicas"], "2");
        assert_eq!(messages.config["unclean.leader.election.enable"], "false");
        assert_eq!(messages.config["cleanup.policy"], "delete");
        let dead = find(&all, "messages.dlq");
        assert_eq!((dead.name.as_str(), dead.partitions), ("blue.message.all.dlq", 1));
        assert!(!all.iter().any(|topic| topic.role == "typing.dlq"), "ephemera have no dead letters");
    }

    #[test]
    fn what_was_chosen_wins_and_the_segments_follow_the_retention() {
        let minutes = |minutes| Some(Duration::from_mins(minutes));
        let settings = BTreeMap::from([
            (Topic::Messages, TopicSettings { partitions: Some(48), retention: minutes(10) }),
            (Topic::Status, TopicSettings { partitions: None, retention: Some(Duration::from_secs(1)) }),
            (Topic::Users, TopicSettings { partitions: None, retention: minutes(60 * 24 * 90) }),
        ]);
        let all = declare(&Names::default(), 1, &settings);
        let messages = find(&all, "messages");
        assert_eq!(messages.partitions, 48);
        assert_eq!(messages.config["retention.ms"], "600000");
        assert_eq!(messages.config["segment.ms"], "300000");
        assert_eq!(messages.config["min.insync.replicas"], "1");
        assert_eq!(find(&all, "status").config["segment.ms"], "30000", "never more often than that");
        assert_eq!(find(&all, "users").config["segment.ms"], (7 * 86_400_000 / 2).to_string());
        assert_eq!(find(&all, "messages.dlq").partitions, 1);
    }

    #[test]
    fn one_copy_may_be_away() {
        let all = [(1, "1"), (2, "1"), (3, "2"), (5, "2")];
        assert!(all.into_iter().all(|(replication, expected)| min_in_sync(replication) == expected));
    }
}
