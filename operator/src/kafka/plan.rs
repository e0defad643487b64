//! What has to be done to get from the topics there are to those declared, and what cannot or may not be done.

use std::{collections::BTreeMap, fmt};

use chatcluster_kafka_admin::{Config, Error, Topic};

use super::declare::{DeclaredTopic, MIN_IN_SYNC, min_in_sync};

/// One topic as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Observed {
    Absent,
    Present { topic: Topic, config: Config },
    Unreadable(Error),
}

/// A change to one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Create(DeclaredTopic),
    /// To so many partitions.
    Grow {
        role: String,
        name: String,
        from: u32,
        to: u32,
    },
    /// Settings that differ, and only those.
    SetConfig {
        role: String,
        name: String,
        config: BTreeMap<String, String>,
    },
}

impl Action {
    pub fn topic(&self) -> &str {
        match self {
            Self::Create(topic) => &topic.name,
            Self::Grow { name, .. } | Self::SetConfig { name, .. } => name,
        }
    }

    /// One word for an Event.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Create(_) => "TopicCreated",
            Self::Grow { .. } => "TopicGrown",
            Self::SetConfig { .. } => "TopicSettingsReverted",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(topic) => write!(
                f,
                "topic {} ({}): created with {} partitions, {} copies of each",
                topic.name, topic.role, topic.partitions, topic.replication
            ),
            Self::Grow { role, name, from, to } => write!(f, "topic {name} ({role}): from {from} to {to} partitions"),
            Self::SetConfig { role, name, config } => {
                let settings: Vec<String> = config.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "topic {name} ({role}): set back to {}", settings.join(", "))
            }
        }
    }
}

/// Something about a topic that somebody should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub role: String,
    pub topic: String,
    pub problem: Problem,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The topic has more partitions than declared, and Kafka cannot take any away.
    WouldShrink { declared: u32, found: u32 },
    /// The topic has fewer partitions than declared, and growing is not switched on.
    GrowthNotAllowed { declared: u32, found: u32 },
    /// The topic has another number of copies than declared.
    ReplicationDiffers { declared: u32, found: u32 },
    /// The topic under this name is another one than before: its records are gone.
    Recreated { previous: String, id: String },
    /// Kafka did not let us read or change the topic.
    Refused(Error),
}

impl Finding {
    pub(super) fn new(topic: &DeclaredTopic, problem: Problem) -> Self {
        Self { role: topic.role.clone(), topic: topic.name.clone(), problem }
    }

    /// One word for a condition or an Event.
    pub fn reason(&self) -> &'static str {
        match self.problem {
            Problem::WouldShrink { .. } => "TopicWouldShrink",
            Problem::GrowthNotAllowed { .. } => "TopicGrowthNotAllowed",
            Problem::ReplicationDiffers { .. } => "TopicReplicationDiffers",
            Problem::Recreated { .. } => "TopicRecreated",
            Problem::Refused(_) => "TopicRefused",
        }
    }

    /// Are the topics not as declared because of this? The rest is worth a warning.
    pub fn blocks(&self) -> bool {
        match self.problem {
            Problem::WouldShrink { .. } | Problem::GrowthNotAllowed { .. } | Problem::Refused(_) => true,
            Problem::ReplicationDiffers { .. } | Problem::Recreated { .. } => false,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, topic, problem } = self;
        write!(f, "topic {topic} ({role}): ")?;
        match problem {
            Problem::WouldShrink { declared, found } => write!(
                f,
                "has {found} partitions, {declared} are declared, and Kafka cannot take partitions away; declare \
                 {found}, or move to a topic of another name"
            ),
            Problem::GrowthNotAllowed { declared, found } => write!(
                f,
                "has {found} partitions, {declared} are declared; set kafka.allowPartitionGrowth to add them: keys \
                 move between partitions, so other consumers may see records of one key out of order once"
            ),
            Problem::ReplicationDiffers { declared, found } => write!(
                f,
                "has {found} copies of a partition, {declared} are declared; the operator moves no replicas, use \
                 kafka-reassign-partitions"
            ),
            Problem::Recreated { previous, id } => write!(
                f,
                "was deleted and created again (id {id}, before {previous}): records that were not consumed are lost; \
                 find out who deletes topics"
            ),
            Problem::Refused(error @ Error::Refused { .. }) => write!(f, "{error}"),
            Problem::Refused(error) => write!(f, "cannot be brought about: {error}"),
        }
    }
}

/// What to do, topic by topic in the order declared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) actions: Vec<Action>,
    pub(super) findings: Vec<Finding>,
}

