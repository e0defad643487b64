//! What every event log promises, asked of the embedded one and of Kafka alike.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    collections::{BTreeMap, HashSet},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use chatcluster_contracts::topics::{Group, Topic};
use chatcluster_testkit::{Kafka, WAIT, install, scratch::ScratchDir};
use chatcluster_transport::event_log::{
    Consumed, Consumer, EventLog, LogError, NewRecord, Record, TopicPartition,
    embedded::EmbeddedLog,
    kafka::{KafkaLog, KafkaOptions, provision},
    partitioner::partition_of,
};
use tokio::{sync::OnceCell, time::timeout};

/// A log that can be closed and opened again.
enum Place {
    Embedded { file: PathBuf, _folder: ScratchDir },
    Kafka(KafkaOptions),
}

impl Place {
    fn embedded() -> Self {
        let folder = ScratchDir::new("log").unwrap();
        Self::Embedded { file: folder.path().join("log.db"), _folder: folder }
    }

    /// A prefix of its own on the broker that all tests share.
    async fn kafka(test: &str) -> Self {
        static BROKER: OnceCell<Kafka> = OnceCell::const_new();
        let start = || async { Kafka::start(&install::ready(install::quiet).await.unwrap()).await.unwrap() };
        let broker = BROKER.get_or_init(start).await;
        let options = KafkaOptions {
            kafka_bootstrap_servers: broker.bootstrap_servers(),
            kafka_prefix: format!("{test}."),
            ..KafkaOptions::default()
        };
        provision::apply(&options, None).await.unwrap();
        Self::Kafka(options)
    }

    async fn open(&self) -> Arc<dyn EventLog> {
        match self {
            Self::Embedded { file, .. } => Arc::new(EmbeddedLog::open(file).await.unwrap()),
            Self::Kafka(options) => Arc::new(KafkaLog::new(options).unwrap()),
        }
    }
}

macro_rules! for_every_log {
    ($($name:ident),* $(,)?) => {
        mod embedded {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Place::embedded()).await;
            })*
        }
        mod kafka {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(super::Place::kafka(stringify!($name)).await).await;
            })*
        }
    };
}

/// The same promises under other names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renamed_topics_and_their_dead_letters_are_used_and_no_others() {
    let Place::Kafka(options) = Place::kafka("before").await else { panic!("kafka was asked for") };
    let options = KafkaOptions {
        kafka_prefix: "renamed.".to_owned(),
        kafka_topics: "messages=elsewhere.messages,users=elsewhere.users".parse().unwrap(),
        ..options
    };
    let applied = provision::apply(&options, None).await.unwrap();
    let named = |name: &str| applied.iter().any(|topic| topic.name == name);
    assert!(named("elsewhere.messages") && named("elsewhere.messages.dlq") && named("renamed.message.ingest"));
    assert!(!named("renamed.message.all") && !named("renamed.user.events"));
    dead_letters_are_apart_and_the_log_can_be_checked(Place::Kafka(options)).await;
    let shared = KafkaOptions { kafka_topics: "users=notifications".parse().unwrap(), ..KafkaOptions::default() };
    assert!(KafkaLog::new(&shared).unwrap_err().to_string().contains("notifications and users"));
    assert!(matches!(provision::apply(&shared, None).await, Err(LogError::Refused(_))));
}

for_every_log!(
    a_key_keeps_its_order_in_the_partition_the_jvm_computes,
    what_was_not_finished_comes_again_and_nothing_is_skipped,
    groups_do_not_share_positions,
    two_members_share_the_partitions_and_one_takes_over,
    records_and_positions_survive_a_restart,
    a_paused_partition_is_silent_until_it_is_resumed,
    an_ephemeral_topic_starts_at_its_end,
    dead_letters_are_apart_and_the_log_can_be_checked,
    lag_is_what_was_appended_and_not_finished,
);

fn record(topic: Topic, key: &str, value: &str) -> NewRecord {
    NewRecord {
        topic,
        dead_letter: false,
        key: key.to_owned(),
        value: Bytes::copy_from_slice(value.as_bytes()),
        headers: vec![("eventType".to_owned(), Bytes::from_static(b"MESSAGE"))],
    }
}

async fn append(log: &Arc<dyn EventLog>, records: Vec<NewRecord>) {
    let results = timeout(WAIT, log.producer().append(records)).await.expect("append hangs");
    assert!(results.iter().all(Result::is_ok), "{results:?}");
}

