//! What was found becomes conditions. Pure; `reconcile` writes the result, once, and only when it differs.

use jiff::Timestamp;

use crate::{
    crd::{ChatClusterStatus, Condition, ConditionStatus, GatewayStatus, TopicStatus},
    rollout::Stage,
};

/// What a condition is about, in the order in which they are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum About {
    Ready,
    KafkaTopicsReady,
    RedisReady,
    DatabaseReady,
    CoreAvailable,
    WorkerAvailable,
    GatewayAvailable,
    /// Everything runs the version that the spec names.
    Upgraded,
    Paused,
}

impl About {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::KafkaTopicsReady => "KafkaTopicsReady",
            Self::RedisReady => "RedisReady",
            Self::DatabaseReady => "DatabaseReady",
            Self::CoreAvailable => "CoreAvailable",
            Self::WorkerAvailable => "WorkerAvailable",
            Self::GatewayAvailable => "GatewayAvailable",
            Self::Upgraded => "Upgraded",
            Self::Paused => "Paused",
        }
    }

    /// Must this be true for the whole to be ready?
    const fn counts(self) -> bool {
        !matches!(self, Self::Ready | Self::Upgraded | Self::Paused)
    }
}

/// What was found about one thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) about: About,
    pub(crate) status: ConditionStatus,
    /// One CamelCase word.
    pub(crate) reason: &'static str,
    /// Why, and what to do.
    pub(crate) message: String,
}

impl Finding {
    pub(crate) fn yes(about: About, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about, status: ConditionStatus::True, reason, message: message.into() }
    }

    pub(crate) fn no(about: About, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about, status: ConditionStatus::False, reason, message: message.into() }
    }

    pub(crate) fn unknown(about: About, reason: &'static str, message: impl Into<String>) -> Self {
        Self { about, status: ConditionStatus::Unknown, reason, message: message.into() }
    }
}

/// Everything that one pass found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    pub(crate) findings: Vec<Finding>,
    /// What is wrong besides: a refused spec, an object that could not be applied. Not empty: not ready.
    pub(crate) obstacles: Vec<(&'static str, String)>,
    pub(crate) gateway: Option<GatewayStatus>,
    /// `None`: Kafka was not asked; what is known stays.
    pub(crate) topics: Option<Vec<TopicStatus>>,
    /// The version that everything runs. `None`: on the way; what is known stays.
    pub(crate) version: Option<String>,
    pub(crate) cleanup_attempts: Option<u32>,
}

/// How the way to the wanted version stands, as a finding.
/// `complaint`: of the part that it is at.
pub(crate) fn upgraded(stage: Stage, wanted: &str, complaint: Option<&str>) -> Finding {
    let (reason, what) = match stage {
        Stage::Done => return Finding::yes(About::Upgraded, "UpToDate", format!("everything runs {wanted}")),
        Stage::Migrating => ("Migrating", "the database is brought"),
        Stage::UpdatingCore => ("UpdatingCore", "core is brought"),
        Stage::UpdatingWorker => ("UpdatingWorker", "the workers are brought"),
        Stage::UpdatingGateway => ("UpdatingGateway", "the gateways are brought"),
    };
    if let Some(complaint) = complaint {
        let message = format!("{what} to {wanted}, and does not get on: {complaint}");
        return Finding::no(About::Upgraded, "RolloutStuck", message);
    }
    Finding::no(About::Upgraded, reason, format!("{what} to {wanted}"))
}

/// The status to be, given the one there is.
pub(crate) fn status(
    previous: Option<&ChatClusterStatus>,
    generation: Option<i64>,
    report: &Report,
    now: Timestamp,
) -> ChatClusterStatus {
    let mut findings = report.findings.clone();
    findings.push(ready(report));
    findings.sort_by_key(|finding| finding.about);
    let before = |about: About| {
        previous.and_then(|status| status.conditions.iter().find(|condition| condition.kind == about.as_str()))
    };
    let conditions = findings.into_iter().map(|finding| {
        let since = before(finding.about).filter(|condition| condition.status == finding.status).map_or_else(
            || now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            |condition| condition.last_transition_time.clone(),
        );
        Condition {
            kind: finding.about.as_str().to_owned(),
            status: finding.status,
            reason: finding.reason.to_owned(),
            message: shortened(finding.message),
            last_transition_time: since,
            observed_generation: generation,
        }
    });
    ChatClusterStatus {
        observed_generation: generation,
        version: report.version.clone().or_else(|| previous.and_then(|status| status.version.clone())),
        gateway: report.gateway.clone().or_else(|| previous.and_then(|status| status.gateway.clone())),
        topics: report
            .topics
            .clone()
            .unwrap_or_else(|| previous.map(|status| status.topics.clone()).unwrap_or_default()),
        cleanup_attempts: report.cleanup_attempts,
        conditions: conditions.collect(),
    }
}

