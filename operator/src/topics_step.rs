//! One step of a pass: the topics on Kafka.

use std::collections::BTreeSet;

use crate::{
    claims::Claimant,
    controller::Shared,
    crd::{ChatClusterStatus, TopicStatus},
    events::News,
    kafka::{self, Error, ProvisionOptions, Provisioned},
    status::{About, Finding},
    validate::ValidatedCluster,
};

/// What the step found.
#[derive(Debug, Clone)]
pub(crate) struct TopicsFound {
    pub(crate) finding: Finding,
    /// `None`: Kafka was not reached.
    pub(crate) topics: Option<Vec<TopicStatus>>,
    pub(crate) news: Vec<News>,
    /// Kafka could not be reached or refused: look again before the usual time.
    pub(crate) failed: bool,
    pub(crate) changed: bool,
}

const ABOUT: About = About::KafkaTopicsReady;

pub(crate) async fn run(
    shared: &Shared,
    cluster: &ValidatedCluster,
    me: &Claimant,
    previous: Option<&ChatClusterStatus>,
) -> TopicsFound {
    let Some(connection) = &cluster.kafka.connection else {
        return nothing(Finding::no(ABOUT, "SecretMissing", missing(cluster)));
    };
    let mut wanted = cluster.kafka.topics.clone();
    let names: BTreeSet<String> = wanted.iter().map(|topic| topic.name.clone()).collect();
    let taken = shared.topics.claim(&cluster.kafka.servers(), &names, me);
    wanted.retain(|topic| !taken.iter().any(|(name, _)| *name == topic.name));
    let recorded = previous.iter().flat_map(|status| &status.topics);
    let options = ProvisionOptions {
        allow_growth: cluster.kafka.allow_partition_growth,
        recorded_ids: recorded.filter_map(|topic| Some((topic.name.clone(), topic.id.clone()?))).collect(),
    };
    let outcome = async {
        let admin = shared.kafka.get(&connection.options(shared.call_timeout))?;
        if cluster.paused {
            kafka::observe(&admin, &wanted, &options).await
        } else {
            kafka::provision(&admin, &wanted, &options).await
        }
    };
    match outcome.await {
        Ok(found) => told(&found, &taken, cluster.paused),
        Err(error) => {
            shared.metrics.error("kafka");
            let reason = if matches!(error, Error::Unavailable(_)) { "KafkaUnavailable" } else { "KafkaRefused" };
            // librdkafka's counts and times differ from one attempt to the next
            let error = error.to_string();
            let error = error.split(" (after ").next().unwrap_or_default();
            let hint = format!(
                "{error}; is {} right, and may the operator's user do this?",
                cluster.kafka.bootstrap_servers()
            );
            nothing(Finding::no(ABOUT, reason, hint))
        }
    }
}

fn missing(cluster: &ValidatedCluster) -> String {
    let all: Vec<String> = cluster.missing_secrets.iter().map(|(_, missing)| missing.to_string()).collect();
    all.join("; ")
}

fn nothing(finding: Finding) -> TopicsFound {
    TopicsFound { finding, topics: None, news: Vec::new(), failed: true, changed: false }
}

fn told(found: &Provisioned, taken: &[(String, String)], paused: bool) -> TopicsFound {
    let mut news = Vec::new();
    if !paused {
        news.extend(found.actions.iter().map(|action| News::normal(action.reason(), action.to_string())));
    }
    if found.auto_create == Some(true) {
        let note = "the brokers create topics by themselves (auto.create.topics.enable): a topic misspelt anywhere is made \
                    with the wrong settings; turn it off";
        news.push(News::warning("AutoCreateEnabled", note));
    }
    let (blocking, warnings): (Vec<_>, Vec<_>) = found.findings.iter().partition(|finding| finding.blocks());
    news.extend(warnings.iter().map(|finding| News::warning(finding.reason(), finding.to_string())));
    let finding = if let Some((topic, holder)) = taken.first() {
        let all: Vec<String> = taken.iter().map(|(topic, holder)| format!("{topic} (of {holder})")).collect();
        let message = format!(
            "topics belong to another ChatCluster: {}; give this one a kafka.prefix, or {topic} another name than in {holder}",
            all.join(", ")
        );
        Finding::no(ABOUT, "TopicConflict", message)
    } else if let Some(first) = blocking.first() {
        let all: Vec<String> = blocking.iter().map(ToString::to_string).collect();
        Finding::no(ABOUT, first.reason(), all.join("; "))
    } else if paused && !found.actions.is_empty() {
        let all: Vec<String> = found.actions.iter().map(ToString::to_string).collect();
        Finding::no(ABOUT, "NotApplied", format!("paused, and left undone: {}", all.join("; ")))
    } else {
        Finding::yes(ABOUT, "Provisioned", format!("{} topics are as declared", found.topics.len()))
    };
    let topics = found.topics.iter().map(|topic| TopicStatus {
        role: topic.role.clone(),
        name: topic.name.clone(),
        id: Some(topic.id.clone()),
        partitions: topic.partitions,
    });
    TopicsFound {
        finding,
        topics: Some(topics.collect()),
        news,
        failed: false,
        changed: !paused && !found.actions.is_empty(),
    }
}