/// The next change or record; conditions of the log are waited out.
async fn next(consumer: &mut Box<dyn Consumer>) -> Consumed {
    let waiting = async {
        loop {
            match consumer.next().await {
                Ok(found) => return found,
                Err(LogError::Unavailable(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    timeout(WAIT, waiting).await.expect("nothing came")
}

async fn next_record(consumer: &mut Box<dyn Consumer>) -> Record {
    loop {
        if let Consumed::Record(record) = next(consumer).await {
            return record;
        }
    }
}

async fn records(consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<Record> {
    let mut found = Vec::new();
    while found.len() < count {
        found.push(next_record(consumer).await);
    }
    found
}

fn text(record: &Record) -> String {
    String::from_utf8(record.value.to_vec()).unwrap()
}

async fn a_key_keeps_its_order_in_the_partition_the_jvm_computes(place: Place) {
    let log = place.open().await;
    let keys = ["foobar", "abc", "21", "a-little-bit-long-string", "k4", "k5"];
    let new = (0..120).map(|n| record(Topic::Messages, keys[n % keys.len()], &n.to_string())).collect();
    append(&log, new).await;
    let mut consumer = log.subscribe(Group::Fanout, &[Topic::Messages]).await.unwrap();
    let mut by_key: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for record in records(&mut consumer, 120).await {
        let key = String::from_utf8(record.key.clone().unwrap().to_vec()).unwrap();
        assert_eq!(record.partition.partition, partition_of(key.as_bytes(), Topic::Messages.partitions()), "{key}");
        assert_eq!(record.header("eventType"), Some("MESSAGE"));
        assert!(record.timestamp_ms > 1_600_000_000_000);
        by_key.entry(key).or_default().push(text(&record).parse().unwrap());
    }
    for (key, values) in by_key {
        assert_eq!(values.len(), 20);
        assert!(values.is_sorted(), "{key}: {values:?}");
    }
    consumer.close().await;
}

async fn what_was_not_finished_comes_again_and_nothing_is_skipped(place: Place) {
    let log = place.open().await;
    append(&log, (0..10).map(|n| record(Topic::Messages, "c1", &n.to_string())).collect()).await;
    let mut first = log.subscribe(Group::Fanout, &[Topic::Messages]).await.unwrap();
    let seen = records(&mut first, 6).await;
    let control = first.control();
    control.finished(seen[3].partition, seen[3].offset);
    // Gone without a word about the rest.
    drop(first);
    let mut second = log.subscribe(Group::Fanout, &[Topic::Messages]).await.unwrap();
    let again: Vec<String> = records(&mut second, 6).await.iter().map(text).collect();
    assert_eq!(again, ["4", "5", "6", "7", "8", "9"]);
    second.close().await;
}

async fn groups_do_not_share_positions(place: Place) {
    let log = place.open().await;
    append(&log, vec![record(Topic::Messages, "c1", "only")]).await;
    for group in [Group::Fanout, Group::Rooms] {
        let mut consumer = log.subscribe(group, &[Topic::Messages]).await.unwrap();
        let found = next_record(&mut consumer).await;
        assert_eq!(text(&found), "only");
        consumer.control().finished(found.partition, found.offset);
        consumer.close().await;
    }
}

/// Drives a consumer until it holds exactly `count` partitions.
async fn until_holding(consumer: &mut Box<dyn Consumer>, held: &mut HashSet<TopicPartition>, count: usize) {
    while held.len() != count {
        match next(consumer).await {
            Consumed::Assigned(partitions) => held.extend(partitions),
            Consumed::Revoked(partitions) => held.retain(|place| !partitions.contains(place)),
            Consumed::Record(record) => panic!("unexpected {record:?}"),
        }
    }
}

async fn two_members_share_the_partitions_and_one_takes_over(place: Place) {
    let log = place.open().await;
    let mut first = log.subscribe(Group::Fanout, &[Topic::Messages]).await.unwrap();
    let (mut of_first, mut of_second) = (HashSet::new(), HashSet::new());
    until_holding(&mut first, &mut of_first, 12).await;
    let mut second = log.subscribe(Group::Fanout, &[Topic::Messages]).await.unwrap();
    tokio::join!(until_holding(&mut first, &mut of_first, 6), until_holding(&mut second, &mut of_second, 6));
    assert!(of_first.is_disjoint(&of_second));

    let keys: Vec<String> = (0..48).map(|n| format!("c{n}")).collect();
    append(&log, keys.iter().map(|key| record(Topic::Messages, key, key)).collect()).await;
    let expected = |mine: &HashSet<TopicPartition>| {
        let own = |key: &&String| {
            mine.contains(&TopicPartition { topic: Topic::Messages, partition: partition_of(key.as_bytes(), 12) })
        };
        keys.iter().filter(own).cloned().collect::<HashSet<String>>()
    };
    let (for_first, for_second) = (expected(&of_first), expected(&of_second));
    let (got_first, got_second) =
        tokio::join!(records(&mut first, for_first.len()), records(&mut second, for_second.len()));
    assert_eq!(got_first.iter().map(text).collect::<HashSet<_>>(), for_first);
    assert_eq!(got_second.iter().map(text).collect::<HashSet<_>>(), for_second);
    for record in &got_second {
        second.control().finished(record.partition, record.offset);
    }
    for record in &got_first {
        first.control().finished(record.partition, record.offset);
    }

    second.close().await;
    until_holding(&mut first, &mut of_first, 12).await;
    append(&log, keys.iter().map(|key| record(Topic::Messages, key, "later")).collect()).await;
    assert!(records(&mut first, 48).await.iter().all(|record| text(record) == "later"), "nothing is read twice");
    first.close().await;
}

async fn records_and_positions_survive_a_restart(place: Place) {
    {
        let log = place.open().await;
        // Many callers at once: each answer means it is kept.
        let appends = (0..20).map(|n| {
            let log = log.clone();
            tokio::spawn(async move { append(&log, vec![record(Topic::Status, "u1", &n.to_string())]).await })
        });
        for done in appends.collect::<Vec<_>>() {
            done.await.unwrap();
        }
        let mut consumer = log.subscribe(Group::Fanout, &[Topic::Status]).await.unwrap();
        let seen = records(&mut consumer, 12).await;
        consumer.control().finished(seen[11].partition, seen[11].offset);
        consumer.close().await;
    }
    let log = place.open().await;
    let mut consumer = log.subscribe(Group::Fanout, &[Topic::Status]).await.unwrap();
    assert_eq!(records(&mut consumer, 8).await.len(), 8);
    append(&log, vec![record(Topic::Status, "u1", "new")]).await;
    assert_eq!(text(&next_record(&mut consumer).await), "new");
    consumer.close().await;
}

async fn a_paused_partition_is_silent_until_it_is_resumed(place: Place) {
    let log = place.open().await;
    let mut consumer = log.subscribe(Group::Fanout, &[Topic::Messages]).await.unwrap();
    until_holding(&mut consumer, &mut HashSet::new(), 12).await;
    let partition = |key: &str| TopicPartition { topic: Topic::Messages, partition: partition_of(key.as_bytes(), 12) };
    let (quiet, loud) = ("foobar", "abc");
    assert_ne!(partition(quiet), partition(loud));
    consumer.control().pause(partition(quiet));
    append(&log, vec![record(Topic::Messages, quiet, "held"), record(Topic::Messages, loud, "passes")]).await;
    assert_eq!(text(&next_record(&mut consumer).await), "passes");
    let silence = timeout(Duration::from_millis(300), consumer.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    consumer.control().resume(partition(quiet));
    assert_eq!(text(&next_record(&mut consumer).await), "held");
    consumer.close().await;
}

async fn an_ephemeral_topic_starts_at_its_end(place: Place) {
    let log = place.open().await;
    append(&log, vec![record(Topic::Typing, "c1", "long ago")]).await;
    let mut consumer = log.subscribe(Group::Fanout, &[Topic::Typing]).await.unwrap();
    until_holding(&mut consumer, &mut HashSet::new(), 3).await;
    // Kafka's consumer asks for the end after the assignment, so what is appended at once may fall before it.
    let found = loop {
        append(&log, vec![record(Topic::Typing, "c1", "now")]).await;
        if let Ok(found) = timeout(Duration::from_millis(200), consumer.next()).await {
            break found.unwrap();
        }
    };
    match found {
        Consumed::Record(record) => assert_eq!(text(&record), "now"),
        other => panic!("{other:?}"),
    }
    consumer.close().await;
}

async fn dead_letters_are_apart_and_the_log_can_be_checked(place: Place) {
    let log = place.open().await;
    log.producer().check().await.unwrap();
    let dead = NewRecord { dead_letter: true, ..record(Topic::Messages, "c1", "broken") };
    append(&log, vec![dead, record(Topic::Messages, "c1", "fine")]).await;
    let mut consumer = log.subscribe(Group::Fanout, &[Topic::Messages]).await.unwrap();
    assert_eq!(text(&next_record(&mut consumer).await), "fine");
    consumer.close().await;
}

async fn lag_is_what_was_appended_and_not_finished(place: Place) {
    let log = place.open().await;
    append(&log, (0..10).map(|n| record(Topic::Messages, "c1", &n.to_string())).collect()).await;
    let mut consumer = log.subscribe(Group::Fanout, &[Topic::Messages]).await.unwrap();
    let seen = records(&mut consumer, 10).await;
    let control = consumer.control();
    assert_eq!(control.lag(), 10);
    control.finished(seen[6].partition, seen[6].offset);
    assert_eq!(control.lag(), 3);
    consumer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_are_created_once_and_others_partitions_are_reported() {
    let Place::Kafka(options) = Place::kafka("provisioned").await else { panic!("kafka was asked for") };
    let again = provision::apply(&options, None).await.unwrap();
    assert!(again.iter().all(|topic| topic.outcome == provision::Outcome::Existing), "{again:?}");
    assert!(again.iter().any(|topic| topic.name == "provisioned.message.all" && topic.partitions == 12));
    assert!(again.iter().any(|topic| topic.name == "provisioned.message.all.dlq" && topic.partitions == 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_is_away_is_said_and_a_typing_record_does_not_wait_for_it() {
    let options = KafkaOptions { kafka_bootstrap_servers: "127.0.0.1:1".to_owned(), ..KafkaOptions::default() };
    let log = KafkaLog::new(&options).unwrap();
    assert!(matches!(log.producer().check().await, Err(LogError::Unavailable(_))));
    let producer = log.producer();
    let typing = producer.append(vec![record(Topic::Typing, "c1", "now")]);
    let results = timeout(Duration::from_secs(15), typing).await.expect("typing waits");
    assert!(matches!(results[0], Err(LogError::Unavailable(_))), "{results:?}");
}