fn ready(report: &Report) -> Finding {
    if let Some((reason, message)) = report.obstacles.first() {
        return Finding::no(About::Ready, reason, message.clone());
    }
    let counted = || report.findings.iter().filter(|finding| finding.about.counts());
    let bad = |status: ConditionStatus| counted().filter(move |finding| finding.status == status);
    if let Some(first) = bad(ConditionStatus::False).next() {
        let all: Vec<&str> = bad(ConditionStatus::False).map(|finding| finding.about.as_str()).collect();
        return Finding::no(About::Ready, first.reason, format!("{}: {}", all.join(", "), first.message));
    }
    if let Some(first) = bad(ConditionStatus::Unknown).next() {
        return Finding::unknown(About::Ready, first.reason, format!("{}: {}", first.about.as_str(), first.message));
    }
    if counted().next().is_none() {
        return Finding::unknown(About::Ready, "NotChecked", "nothing was looked at yet");
    }
    Finding::yes(About::Ready, "Ready", "everything works")
}

/// The API takes 32 KiB; people read a line.
fn shortened(message: String) -> String {
    const MOST: usize = 1024;
    if message.len() <= MOST {
        return message;
    }
    let end = (0..=MOST).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &message[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_good() -> Report {
        let abouts = [
            About::KafkaTopicsReady,
            About::RedisReady,
            About::DatabaseReady,
            About::CoreAvailable,
            About::WorkerAvailable,
            About::GatewayAvailable,
        ];
        Report { findings: abouts.map(|about| Finding::yes(about, "Fine", "")).into(), ..Report::default() }
    }

    fn is_ready(status: &ChatClusterStatus) -> (ConditionStatus, &str) {
        let ready = &status.conditions[0];
        assert_eq!(ready.kind, "Ready");
        (ready.status, &ready.reason)
    }

    #[test]
    fn ready_means_that_every_part_is() {
        let at = Timestamp::UNIX_EPOCH;
        assert_eq!(is_ready(&status(None, Some(1), &all_good(), at)), (ConditionStatus::True, "Ready"));
        for index in 0..6 {
            let mut report = all_good();
            report.findings[index].status = ConditionStatus::False;
            report.findings[index].reason = "Broken";
            assert_eq!(is_ready(&status(None, Some(1), &report, at)), (ConditionStatus::False, "Broken"));
            report.findings[index].status = ConditionStatus::Unknown;
            assert_eq!(is_ready(&status(None, Some(1), &report, at)).0, ConditionStatus::Unknown);
        }
        let mut report = all_good();
        report.obstacles.push(("InvalidSpec", "no".into()));
        assert_eq!(is_ready(&status(None, Some(1), &report, at)), (ConditionStatus::False, "InvalidSpec"));
        let mut report = all_good();
        report.findings.push(upgraded(Stage::UpdatingCore, "2", None));
        assert_eq!(is_ready(&status(None, Some(1), &report, at)).0, ConditionStatus::True);
    }

    #[test]
    fn a_status_that_says_the_same_is_the_same() {
        let first = status(None, Some(1), &all_good(), Timestamp::UNIX_EPOCH);
        let later = Timestamp::from_second(1_000_000).unwrap();
        assert_eq!(status(Some(&first), Some(1), &all_good(), later), first);
        let mut broken = all_good();
        broken.findings[1].status = ConditionStatus::False;
        let second = status(Some(&first), Some(1), &broken, later);
        assert_ne!(second.conditions[0].last_transition_time, first.conditions[0].last_transition_time);
        assert_eq!(second.conditions[1], first.conditions[1]);
    }
}