/// `observed` in the order of `declared`.
pub(super) fn plan(declared: &[DeclaredTopic], observed: &[Observed], allow_growth: bool) -> Plan {
    let mut plan = Plan::default();
    for (topic, found) in declared.iter().zip(observed) {
        match found {
            Observed::Absent => plan.actions.push(Action::Create(topic.clone())),
            Observed::Unreadable(error) => {
                plan.findings.push(Finding::new(topic, Problem::Refused(error.clone())));
            }
            Observed::Present { topic: found, config } => plan.compare(topic, found, config, allow_growth),
        }
    }
    plan
}

impl Plan {
    fn compare(&mut self, topic: &DeclaredTopic, found: &Topic, config: &Config, allow_growth: bool) {
        let counts = (topic.partitions, found.partitions);
        match counts {
            (declared, found) if declared > found && allow_growth => self.actions.push(Action::Grow {
                role: topic.role.clone(),
                name: topic.name.clone(),
                from: found,
                to: declared,
            }),
            (declared, found) if declared > found => {
                self.findings.push(Finding::new(topic, Problem::GrowthNotAllowed { declared, found }));
            }
            (declared, found) if declared < found => {
                self.findings.push(Finding::new(topic, Problem::WouldShrink { declared, found }));
            }
            _ => {}
        }
        if found.replication != topic.replication {
            let problem = Problem::ReplicationDiffers { declared: topic.replication, found: found.replication };
            self.findings.push(Finding::new(topic, problem));
        }
        let differing = differing(topic, found, config);
        if !differing.is_empty() {
            let (role, name) = (topic.role.clone(), topic.name.clone());
            self.actions.push(Action::SetConfig { role, name, config: differing });
        }
    }
}

/// Our settings that have another effect than declared. A broker's default that happens to be what we want is as good as
/// a setting on the topic.
fn differing(topic: &DeclaredTopic, found: &Topic, config: &Config) -> BTreeMap<String, String> {
    let mut wanted = topic.config.clone();
    if found.replication != topic.replication && wanted.contains_key(MIN_IN_SYNC) {
        // More in sync than there are copies would stop every write.
        wanted.insert(MIN_IN_SYNC.to_owned(), min_in_sync(found.replication));
    }
    wanted.retain(|key, value| config.get(key).and_then(|setting| setting.value.as_ref()) != Some(value));
    wanted
}

/// The topics whose id is not the one recorded. `ids`: of each declared topic, as far as it exists.
pub(super) fn recreated(
    declared: &[DeclaredTopic],
    ids: &BTreeMap<&str, &str>,
    recorded: &BTreeMap<String, String>,
) -> Vec<Finding> {
    let another = |topic: &DeclaredTopic| {
        let (previous, id) = (recorded.get(&topic.name)?, *ids.get(topic.name.as_str())?);
        let problem = Problem::Recreated { previous: previous.clone(), id: id.to_owned() };
        (previous != id).then(|| Finding::new(topic, problem))
    };
    declared.iter().filter_map(another).collect()
}

#[cfg(test)]
mod tests {
    use chatcluster_kafka_admin::{ConfigValue, Refusal};

    use super::*;

    fn declared(partitions: u32, replication: u32) -> DeclaredTopic {
        let config = [("retention.ms", "60000".to_owned()), (MIN_IN_SYNC, min_in_sync(replication))];
        DeclaredTopic {
            role: "messages".to_owned(),
            name: "message.all".to_owned(),
            partitions,
            replication,
            config: config.map(|(key, value)| (key.to_owned(), value)).into(),
        }
    }

    fn found(partitions: u32, replication: u32, config: &[(&str, &str)]) -> Observed {
        let value = |(key, value): &(&str, &str)| {
            ((*key).to_owned(), ConfigValue { value: Some((*value).to_owned()), own: true })
        };
        let topic = Topic {
            name: "message.all".to_owned(),
            id: "id-1".to_owned(),
            partitions,
            replication,
            with_leader: partitions,
        };
        Observed::Present { topic, config: config.iter().map(value).collect() }
    }

    const AS_DECLARED: [(&str, &str); 2] = [("retention.ms", "60000"), (MIN_IN_SYNC, "2")];

    fn problem(plan: Plan) -> Problem {
        assert_eq!((plan.actions.len(), plan.findings.len()), (0, 1), "{plan:?}");
        plan.findings.into_iter().next().unwrap().problem
    }

