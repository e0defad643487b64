//! Topics, on a real broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chatcluster_contracts::topics::{Names, Topic};
use chatcluster_kafka_admin::{ConfigChange, NewTopic};
use chatcluster_operator::kafka::{
    Action, Admin, Clients, ConnectionOptions, DeclaredTopic, Error, Mechanism, Problem, ProvisionOptions, Provisioned,
    Refusal, Sasl, Security, TopicSettings, declare, observe, provision, remove,
};
use chatcluster_testkit::{
    Kafka, WAIT, install,
    kafka::{KafkaOptions, KafkaUser, Operation, Resource},
    scratch::ScratchDir,
};
use tokio::sync::OnceCell;

const TIMEOUT: Duration = Duration::from_secs(15);

/// A prefix of its own on the broker that all tests share.
struct Place {
    admin: Admin,
    names: Names,
}

impl Place {
    async fn new(test: &str) -> Self {
        static BROKER: OnceCell<Kafka> = OnceCell::const_new();
        let start = || async { Kafka::start(&install::ready(install::quiet).await.unwrap()).await.unwrap() };
        let broker = BROKER.get_or_init(start).await;
        let options = ConnectionOptions::plaintext(&broker.bootstrap_servers(), TIMEOUT);
        Self { admin: Clients::new().get(&options).unwrap(), names: Names::with_prefix(&format!("{test}.")) }
    }

    fn declared(&self, messages: TopicSettings) -> Vec<DeclaredTopic> {
        declare(&self.names, 1, &BTreeMap::from([(Topic::Messages, messages)]))
    }

    fn messages(&self) -> String {
        self.names.topic(Topic::Messages)
    }

    async fn provision(&self, declared: &[DeclaredTopic], options: &ProvisionOptions) -> Provisioned {
        provision(&self.admin, declared, options).await.unwrap()
    }

    /// The topics as declared by default; they are there.
    async fn provisioned(&self) -> (Vec<DeclaredTopic>, Provisioned) {
        let declared = self.declared(TopicSettings::default());
        let made = self.provision(&declared, &ProvisionOptions::default()).await;
        (declared, made)
    }

    /// The controller answers before the broker shows what was changed.
    async fn shows(&self, topic: &str, key: &str, value: &str) {
        let deadline = Instant::now() + WAIT;
        loop {
            let config = self.admin.topic_configs(&[topic.to_owned()]).await.unwrap().remove(0).unwrap();
            if config[key].value.as_deref() == Some(value) {
                return;
            }
            assert!(Instant::now() < deadline, "{key} of {topic} is {:?}", config[key]);
        }
    }

    async fn exists(&self, topic: &str) -> bool {
        self.admin.describe_topics(&[topic.to_owned()]).await.unwrap().remove(0).unwrap().is_some()
    }

    async fn delete(&self, topic: &str) {
        self.admin.delete_topics(&[topic.to_owned()]).await.unwrap().remove(0).unwrap();
        let deadline = Instant::now() + WAIT;
        while self.exists(topic).await {
            assert!(Instant::now() < deadline, "{topic} is still there");
        }
    }
}

/// A broker where nobody has had a group yet makes a place for groups first, and says meanwhile that it is not available.
async fn removed(admin: &Admin, topics: &[String], groups: &[String]) {
    let deadline = Instant::now() + WAIT + TIMEOUT;
    loop {
        match remove(admin, topics, groups).await {
            Err(Error::Unavailable(said)) => assert!(Instant::now() < deadline, "{said}"),
            outcome => return assert_eq!(outcome, Ok(Vec::new())),
        }
    }
}

fn partitions(partitions: u32) -> TopicSettings {
    TopicSettings { partitions: Some(partitions), retention: None }
}

fn recorded(provisioned: &Provisioned) -> BTreeMap<String, String> {
    provisioned.topics.iter().map(|topic| (topic.name.clone(), topic.id.clone())).collect()
}

