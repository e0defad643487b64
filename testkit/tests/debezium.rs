//! Stock Debezium in the place of the built-in relay: the same topics, partitions, keys, headers and values, byte for byte,
//! and a platform that works with it. They need a Java stack that no other test does: `make test-full`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::{Context, Result, ensure};
use chatcluster_testkit::{
    Deployment, Kafka, MariaDb, OutboxConnector, Redis, Servers, WAIT, await_condition,
    client::{Resume, User},
    install,
    mariadb::BINARY_LOG,
    redis::RedisOptions,
    scratch::ScratchDir,
    servers::Namespace,
};
use futures_util::future::try_join_all;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use serde_json::json;

/// What core writes to its outbox.
const TOPICS: [&str; 3] = ["message.all", "message-status-events", "notifications"];
/// In front of the topics that Debezium fills in the comparison.
const BESIDE: &str = "debezium.";
const PATIENCE: Duration = Duration::from_secs(5);

async fn servers_with_a_binary_log() -> Result<Arc<Servers>> {
    let installed = install::ready(install::quiet).await?;
    let (kafka, redis, mariadb) = tokio::try_join!(
        Kafka::start(&installed),
        Redis::start_with(&installed, RedisOptions::default(), ScratchDir::new("redis")?),
        MariaDb::start_with(&installed, &BINARY_LOG, ScratchDir::new("mariadb")?),
    )?;
    Ok(Arc::new(Servers { kafka, more_brokers: Vec::new(), redis, mariadb }))
}

/// A record without what a broker adds to it.
#[derive(Debug, PartialEq, Eq)]
struct Record {
    headers: Vec<(String, Option<Vec<u8>>)>,
    value: Option<Vec<u8>>,
}

type ByKey = BTreeMap<(i32, Vec<u8>), Vec<Record>>;

/// One topic, looked at by a client of its own.
#[derive(Clone)]
struct Topic {
    kafka: String,
    name: String,
}

impl Topic {
    fn consumer(&self) -> Result<BaseConsumer> {
        Ok(ClientConfig::new().set("bootstrap.servers", &self.kafka).set("group.id", "comparison").create()?)
    }

    fn partitions(&self) -> Result<i32> {
        let metadata = self.consumer()?.fetch_metadata(Some(&self.name), PATIENCE)?;
        let topic = metadata.topics().first().context("no such topic")?;
        Ok(i32::try_from(topic.partitions().len())?)
    }

    fn len(&self) -> Result<i64> {
        let consumer = self.consumer()?;
        let mut sum = 0;
        for partition in 0..self.partitions()? {
            let (low, high) = consumer.fetch_watermarks(&self.name, partition, PATIENCE)?;
            sum += high - low;
        }
        Ok(sum)
    }

    /// All records, in order for each key of each partition.
    fn read(&self) -> Result<ByKey> {
        let consumer = self.consumer()?;
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions()? {
            list.add_partition_offset(&self.name, partition, Offset::Beginning)?;
        }
        consumer.assign(&list)?;
        let mut found = ByKey::new();
        for _ in 0..self.len()? {
            let message = consumer.poll(WAIT).context("records are missing")??;
            let headers = message.headers().map(|headers| {
                let all = headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)));
                all.collect::<Vec<_>>()
            });
            let record = Record { headers: headers.unwrap_or_default(), value: message.payload().map(<[u8]>::to_vec) };
            let key = message.key().context("a record without a key")?.to_vec();
            found.entry((message.partition(), key)).or_default().push(record);
        }
        Ok(found)
    }
}

/// The topic that core fills and the one beside it.
fn pair(on: &Namespace, name: &str) -> (Topic, Topic) {
    let kafka = on.kafka_bootstrap_servers.clone();
    let name = format!("{}{name}", on.kafka_prefix);
    let beside = Topic { kafka: kafka.clone(), name: format!("{BESIDE}{name}") };
    (Topic { kafka, name }, beside)
}

async fn create_beside(on: &Namespace) -> Result<()> {
    let config = ClientConfig::new().set("bootstrap.servers", &on.kafka_bootstrap_servers).clone();
    let admin: AdminClient<DefaultClientContext> = config.create()?;
    for name in TOPICS {
        let (ours, beside) = pair(on, name);
        let partitions = ours.partitions()?;
        let topic = NewTopic::new(&beside.name, partitions, TopicReplication::Fixed(1));
        for result in admin.create_topics([&topic], &AdminOptions::new()).await? {
            result.map_err(|(topic, code)| anyhow::anyhow!("{topic}: {code}"))?;
        }
    }
    Ok(())
}