    #[test]
    fn a_missing_topic_is_created_and_one_as_declared_left_alone() {
        let topic = declared(3, 3);
        let created = plan(std::slice::from_ref(&topic), &[Observed::Absent], false);
        assert_eq!(created, Plan { actions: vec![Action::Create(topic.clone())], findings: Vec::new() });
        let same = plan(&[topic], &[found(3, 3, &[&AS_DECLARED[..], &[("flush.ms", "7")]].concat())], false);
        assert_eq!(same, Plan::default());
    }

    #[test]
    fn only_our_settings_that_differ_are_set_back() {
        let found = found(3, 3, &[("retention.ms", "1"), (MIN_IN_SYNC, "2"), ("flush.ms", "7")]);
        let plan = plan(&[declared(3, 3)], &[found], false);
        let [Action::SetConfig { config, .. }] = &plan.actions[..] else { panic!("{plan:?}") };
        assert_eq!(config, &BTreeMap::from([("retention.ms".to_owned(), "60000".to_owned())]));
        assert!(plan.findings.is_empty());
    }

    #[test]
    fn partitions_are_added_only_when_that_is_allowed() {
        let few = || [found(3, 3, &AS_DECLARED)];
        let refused = problem(plan(&[declared(6, 3)], &few(), false));
        assert_eq!(refused, Problem::GrowthNotAllowed { declared: 6, found: 3 });
        let allowed = plan(&[declared(6, 3)], &few(), true);
        assert!(matches!(&allowed.actions[..], [Action::Grow { from: 3, to: 6, .. }]), "{allowed:?}");
    }

    #[test]
    fn partitions_are_never_taken_away() {
        for allow_growth in [false, true] {
            let plan = plan(&[declared(3, 3)], &[found(6, 3, &AS_DECLARED)], allow_growth);
            assert_eq!(problem(plan), Problem::WouldShrink { declared: 3, found: 6 });
        }
    }

    #[test]
    fn with_fewer_copies_than_declared_writes_are_not_stopped() {
        let single = found(3, 1, &[("retention.ms", "60000"), (MIN_IN_SYNC, "1")]);
        let differs = problem(plan(&[declared(3, 3)], &[single], false));
        assert_eq!(differs, Problem::ReplicationDiffers { declared: 3, found: 1 });
        let plan = plan(&[declared(3, 3)], &[found(3, 1, &AS_DECLARED)], false);
        let [Action::SetConfig { config, .. }] = &plan.actions[..] else { panic!("{plan:?}") };
        assert_eq!(config[MIN_IN_SYNC], "1");
    }

    #[test]
    fn a_topic_that_cannot_be_read_is_reported_and_not_touched() {
        let error = Error::Refused { reason: Refusal::Authorization, message: "no".to_owned() };
        let plan = plan(&[declared(3, 3)], &[Observed::Unreadable(error.clone())], true);
        assert_eq!(problem(plan), Problem::Refused(error));
    }

    #[test]
    fn another_id_than_recorded_is_another_topic() {
        let topics = [declared(3, 3)];
        let ids = BTreeMap::from([("message.all", "id-2")]);
        let recorded = |id: &str| BTreeMap::from([("message.all".to_owned(), id.to_owned())]);
        let found = recreated(&topics, &ids, &recorded("id-1"));
        let expected = Problem::Recreated { previous: "id-1".to_owned(), id: "id-2".to_owned() };
        assert_eq!(found, [Finding::new(&topics[0], expected)]);
        assert!(recreated(&topics, &ids, &recorded("id-2")).is_empty());
        assert!(recreated(&topics, &ids, &BTreeMap::new()).is_empty(), "seen for the first time");
        assert!(recreated(&topics, &BTreeMap::new(), &recorded("id-1")).is_empty(), "not there yet");
    }

    #[test]
    fn every_finding_names_the_topic_and_says_what_to_do() {
        let problems = [
            (Problem::WouldShrink { declared: 3, found: 6 }, "declare 6", true),
            (Problem::GrowthNotAllowed { declared: 6, found: 3 }, "allowPartitionGrowth", true),
            (Problem::ReplicationDiffers { declared: 3, found: 1 }, "kafka-reassign-partitions", false),
            (Problem::Recreated { previous: "a".to_owned(), id: "b".to_owned() }, "find out", false),
            (Problem::Refused(Error::Unavailable("x".to_owned())), "x", true),
        ];
        for (problem, advice, blocks) in problems {
            let finding = Finding::new(&declared(3, 3), problem);
            let text = finding.to_string();
            assert!(text.starts_with("topic message.all (messages): ") && text.contains(advice), "{text}");
            assert_eq!(finding.blocks(), blocks, "{text}");
            assert!(finding.reason().starts_with("Topic"));
        }
    }
}
