//! The log of a Kafka that asks who you are: over TLS, with a password by either mechanism, under ACLs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use bytes::Bytes;
use chatcluster_contracts::topics::{Group, Topic};
use chatcluster_service::config::Secret;
use chatcluster_testkit::{
    Kafka, WAIT, install,
    kafka::{KafkaOptions as ServerOptions, KafkaUser, Operation, Resource},
    scratch::ScratchDir,
};
use chatcluster_transport::event_log::{
    Consumed, EventLog, NewRecord,
    kafka::{KafkaLog, KafkaOptions, provision},
};
use tokio::time::timeout;

fn options(kafka: &Kafka, mechanism: &str, prefix: &str, user: &str, password: &str) -> KafkaOptions {
    KafkaOptions {
        kafka_bootstrap_servers: kafka.secured_bootstrap_servers().unwrap(),
        kafka_security_protocol: "SASL_SSL".into(),
        kafka_sasl_mechanism: mechanism.into(),
        kafka_sasl_username: Some(user.into()),
        kafka_sasl_password: Some(Secret::new(password)),
        kafka_ca_file: Some(kafka.authority_file().unwrap().to_owned()),
        kafka_prefix: prefix.into(),
        ..KafkaOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_the_password_produces_and_consumes_by_either_mechanism_and_nobody_else_does() {
    let user = KafkaUser::new("chatcluster");
    let server = ServerOptions { users: vec![user.clone()], ..ServerOptions::default() };
    let installed = install::ready(install::quiet).await.unwrap();
    let kafka = Kafka::start_as(&installed, server, ScratchDir::new("kafka").unwrap()).await.unwrap();
    for (mechanism, prefix) in [("SCRAM-SHA-512", "scram."), ("PLAIN", "plain.")] {
        // all that the platform needs there, and nothing beyond its prefix
        let rights = [(Resource::Topics { prefix }, Operation::All), (Resource::Groups { prefix }, Operation::All)];
        kafka.allow(&user.name, &rights).await.unwrap();
        let options = options(&kafka, mechanism, prefix, &user.name, &user.password);
        provision::apply(&options, None).await.unwrap();
        let log = KafkaLog::new(&options).unwrap();
        let record = NewRecord {
            topic: Topic::Status,
            dead_letter: false,
            key: "ann".into(),
            value: Bytes::from_static(b"{}"),
            headers: Vec::new(),
        };
        assert!(timeout(WAIT, log.producer().append(vec![record])).await.unwrap()[0].is_ok(), "{mechanism}");
        let mut consumer = log.subscribe(Group::Fanout, &[Topic::Status]).await.unwrap();
        let read = timeout(WAIT, async {
            loop {
                if let Ok(Consumed::Record(record)) = consumer.next().await {
                    return record;
                }
            }
        });
        assert_eq!(read.await.expect("nothing is read").value, Bytes::from_static(b"{}"), "{mechanism}");
        consumer.close().await;
    }

    let wrong = options(&kafka, "PLAIN", "plain.", &user.name, "not-the-password");
    let refused = KafkaLog::new(&wrong).unwrap().producer().check().await.unwrap_err().to_string();
    assert!(!refused.contains("not-the-password"), "{refused}");
    let open = KafkaOptions { kafka_security_protocol: "plaintext".into(), ..wrong };
    assert!(KafkaLog::new(&open).unwrap().producer().check().await.is_err(), "without TLS nobody is heard");
}
