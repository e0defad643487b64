//! Where users are connected, as the worker knows it: never less than what was acknowledged, and asked for only when
//! something changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use chatcluster_contracts::ids::{BootId, ConnectionId, Node, UserId};
use chatcluster_testkit::{Redis, install, redis::Reply};
use chatcluster_transport::gateway_streams::{
    GatewayStreams, Registration, Registry,
    memory::MemoryStreams,
    redis::{RedisOptions, RedisStreams},
};
use chatcluster_worker::resolve::Connections;

const LEASE: Duration = Duration::from_mins(1);

fn connection(node: &str, user: &str) -> Registration {
    Registration {
        connection_id: ConnectionId::parse(&format!("{node}~{user}")).unwrap(),
        user_id: UserId::parse(user).unwrap(),
        boot_id: BootId::parse("b1").unwrap(),
        connected_at_ms: 0,
    }
}

async fn lease(registry: &dyn Registry, node: &str) {
    registry.renew_lease(&Node::parse(node).unwrap(), &BootId::parse("b1").unwrap(), LEASE).await.unwrap();
}

/// `user: node+node …` of those connected.
async fn routes(connections: &Connections, users: &[&str]) -> String {
    let users: HashSet<UserId> = users.iter().map(|user| UserId::parse(user).unwrap()).collect();
    let found: BTreeMap<UserId, Vec<Node>> = connections.routes(&users).await.unwrap().into_iter().collect();
    let shown = found
        .iter()
        .map(|(user, nodes)| format!("{user}: {}", nodes.iter().map(Node::as_str).collect::<Vec<_>>().join("+")));
    shown.collect::<Vec<_>>().join(" ")
}

async fn every_acknowledged_change_is_seen(registry: Arc<dyn Registry>, flush: impl AsyncFn()) {
    let connections = Connections::new(Arc::clone(&registry));
    let all = ["ann", "bob", "cem"];
    lease(&*registry, "g1").await;
    lease(&*registry, "g2").await;
    registry.register(&[connection("g1", "ann"), connection("g1", "bob")]).await.unwrap();
    for _ in 0..2 {
        assert_eq!(routes(&connections, &all).await, "ann: g1 bob: g1");
    }
    // between two events: a second connection, and one of a user remembered as absent
    registry.register(&[connection("g2", "ann")]).await.unwrap();
    assert_eq!(routes(&connections, &all).await, "ann: g1+g2 bob: g1");
    registry.register(&[connection("g2", "cem")]).await.unwrap();
    assert_eq!(routes(&connections, &all).await, "ann: g1+g2 bob: g1 cem: g2");
    registry.unregister(&[connection("g1", "ann")]).await.unwrap();
    assert_eq!(routes(&connections, &all).await, "ann: g2 bob: g1 cem: g2");
    registry.release_lease(&Node::parse("g2").unwrap(), &BootId::parse("b1").unwrap()).await.unwrap();
    registry.prune(&UserId::parse("cem").unwrap(), &[connection("g2", "cem").connection_id]).await.unwrap();
    lease(&*registry, "g2").await;
    assert_eq!(routes(&connections, &all).await, "ann: g2 bob: g1");

    flush().await;
    assert_eq!(routes(&connections, &all).await, "", "what was remembered is gone with what it was read from");
    lease(&*registry, "g1").await;
    registry.register(&[connection("g1", "cem")]).await.unwrap();
    assert_eq!(routes(&connections, &all).await, "cem: g1");
    registry.register(&[connection("g1", "ann")]).await.unwrap();
    assert_eq!(routes(&connections, &all).await, "ann: g1 cem: g1");
}

#[tokio::test]
async fn every_acknowledged_change_is_seen_in_memory() {
    let streams = MemoryStreams::new();
    every_acknowledged_change_is_seen(streams.registry(), async || streams.flush()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_change_is_seen_in_redis() {
    let server = Redis::start(&install::ready(install::quiet).await.unwrap()).await.unwrap();
    let streams = RedisStreams::new(&RedisOptions::at(&server.url())).unwrap();
    every_acknowledged_change_is_seen(streams.registry(), async || server.flush().await.unwrap()).await;
}

/// Registrations race with events on all sides; none acknowledged is ever missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_registration_is_missed_however_events_and_registrations_interleave() {
    let server = Redis::start(&install::ready(install::quiet).await.unwrap()).await.unwrap();
    let streams = RedisStreams::new(&RedisOptions::at(&server.url())).unwrap();
    let registry = streams.registry();
    let connections = Arc::new(Connections::new(Arc::clone(&registry)));
    lease(&*registry, "g1").await;
    // few users, so that many share a slice and are read again and again
    let users: Vec<String> = (0..24).map(|i| format!("u{i}")).collect();
    let noise = tokio::spawn({
        let (connections, users) = (Arc::clone(&connections), users.clone());
        async move {
            loop {
                routes(&connections, &users.iter().map(String::as_str).collect::<Vec<_>>()).await;
            }
        }
    });
    let tasks: Vec<_> = users
        .into_iter()
        .map(|user| {
            let (registry, connections) = (Arc::clone(&registry), Arc::clone(&connections));
            tokio::spawn(async move {
                for _ in 0..15 {
                    registry.register(&[connection("g1", &user)]).await.unwrap();
                    assert_eq!(routes(&connections, &[&user]).await, format!("{user}: g1"));
                    registry.unregister(&[connection("g1", &user)]).await.unwrap();
                    assert_eq!(routes(&connections, &[&user]).await, "");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    noise.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_changed_is_not_asked_for_again() {
    let server = Redis::start(&install::ready(install::quiet).await.unwrap()).await.unwrap();
    let streams = RedisStreams::new(&RedisOptions::at(&server.url())).unwrap();
    let registry = streams.registry();
    let connections = Connections::new(Arc::clone(&registry));
    lease(&*registry, "g1").await;
    let users: Vec<String> = (0..300).map(|i| format!("u{i}")).collect();
    let users: Vec<&str> = users.iter().map(String::as_str).collect();
    let looked_up = async || match server.command(&["INFO", "commandstats"]).await.unwrap() {
        Reply::Text(stats) => stats
            .lines()
            .find_map(|line| line.strip_prefix("cmdstat_smembers:calls=")?.split(',').next()?.parse::<u32>().ok())
            .unwrap_or_default(),
        other => panic!("{other:?}"),
    };
    registry.register(&users.iter().map(|user| connection("g1", user)).collect::<Vec<_>>()).await.unwrap();
    let all = routes(&connections, &users).await;
    assert_eq!((looked_up().await, all.matches("g1").count()), (300, 300));
    for _ in 0..5 {
        assert_eq!(routes(&connections, &users).await, all);
    }
    assert_eq!(looked_up().await, 300);
    registry.unregister(&[connection("g1", "u7")]).await.unwrap();
    routes(&connections, &users).await;
    let again = looked_up().await - 300;
    assert!((1..=30).contains(&again), "{again} users share the slice of the one that left");
}
