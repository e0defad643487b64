//! Looks at the topics, does what the plan says, and looks again. Every step may be repeated: a pass that was cut off is
//! finished by the next one.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chatcluster_kafka_admin::{Admin, ConfigChange, Error, NewTopic, Topic};

use super::{
    declare::DeclaredTopic,
    plan::{Action, Finding, Observed, Plan, Problem, plan, recreated},
};

/// How long a new topic or partition may take until all brokers serve it, and the pause between two looks.
const SERVED_WITHIN: Duration = Duration::from_secs(15);
const SERVED_PAUSE: Duration = Duration::from_millis(50);

/// What the operator was told, and what it found before.
#[derive(Debug, Clone, Default)]
pub struct ProvisionOptions {
    /// May partitions be added to topics that exist?
    pub allow_growth: bool,
    /// Topic name -> the id it had when it was last looked at.
    pub recorded_ids: BTreeMap<String, String>,
}

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProvisionedTopic {
    pub role: String,
    pub name: String,
    pub id: String,
    pub partitions: u32,
}

/// How the declared topics stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provisioned {
    /// Those that exist, in the order declared.
    pub topics: Vec<ProvisionedTopic>,
    /// What was done; after [`observe`], what would be.
    pub actions: Vec<Action>,
    pub findings: Vec<Finding>,
    /// Do the brokers create a topic when somebody misspells one? `None`: we may not look.
    pub auto_create: Option<bool>,
}

/// Brings the declared topics about. Kafka being away is an error; what it refuses is a finding, and the other topics are
/// seen to all the same.
pub async fn provision(
    admin: &Admin,
    declared: &[DeclaredTopic],
    options: &ProvisionOptions,
) -> Result<Provisioned, Error> {
    let (observed, auto_create) = look(admin, declared).await?;
    let Plan { actions, mut findings } = plan(declared, &observed, options.allow_growth);
    if actions.is_empty() {
        return Ok(report(declared, &present(&observed), actions, findings, auto_create, options));
    }
    let Acted { done, raced } = act(admin, declared, actions, &mut findings).await?;
    let topics = if done.iter().chain(&raced).all(|action| matches!(action, Action::SetConfig { .. })) {
        present(&observed)
    } else {
        until_served(admin, declared, done.iter().chain(&raced)).await?
    };
    if let Some(action) = raced.first() {
        // It may have other partitions and settings than those declared: the next look compares them.
        let name = action.topic();
        return Err(Error::Unavailable(format!("topic {name} was created by somebody else just now")));
    }
    Ok(report(declared, &topics, done, findings, auto_create, options))
}

/// As [`provision`], but changes nothing.
pub async fn observe(
    admin: &Admin,
    declared: &[DeclaredTopic],
    options: &ProvisionOptions,
) -> Result<Provisioned, Error> {
    let (observed, auto_create) = look(admin, declared).await?;
    let Plan { actions, findings } = plan(declared, &observed, options.allow_growth);
    Ok(report(declared, &present(&observed), actions, findings, auto_create, options))
}

async fn look(admin: &Admin, declared: &[DeclaredTopic]) -> Result<(Vec<Observed>, Option<bool>), Error> {
    let names = names(declared);
    let (topics, configs, auto_create) =
        tokio::try_join!(admin.describe_topics(&names), admin.topic_configs(&names), auto_create(admin))?;
    let observed = topics.into_iter().zip(configs).map(|pair| match pair {
        (Ok(None), _) => Ok(Observed::Absent),
        // Created or deleted between the two requests: the next pass sees which.
        (Ok(Some(_)), Err(Error::NotFound(said))) => Err(Error::Unavailable(said)),
        (Ok(Some(topic)), Ok(config)) => Ok(Observed::Present { topic, config }),
        (Err(error @ Error::Unavailable(_)), _) | (_, Err(error @ Error::Unavailable(_))) => Err(error),
        (Err(error), _) | (_, Err(error)) => Ok(Observed::Unreadable(error)),
    });
    Ok((observed.collect::<Result<_, _>>()?, auto_create))
}

async fn auto_create(admin: &Admin) -> Result<Option<bool>, Error> {
    match admin.broker_config().await {
        Ok(config) => {
            let setting = config.get("auto.create.topics.enable").and_then(|setting| setting.value.as_deref());
            Ok(setting.map(|value| value == "true"))
        }
        Err(error @ Error::Unavailable(_)) => Err(error),
        Err(_) => Ok(None),
    }
}

struct Acted {
    done: Vec<Action>,
    /// Topics that were there after all: created since we looked, or before it and not known to every broker then.
    raced: Vec<Action>,
}