fn problem(provisioned: &Provisioned) -> &Problem {
    assert_eq!(provisioned.findings.len(), 1, "{:?}", provisioned.findings);
    &provisioned.findings[0].problem
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_topics_are_created_and_a_second_pass_changes_nothing() {
    let place = Place::new("created").await;
    let declared = place.declared(TopicSettings::default());
    let before = observe(&place.admin, &declared, &ProvisionOptions::default()).await.unwrap();
    assert_eq!((before.topics.len(), before.actions.len()), (0, declared.len()), "looking creates nothing");

    let made = place.provision(&declared, &ProvisionOptions::default()).await;
    assert_eq!(made.topics.len(), declared.len());
    assert!(made.actions.iter().all(|action| matches!(action, Action::Create(_))));
    assert_eq!((made.findings.len(), made.auto_create), (0, Some(false)));
    let messages = &made.topics[0];
    assert_eq!((messages.role.as_str(), messages.name.as_str()), ("messages", "created.message.all"));
    assert_eq!((messages.partitions, messages.id.len()), (12, 22));
    place.shows("created.typing-events", "retention.ms", "60000").await;
    place.shows("created.typing-events", "segment.ms", "30000").await;

    let options = ProvisionOptions { recorded_ids: recorded(&made), ..ProvisionOptions::default() };
    let again = place.provision(&declared, &options).await;
    assert_eq!(again, Provisioned { actions: Vec::new(), ..made });
}

/// One that was stopped may have asked for topics that no broker shows yet when the next one looks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_somebody_else_creates_just_now_are_looked_at_again() {
    for round in 0..5 {
        let place = Place::new(&format!("raced-{round}")).await;
        let declared = place.declared(TopicSettings::default());
        let options = ProvisionOptions::default();
        let passes = (0..4).map(|_| provision(&place.admin, &declared, &options));
        for outcome in futures_util::future::join_all(passes).await {
            match outcome {
                Ok(found) => assert_eq!(found.topics.len(), declared.len(), "{found:?}"),
                Err(Error::Unavailable(said)) => assert!(said.contains("somebody else"), "{said}"),
                Err(error) => panic!("{error}"),
            }
        }
        let found = place.provision(&declared, &options).await;
        assert_eq!((found.topics.len(), found.actions.len()), (declared.len(), 0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drifted_retention_comes_back_and_a_key_set_by_hand_stays() {
    let place = Place::new("drift").await;
    let (declared, _) = place.provisioned().await;
    let by_hand = ConfigChange::new(&place.messages()).set("retention.ms", "1000").set("max.message.bytes", "54321");
    place.admin.alter_configs_incrementally(&[by_hand]).await.unwrap().remove(0).unwrap();
    place.shows(&place.messages(), "retention.ms", "1000").await;

    let looked = observe(&place.admin, &declared, &ProvisionOptions::default()).await.unwrap();
    let reverted = place.provision(&declared, &ProvisionOptions::default()).await;

    assert_eq!(looked.actions, reverted.actions);
    let [Action::SetConfig { config, .. }] = &reverted.actions[..] else { panic!("{:?}", reverted.actions) };
    assert_eq!(config.len(), 1, "{config:?}");
    place.shows(&place.messages(), "retention.ms", "604800000").await;
    place.shows(&place.messages(), "max.message.bytes", "54321").await;
    assert!(place.provision(&declared, &ProvisionOptions::default()).await.actions.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn partitions_are_added_on_request_only() {
    let place = Place::new("growth").await;
    place.provisioned().await;
    let more = place.declared(partitions(15));
    let refused = place.provision(&more, &ProvisionOptions::default()).await;
    assert_eq!(problem(&refused), &Problem::GrowthNotAllowed { declared: 15, found: 12 });
    assert_eq!((refused.actions.len(), refused.topics[0].partitions), (0, 12));

    let options = ProvisionOptions { allow_growth: true, ..ProvisionOptions::default() };
    let grown = place.provision(&more, &options).await;
    assert!(matches!(&grown.actions[..], [Action::Grow { from: 12, to: 15, .. }]), "{:?}", grown.actions);
    assert_eq!((grown.findings.len(), grown.topics[0].partitions), (0, 15));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_enlarged_behind_its_back_is_reported_and_left_alone() {
    let place = Place::new("enlarged").await;
    let (declared, _) = place.provisioned().await;
    place.admin.grow(&place.messages(), 14).await.unwrap();
    let options = ProvisionOptions { allow_growth: true, ..ProvisionOptions::default() };
    let deadline = Instant::now() + WAIT;
    let found = loop {
        let found = place.provision(&declared, &options).await;
        if !found.findings.is_empty() {
            break found;
        }
        assert!(Instant::now() < deadline, "the broker shows the new partitions");
    };
    assert_eq!(problem(&found), &Problem::WouldShrink { declared: 12, found: 14 });
    assert!(found.findings[0].blocks() && found.actions.is_empty());
    assert_eq!(found.topics[0].partitions, 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_deleted_behind_its_back_is_created_again_and_its_new_id_reported() {
    let place = Place::new("deleted").await;
    let (declared, made) = place.provisioned().await;
    place.delete(&place.messages()).await;
    let options = ProvisionOptions { recorded_ids: recorded(&made), ..ProvisionOptions::default() };

    let again = place.provision(&declared, &options).await;

    assert!(matches!(&again.actions[..], [Action::Create(topic)] if topic.role == "messages"), "{:?}", again.actions);
    let (previous, id) = (made.topics[0].id.clone(), again.topics[0].id.clone());
    assert_ne!(previous, id);
    assert_eq!(problem(&again), &Problem::Recreated { previous, id });
    let told_once = ProvisionOptions { recorded_ids: recorded(&again), ..ProvisionOptions::default() };
    assert!(place.provision(&declared, &told_once).await.findings.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_topic_is_refused_does_not_hold_up_the_others() {
    let place = Place::new("refused").await;
    let mut declared = place.declared(TopicSettings::default());
    declared[0].replication = 3; // there is one broker
    let made = place.provision(&declared, &ProvisionOptions::default()).await;
    assert!(matches!(problem(&made), Problem::Refused(Error::Refused { .. })), "{:?}", made.findings);
    assert_eq!(made.findings[0].topic, "refused.message.all");
    assert_eq!(made.topics.len(), declared.len() - 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_named_topics_are_removed_and_what_is_gone_is_no_failure() {
    let place = Place::new("removed").await;
    let (declared, _) = place.provisioned().await;
    let foreign = NewTopic { name: "removed.foreign".into(), partitions: 1, replication: 1, config: Vec::new() };
    place.admin.create_topics(&[foreign]).await.unwrap().remove(0).unwrap();
    let names: Vec<String> = declared.iter().map(|topic| topic.name.clone()).collect();
    let groups = ["removed.fanout-worker-group".to_owned()];
    place.delete(&names[3]).await;

    removed(&place.admin, &names, &groups).await;

    let deadline = Instant::now() + WAIT;
    while observe(&place.admin, &declared, &ProvisionOptions::default()).await.is_ok_and(|it| !it.topics.is_empty()) {
        assert!(Instant::now() < deadline, "the topics go");
    }
    assert!(place.exists("removed.foreign").await);
    removed(&place.admin, &names, &groups).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_kafka_every_step_says_so_in_time() {
    let nowhere = format!("127.0.0.1:{}", chatcluster_testkit::ports::free_port().unwrap());
    let options = ConnectionOptions::plaintext(&nowhere, Duration::from_secs(1));
    let admin = Clients::new().get(&options).unwrap();
    let declared = declare(&Names::default(), 1, &BTreeMap::new());
    let started = Instant::now();
    let (options, topics, groups) = (ProvisionOptions::default(), ["a".to_owned()], ["b".to_owned()]);
    let (provisioned, removed) = tokio::join!(provision(&admin, &declared, &options), remove(&admin, &topics, &groups));
    assert!(matches!(provisioned, Err(Error::Unavailable(_))), "{provisioned:?}");
    assert!(matches!(removed, Err(Error::Unavailable(_))), "{removed:?}");
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
}

/// The rights that the documentation asks for, and no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_with_a_password_the_least_rights_are_enough_and_without_them_each_topic_says_so() {
    let installed = install::ready(install::quiet).await.unwrap();
    let (operator, guest) = (KafkaUser::new("operator"), KafkaUser::new("guest"));
    let options = KafkaOptions { users: vec![operator.clone(), guest.clone()], ..KafkaOptions::default() };
    let broker = Kafka::start_as(&installed, options, ScratchDir::new("kafka").unwrap()).await.unwrap();
    let topics = Resource::Topics { prefix: "blue." };
    let on_topics = [
        Operation::Create,
        Operation::Describe,
        Operation::Alter,
        Operation::DescribeConfigs,
        Operation::AlterConfigs,
        Operation::Delete,
    ];
    let mut allowed: Vec<_> = on_topics.into_iter().map(|operation| (topics, operation)).collect();
    allowed.push((Resource::Groups { prefix: "blue." }, Operation::Delete));
    broker.allow("operator", &allowed).await.unwrap();
    let clients = Clients::new();
    let client = |user: &KafkaUser, password: &str, ca: String| {
        let sasl = Sasl { mechanism: Mechanism::ScramSha512, username: user.name.clone(), password: password.into() };
        let options = ConnectionOptions {
            bootstrap_servers: broker.secured_bootstrap_servers().unwrap(),
            security: Security::Tls { ca_pem: Some(ca) },
            sasl: Some(sasl),
            timeout: TIMEOUT,
        };
        clients.get(&options).unwrap()
    };
    let ca = broker.authority().unwrap();
    let declared = declare(&Names::with_prefix("blue."), 1, &BTreeMap::new());
    let names: Vec<String> = declared.iter().map(|topic| topic.name.clone()).collect();
    let options = ProvisionOptions { allow_growth: true, ..ProvisionOptions::default() };

    let admin = client(&operator, &operator.password, ca.clone());
    let made = provision(&admin, &declared, &options).await.unwrap();
    assert_eq!((made.topics.len(), made.findings.len(), made.auto_create), (declared.len(), 0, None));
    let more = declare(&Names::with_prefix("blue."), 1, &BTreeMap::from([(Topic::Users, partitions(4))]));
    assert_eq!(provision(&admin, &more, &options).await.unwrap().actions.len(), 1);

    let denied = client(&guest, &guest.password, ca.clone());
    let denied = provision(&denied, &declared, &options).await.unwrap();
    assert_eq!((denied.topics.len(), denied.findings.len()), (0, declared.len()));
    let authorization =
        |problem: &Problem| matches!(problem, Problem::Refused(Error::Refused { reason: Refusal::Authorization, .. }));
    assert!(denied.findings.iter().all(|finding| authorization(&finding.problem)), "{:?}", denied.findings);

    let wrong = provision(&client(&operator, "wrong", ca), &declared, &options).await.unwrap_err();
    assert!(matches!(wrong, Error::Refused { reason: Refusal::Authentication, .. }), "{wrong}");
    let stranger = chatcluster_testkit::certificates::Authority::new().unwrap().pem();
    let options = ProvisionOptions::default();
    let distrusted =
        provision(&client(&operator, &operator.password, stranger), &declared, &options).await.unwrap_err();
    assert!(distrusted.to_string().contains("certificate"), "{distrusted}");

    removed(&admin, &names, &["blue.fanout-worker-group".to_owned()]).await;
}
