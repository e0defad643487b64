//! What the client promises, asked of a real broker.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::time::{Duration, Instant};

use chatcluster_kafka_admin::{
    Admin, Config, ConfigChange, ConnectionOptions, Error, Mechanism, NewTopic, Refusal, Sasl, Topic,
};
use chatcluster_testkit::{Kafka, WAIT, install, ports::free_port, scratch::ScratchDir};
use tokio::sync::OnceCell;

const TIMEOUT: Duration = Duration::from_secs(15);

/// A client of the broker that most tests share. It would create a topic that is asked for.
async fn admin() -> Admin {
    static BROKER: OnceCell<Kafka> = OnceCell::const_new();
    let broker = BROKER.get_or_init(|| broker(&[("auto.create.topics.enable", "true")])).await;
    Admin::new(&ConnectionOptions::plaintext(&broker.bootstrap_servers(), TIMEOUT)).unwrap()
}

async fn broker(properties: &[(&str, &str)]) -> Kafka {
    let installed = install::ready(install::quiet).await.unwrap();
    Kafka::start_with(&installed, properties, ScratchDir::new("kafka").unwrap()).await.unwrap()
}

fn topic(name: &str, partitions: u32, config: &[(&str, &str)]) -> NewTopic {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    NewTopic { name: name.to_owned(), partitions, replication: 1, config }
}

async fn create(admin: &Admin, topic: NewTopic) {
    let name = topic.name.clone();
    admin.create_topics(&[topic]).await.unwrap().remove(0).unwrap();
    described_when(admin, &name, Option::is_some).await;
}

async fn describe(admin: &Admin, name: &str) -> Option<Topic> {
    admin.describe_topics(&[name.to_owned()]).await.unwrap().remove(0).unwrap()
}