/// A refusal becomes a finding.
async fn act(
    admin: &Admin,
    declared: &[DeclaredTopic],
    actions: Vec<Action>,
    findings: &mut Vec<Finding>,
) -> Result<Acted, Error> {
    let (new, changed) = (new_topics(&actions), changes(&actions));
    let mut created = admin.create_topics(&new).await?.into_iter();
    let mut altered = admin.alter_configs_incrementally(&changed).await?.into_iter();
    let (mut done, mut raced) = (Vec::new(), Vec::new());
    for action in actions {
        let outcome = match &action {
            Action::Create(_) => created.next().unwrap_or(Ok(())),
            Action::SetConfig { .. } => altered.next().unwrap_or(Ok(())),
            Action::Grow { name, to, .. } => admin.grow(name, *to).await,
        };
        match outcome {
            Ok(()) => done.push(action),
            Err(Error::AlreadyExists(_)) => raced.push(action),
            Err(error @ Error::Unavailable(_)) => return Err(error),
            Err(error) => {
                let topic = declared.iter().find(|topic| topic.name == action.topic());
                findings.extend(topic.map(|topic| Finding::new(topic, Problem::Refused(error))));
            }
        }
    }
    Ok(Acted { done, raced })
}

fn new_topics(actions: &[Action]) -> Vec<NewTopic> {
    let new = |action: &Action| match action {
        Action::Create(topic) => Some(NewTopic {
            name: topic.name.clone(),
            partitions: topic.partitions,
            replication: topic.replication,
            config: topic.config.clone().into_iter().collect(),
        }),
        _ => None,
    };
    actions.iter().filter_map(new).collect()
}

fn changes(actions: &[Action]) -> Vec<ConfigChange> {
    let change = |action: &Action| match action {
        Action::SetConfig { name, config, .. } => {
            let nothing = ConfigChange::new(name);
            Some(config.iter().fold(nothing, |change, (key, value)| change.set(key, value)))
        }
        _ => None,
    };
    actions.iter().filter_map(change).collect()
}

/// The controller answers before every broker has heard of what is new; whoever starts in between would be told that its
/// topics do not exist.
async fn until_served(
    admin: &Admin,
    declared: &[DeclaredTopic],
    done: impl Iterator<Item = &Action>,
) -> Result<BTreeMap<String, Topic>, Error> {
    let names = names(declared);
    let wanted: BTreeMap<&str, u32> = done
        .filter_map(|action| match action {
            Action::Create(topic) => Some((topic.name.as_str(), topic.partitions)),
            Action::Grow { name, to, .. } => Some((name.as_str(), *to)),
            Action::SetConfig { .. } => None,
        })
        .collect();
    let deadline = Instant::now() + SERVED_WITHIN;
    loop {
        let found = admin.describe_topics(&names).await?;
        let topics: BTreeMap<String, Topic> = found
            .into_iter()
            .filter_map(|topic| topic.ok().flatten())
            .map(|topic| (topic.name.clone(), topic))
            .collect();
        let served = |name: &str, partitions: u32| {
            topics.get(name).is_some_and(|topic| topic.with_leader >= partitions.max(topic.partitions))
        };
        let Some((name, _)) = wanted.iter().find(|(name, partitions)| !served(name, **partitions)) else {
            return Ok(topics);
        };
        if Instant::now() > deadline {
            return Err(Error::Unavailable(format!("topic {name} was changed but is not served yet")));
        }
        tokio::time::sleep(SERVED_PAUSE).await;
    }
}

fn names(declared: &[DeclaredTopic]) -> Vec<String> {
    declared.iter().map(|topic| topic.name.clone()).collect()
}

fn present(observed: &[Observed]) -> BTreeMap<String, Topic> {
    let present = |observed: &Observed| match observed {
        Observed::Present { topic, .. } => Some((topic.name.clone(), topic.clone())),
        Observed::Absent | Observed::Unreadable(_) => None,
    };
    observed.iter().filter_map(present).collect()
}

fn report(
    declared: &[DeclaredTopic],
    topics: &BTreeMap<String, Topic>,
    actions: Vec<Action>,
    mut findings: Vec<Finding>,
    auto_create: Option<bool>,
    options: &ProvisionOptions,
) -> Provisioned {
    let ids = topics.iter().map(|(name, topic)| (name.as_str(), topic.id.as_str())).collect();
    findings.extend(recreated(declared, &ids, &options.recorded_ids));
    let existing = |declared: &DeclaredTopic| {
        let topic = topics.get(&declared.name)?;
        Some(ProvisionedTopic {
            role: declared.role.clone(),
            name: topic.name.clone(),
            id: topic.id.clone(),
            partitions: topic.partitions,
        })
    };
    Provisioned { topics: declared.iter().filter_map(existing).collect(), actions, findings, auto_create }
}

/// A topic or group that could not be removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftover {
    pub name: String,
    pub error: Error,
}

/// Removes the named topics with their records, and the named consumer groups. What is not there is as good as removed.
/// Answers with what Kafka refused to remove.
pub async fn remove(admin: &Admin, topics: &[String], groups: &[String]) -> Result<Vec<Leftover>, Error> {
    let mut left = Vec::new();
    for (names, outcomes) in
        [(topics, admin.delete_topics(topics).await?), (groups, admin.delete_groups(groups).await?)]
    {
        for (name, outcome) in names.iter().zip(outcomes) {
            match outcome {
                Ok(()) | Err(Error::NotFound(_)) => {}
                Err(error @ Error::Unavailable(_)) => return Err(error),
                Err(error) => left.push(Leftover { name: name.clone(), error }),
            }
        }
    }
    Ok(left)
}