/// Conversations of all kinds, with everything that is written to the outbox: messages of several senders at once, joins,
/// leaves, receipts, mentions.
async fn work(deployment: &Deployment) -> Result<()> {
    let users: Vec<User> = try_join_all(["ann", "bob", "eve"].map(|name| deployment.user(name))).await?;
    let mut rooms = Vec::new();
    for kind in ["group", "channel", "group"] {
        let (status, room) = users[0].api.create_conversation(kind, &[users[1].id.as_str()]).await?;
        ensure!(status == 201, "{status} {room}");
        rooms.push(room["id"].as_str().context("no id")?.to_owned());
    }
    let senders = users[..2].iter().enumerate().map(|(number, user)| {
        let rooms = rooms.clone();
        async move {
            let client = deployment.connect(user, 0, Resume::None).await?;
            for n in 0..120 {
                let text = match n % 4 {
                    0 => format!("plain {n}"),
                    1 => format!("q\"uote \\ back {n}\n\ttab and é 日本 🎉 \u{2028}"),
                    2 => format!("@eve {n} {{\"a\":  1.50}}"),
                    _ => "x".repeat(3000 + n),
                };
                client.send_message(&rooms[n % rooms.len()], &format!("{number}-{n}"), &text).await?;
            }
            client
                .wait_for(|frame| frame["type"] == "ACK" && frame["clientMsgId"] == format!("{number}-119"), WAIT)
                .await?;
            Ok::<_, anyhow::Error>(client)
        }
    });
    let clients = try_join_all(senders).await?;
    for room in &rooms {
        users[0].api.add_member(room, &users[2].id).await?;
        clients[1]
            .send_frame(json!({"type": "RECEIPT", "conversationId": room, "deliveredSeq": 40, "readSeq": 30}))
            .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka Connect: make test-full"]
async fn debezium_delivers_what_the_relay_does_byte_for_byte() -> Result<()> {
    let servers = servers_with_a_binary_log().await?;
    let deployment = Deployment::builder().servers(servers.clone()).cores(2).start().await?;
    let on = deployment.namespace().context("no servers")?.clone();
    create_beside(&on).await?;
    // the relay deletes at once, so there is nothing to read in the table: only what is committed from now on
    let changes =
        [("transforms.outbox.route.topic.replacement", "debezium.${routedByValue}"), ("snapshot.mode", "no_data")];
    let connector = OutboxConnector::start(&servers, &on, &changes, install::quiet).await?;

    let before: Vec<i64> = TOPICS.iter().map(|name| pair(&on, name).0.len()).collect::<Result<_>>()?;
    assert_eq!(before, [0, 0, 0], "nothing was written before the connector followed the log");
    work(&deployment).await?;
    let empty = || async {
        let rows = servers.mariadb.query(&on.database_name, "SELECT COUNT(*) FROM message_producer_outbox").await?;
        ensure!(rows[0][0] == "0", "{} rows are left", rows[0][0]);
        for name in TOPICS {
            let (ours, beside) = pair(&on, name);
            let (ours, beside) = (ours.len()?, beside.len()?);
            ensure!(ours > 0 && ours == beside, "{name}: {ours} of the relay, {beside} of Debezium");
        }
        Ok(())
    };
    await_condition("both have published everything", WAIT * 2, empty).await?;
    for name in TOPICS {
        let (ours, beside) = pair(&on, name);
        let (ours, beside) =
            tokio::task::spawn_blocking(move || Ok::<_, anyhow::Error>((ours.read()?, beside.read()?))).await??;
        let count: usize = ours.values().map(Vec::len).sum();
        eprintln!("{name}: {count} records of {} keys compared", ours.len());
        for (key, records) in &ours {
            let theirs = beside.get(key).with_context(|| format!("{name}: Debezium has nothing at {key:?}"))?;
            for (record, other) in records.iter().zip(theirs) {
                assert_eq!(record, other, "{name}");
            }
            assert_eq!(records.len(), theirs.len(), "{name}");
        }
        assert_eq!(ours.len(), beside.len(), "{name}");
    }
    connector.process().stop().await?;
    deployment.stop().await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka Connect: make test-full"]
async fn the_platform_works_with_debezium_as_its_relay() -> Result<()> {
    let servers = servers_with_a_binary_log().await?;
    let deployment = Deployment::builder()
        .servers(servers.clone())
        .env_of("core", "CHATCLUSTER_OUTBOX_RELAY", "external")
        .env_of("core", "CHATCLUSTER_OUTBOX_KEEP", "1h")
        .start()
        .await?;
    let on = deployment.namespace().context("no servers")?.clone();
    let users: Vec<User> = try_join_all(["ann", "bob"].map(|name| deployment.user(name))).await?;
    let (status, room) = users[0].api.create_conversation("group", &[users[1].id.as_str()]).await?;
    ensure!(status == 201, "{status} {room}");
    let room = room["id"].as_str().context("no id")?;
    let (sender, reader) =
        (deployment.connect(&users[0], 0, Resume::None).await?, deployment.connect(&users[1], 0, Resume::None).await?);
    let send = async |from: u64, to: u64| {
        for n in from..=to {
            sender.send_message(room, &format!("m{n}"), &format!("text {n}")).await?;
        }
        let last = format!("m{to}");
        sender.wait_for(|frame| frame["type"] == "ACK" && frame["clientMsgId"] == last.as_str(), WAIT).await
    };
    // committed before the connector's first start: it reads the table
    send(1, 20).await?;
    let connector = OutboxConnector::start(&servers, &on, &[], install::quiet).await?;
    reader.wait_for(|frame| frame["seq"] == 20, WAIT * 2).await?;
    send(21, 60).await?;
    reader.wait_for(|frame| frame["seq"] == 60, WAIT).await?;
    connector.process().kill9().await?;
    send(61, 100).await?;
    connector.process().start_again().await?;
    reader.wait_for(|frame| frame["seq"] == 100, WAIT * 2).await?;
    assert_eq!(reader.seqs_of(room), (1..=100).collect::<Vec<_>>());
    // an hour later
    let age = "UPDATE message_producer_outbox SET created_at = created_at - 3600001";
    servers.mariadb.query(&on.database_name, age).await?;
    let kept_small = || async {
        let rows = servers.mariadb.query(&on.database_name, "SELECT COUNT(*) FROM message_producer_outbox").await?;
        ensure!(rows[0][0] == "0", "{} rows are left", rows[0][0]);
        Ok(())
    };
    await_condition("old rows are deleted", WAIT, kept_small).await?;
    deployment.stop().await
}