async fn described_when(admin: &Admin, name: &str, expected: impl Fn(&Option<Topic>) -> bool) -> Option<Topic> {
    let deadline = Instant::now() + WAIT;
    loop {
        let found = describe(admin, name).await;
        if expected(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{name} is still {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The controller answers before the broker shows what was changed.
async fn config_when(admin: &Admin, name: &str, expected: impl Fn(&Config) -> bool) -> Config {
    let deadline = Instant::now() + WAIT;
    loop {
        let found = admin.topic_configs(&[name.to_owned()]).await.unwrap().remove(0).unwrap();
        if expected(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "{name} still has {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn own<'a>(config: &'a Config, key: &str) -> Option<&'a str> {
    config.get(key).filter(|setting| setting.own).and_then(|setting| setting.value.as_deref())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_leaves_the_keys_of_others_alone() {
    let admin = admin().await;
    create(&admin, topic("changed", 1, &[("retention.ms", "60000"), ("segment.ms", "30000")])).await;
    let by_hand = ConfigChange::new("changed").set("max.message.bytes", "4321");
    admin.alter_configs_incrementally(&[by_hand]).await.unwrap().remove(0).unwrap();

    let ours = ConfigChange::new("changed").set("retention.ms", "70000").remove("segment.ms");
    admin.alter_configs_incrementally(&[ours]).await.unwrap().remove(0).unwrap();

    let config = config_when(&admin, "changed", |config| own(config, "retention.ms") == Some("70000")).await;
    assert_eq!(own(&config, "max.message.bytes"), Some("4321"));
    assert_eq!(own(&config, "segment.ms"), None);
    assert!(config.contains_key("segment.ms"), "the default is shown");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_keeps_its_id_when_it_grows_and_gets_another_when_it_is_made_again() {
    let admin = admin().await;
    create(&admin, topic("grown", 2, &[])).await;
    let before = describe(&admin, "grown").await.unwrap();
    assert_eq!((before.partitions, before.replication, before.with_leader), (2, 1, 2));
    let letters = |id: &str| id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    assert!(before.id.len() == 22 && letters(&before.id), "{}", before.id);

    admin.grow("grown", 5).await.unwrap();
    let after = described_when(&admin, "grown", |found| found.as_ref().unwrap().partitions == 5).await.unwrap();
    assert_eq!(after.id, before.id);
    let fewer = admin.grow("grown", 3).await.unwrap_err();
    assert!(matches!(fewer, Error::Refused { reason: Refusal::Invalid, .. }), "{fewer}");

    admin.delete_topics(&["grown".to_owned()]).await.unwrap().remove(0).unwrap();
    described_when(&admin, "grown", Option::is_none).await;
    create(&admin, topic("grown", 1, &[])).await;
    assert_ne!(describe(&admin, "grown").await.unwrap().id, before.id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_topic_is_none_beside_known_ones_and_asking_does_not_create_it() {
    let admin = admin().await;
    create(&admin, topic("known", 1, &[])).await;
    let names = ["nobody-made-it".to_owned(), "known".to_owned(), "not a name".to_owned()];
    for _ in 0..2 {
        let found = admin.describe_topics(&names).await.unwrap();
        assert_eq!(found[0], Ok(None));
        assert_eq!(found[1].as_ref().unwrap().as_ref().unwrap().name, "known");
        assert!(matches!(found[2], Err(Error::Refused { reason: Refusal::Invalid, .. })), "{:?}", found[2]);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let configs = admin.topic_configs(&names[..2]).await.unwrap();
    assert!(matches!(configs[0], Err(Error::NotFound(_))), "{:?}", configs[0]);
    assert!(configs[1].is_ok());
    assert!(matches!(admin.grow("nobody-made-it", 3).await, Err(Error::NotFound(_))));
    let deleted = admin.delete_topics(&names[..1]).await.unwrap().remove(0);
    assert!(matches!(deleted, Err(Error::NotFound(_))), "{deleted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_topic_is_created_or_refused_by_itself_and_the_broker_says_why() {
    let admin = admin().await;
    create(&admin, topic("twice", 1, &[])).await;
    let copies = NewTopic { replication: 3, ..topic("too-many-copies", 1, &[]) };
    let wrong = topic("wrong-setting", 1, &[("retention.ms", "soon")]);
    let answers = admin.create_topics(&[topic("twice", 1, &[]), copies, topic("fine", 1, &[]), wrong]).await.unwrap();
    assert!(matches!(answers[0], Err(Error::AlreadyExists(_))), "{:?}", answers[0]);
    let refused = answers[1].clone().unwrap_err();
    assert!(matches!(refused, Error::Refused { reason: Refusal::Invalid, .. }), "{refused}");
    assert!(refused.to_string().contains("broker"), "{refused}");
    assert_eq!(answers[2], Ok(()));
    assert!(answers[3].clone().unwrap_err().to_string().contains("retention.ms"), "{:?}", answers[3]);
    assert_eq!(admin.create_topics(&[]).await, Ok(Vec::new()));
    assert!(admin.delete_topics(&[String::new()]).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_broker_and_the_cluster_tell_about_themselves() {
    let admin = admin().await;
    let config = admin.broker_config().await.unwrap();
    assert_eq!(config["auto.create.topics.enable"].value.as_deref(), Some("true"));
    assert_eq!(admin.cluster_id().await.unwrap().len(), 22);
    let deadline = Instant::now() + WAIT;
    loop {
        // Until the broker has made the topic where groups are kept, it sends us elsewhere.
        match admin.delete_groups(&["nobody-reads".to_owned()]).await.unwrap().remove(0) {
            Err(Error::NotFound(_)) => break,
            Err(Error::Unavailable(_)) => assert!(Instant::now() < deadline, "groups have a place"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_every_call_ends_in_time_and_says_why() {
    let nowhere = format!("127.0.0.1:{}", free_port().unwrap());
    let options = ConnectionOptions::plaintext(&nowhere, Duration::from_secs(2));
    let admin = Admin::new(&options).unwrap();
    let started = Instant::now();
    let (described, settings, cluster) = tokio::join!(
        async { admin.describe_topics(&["a".to_owned()]).await.map(drop) },
        async { admin.broker_config().await.map(drop) },
        async { admin.cluster_id().await.map(drop) },
    );
    for outcome in [described, settings, cluster] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{error}");
        assert!(error.to_string().contains(&nowhere), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_over_the_absence_of_its_broker() {
    let broker = broker(&[]).await;
    let options = ConnectionOptions::plaintext(&broker.bootstrap_servers(), Duration::from_secs(3));
    let admin = Admin::new(&options).unwrap();
    create(&admin, topic("stays", 1, &[])).await;
    broker.process().pause().unwrap();
    let deadline = Instant::now() + WAIT;
    let (error, took) = loop {
        let started = Instant::now();
        // A stopped process may have answered one more request.
        match admin.describe_topics(&["stays".to_owned()]).await {
            Err(error) => break (error, started.elapsed()),
            Ok(_) => assert!(Instant::now() < deadline, "the broker is stopped"),
        }
    };
    assert!(matches!(error, Error::Unavailable(_)), "{error}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    broker.process().resume().unwrap();
    let deadline = Instant::now() + WAIT;
    while admin.describe_topics(&["stays".to_owned()]).await.is_err() {
        assert!(Instant::now() < deadline, "the broker is back");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_password_and_rights_are_asked_for_and_their_lack_is_told_apart() {
    let users = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                 username=\"admin\" password=\"a\" user_admin=\"a\" user_guest=\"g\";";
    let broker = broker(&[
        // The listener keeps its name and changes what it speaks.
        ("listener.security.protocol.map", "PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"),
        ("inter.broker.listener.name", "PLAINTEXT"),
        ("sasl.enabled.mechanisms", "PLAIN"),
        ("sasl.mechanism.inter.broker.protocol", "PLAIN"),
        ("listener.name.plaintext.plain.sasl.jaas.config", users),
        ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("super.users", "User:admin;User:ANONYMOUS"),
    ])
    .await;
    let client = |user: &str, password: &str| {
        let sasl = Sasl { mechanism: Mechanism::Plain, username: user.to_owned(), password: password.into() };
        let plain = ConnectionOptions::plaintext(&broker.bootstrap_servers(), TIMEOUT);
        Admin::new(&ConnectionOptions { sasl: Some(sasl), ..plain }).unwrap()
    };
    let admin = client("admin", "a");
    create(&admin, topic("guarded", 1, &[])).await;

    let started = Instant::now();
    let wrong = client("admin", "wrong").describe_topics(&["guarded".to_owned()]).await.unwrap_err();
    assert!(matches!(wrong, Error::Refused { reason: Refusal::Authentication, .. }), "{wrong}");
    assert!(started.elapsed() < TIMEOUT, "known before the time is up");

    let guest = client("guest", "g");
    let created = guest.create_topics(&[topic("denied", 1, &[])]).await.unwrap().remove(0).unwrap_err();
    assert!(matches!(created, Error::Refused { reason: Refusal::Authorization, .. }), "{created}");
    let read = guest.topic_configs(&["guarded".to_owned()]).await.unwrap().remove(0).unwrap_err();
    assert!(matches!(read, Error::Refused { reason: Refusal::Authorization, .. }), "{read}");
    let broker_config = guest.broker_config().await.unwrap_err();
    assert!(matches!(broker_config, Error::Refused { reason: Refusal::Authorization, .. }), "{broker_config}");
}

#[tokio::test]
async fn options_that_cannot_work_are_refused_at_once() {
    let options = ConnectionOptions {
        security: chatcluster_kafka_admin::Security::Tls { ca_pem: Some("not a certificate".to_owned()) },
        ..ConnectionOptions::plaintext("127.0.0.1:9", TIMEOUT)
    };
    let error = Admin::new(&options).unwrap_err();
    assert!(matches!(error, Error::Refused { reason: Refusal::Invalid, .. }), "{error}");
}
