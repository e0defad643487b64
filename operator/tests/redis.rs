//! The gateways' streams, on a real Redis.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

use std::{collections::BTreeSet, time::Instant};

use chatcluster_contracts::{ids::Node, redis_keys::Keys};
use chatcluster_operator::redis::{ConnectionOptions, Connections, Error, Redis, policy, streams};
use chatcluster_testkit::{
    WAIT, install,
    redis::{Redis as Server, RedisCluster, RedisOptions, Reply, Tls},
    scratch::ScratchDir,
};

fn options(url: &str) -> ConnectionOptions {
    ConnectionOptions { url: url.to_owned(), username: None, password: None, ca_pem: None, cluster: false }
}

/// A server with a password, and the operator's way to it.
async fn server() -> (Server, Redis) {
    let server = Server::start(&install::ready(install::quiet).await.unwrap()).await.unwrap();
    let redis = Connections::new().get(&options(&server.url())).unwrap();
    (server, redis)
}

fn keys() -> Keys {
    Keys::with_prefix("t:")
}

fn nodes(names: &[&str]) -> Vec<Node> {
    names.iter().map(|name| Node::parse(name).unwrap()).collect()
}

fn living(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn exists(server: &Server, key: &str) -> bool {
    server.command(&["EXISTS", key]).await.unwrap() == Reply::Number(1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_and_its_group_are_there_before_the_gateway_and_keep_what_came_early() {
    let (server, redis) = server().await;
    let made = streams::provision(&redis, &keys(), &nodes(&["gw-a", "gw-b"])).await.unwrap();
    assert_eq!(made, nodes(&["gw-a", "gw-b"]));
    server.command(&["XADD", "t:gatewayId:gw-a:stream", "*", "k", "v"]).await.unwrap();

    let again = streams::provision(&redis, &keys(), &nodes(&["gw-a", "gw-b", "gw-c"])).await.unwrap();

    assert_eq!(again, nodes(&["gw-c"]), "those there are left alone");
    let read = ["XREADGROUP", "GROUP", "gateway", "boot", "STREAMS", "t:gatewayId:gw-a:stream", ">"];
    assert!(matches!(server.command(&read).await.unwrap(), Reply::List(_)), "the group starts at the first entry");
    assert_eq!(streams::provision(&redis, &keys(), &[]).await, Ok(Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_goes_when_its_pod_is_gone_and_its_lease_has_expired() {
    let (server, redis) = server().await;
    streams::provision(&redis, &keys(), &nodes(&["gw-alive", "gw-draining", "gw-gone"])).await.unwrap();
    server.command(&["SET", "t:gateway-lease:gw-draining", "boot"]).await.unwrap();
    server.command(&["XADD", "t:gatewayId:gw-foreign:stream", "*", "k", "v"]).await.unwrap();

    let removed = streams::remove_gone(&redis, &keys(), &living(&["gw-alive"])).await.unwrap();

    assert_eq!(removed, ["gw-gone"]);
    assert!(!exists(&server, "t:gatewayId:gw-gone:stream").await);
    for kept in ["gw-alive", "gw-draining", "gw-foreign"] {
        assert!(exists(&server, &format!("t:gatewayId:{kept}:stream")).await, "{kept}");
    }
    server.command(&["DEL", "t:gateway-lease:gw-draining"]).await.unwrap();
    assert_eq!(streams::remove_gone(&redis, &keys(), &living(&["gw-alive"])).await.unwrap(), ["gw-draining"]);
    assert!(streams::remove_gone(&redis, &keys(), &living(&["gw-alive"])).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_streams_of_one_cluster_are_removed_and_nothing_else() {
    let (server, redis) = server().await;
    streams::provision(&redis, &keys(), &nodes(&["gw-a", "gw-b"])).await.unwrap();
    let other = Keys::with_prefix("other:");
    streams::provision(&redis, &other, &nodes(&["gw-a"])).await.unwrap();

    assert_eq!(streams::remove_all(&redis, &keys()).await, Ok(2));

    assert!(!exists(&server, "t:gatewayId:gw-a:stream").await && !exists(&server, "t:gateway-nodes").await);
    assert!(exists(&server, "other:gatewayId:gw-a:stream").await);
    assert_eq!(streams::remove_all(&redis, &keys()).await, Ok(0), "already gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evicting_policy_is_seen_without_the_right_to_read_the_configuration() {
    let (server, redis) = server().await;
    let policy = || async { policy::maxmemory_policy(&redis).await.unwrap().unwrap() };
    assert_eq!(policy().await.evicts, policy::Evicts::Nothing);
    for (name, evicts) in [("volatile-ttl", policy::Evicts::KeysWithExpiry), ("allkeys-lru", policy::Evicts::AnyKey)] {
        server.command(&["CONFIG", "SET", "maxmemory-policy", name]).await.unwrap();
        let found = policy().await;
        assert_eq!((found.name.as_str(), found.evicts), (name, evicts));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_least_rights_are_enough_and_fewer_are_told() {
    let (server, _) = server().await;
    let rights = ["+xgroup", "+del", "+sadd", "+srem", "+smembers", "+exists", "+info", "~t:*"];
    server.command(&[&["ACL", "SETUSER", "op", "on", ">geheim"][..], &rights].concat()).await.unwrap();
    server.command(&["ACL", "SETUSER", "guest", "on", ">geheim", "+ping", "~*"]).await.unwrap();
    let as_user = |user: &str, password: &str| {
        let (user, password) = (Some(user.to_owned()), Some(password.to_owned()));
        let way = ConnectionOptions { username: user, password, ..options(&server.url()) };
        Connections::new().get(&way).unwrap()
    };
    let op = as_user("op", "geheim");
    streams::provision(&op, &keys(), &nodes(&["gw-a"])).await.unwrap();
    assert_eq!(streams::remove_gone(&op, &keys(), &living(&[])).await.unwrap(), ["gw-a"]);
    assert!(policy::maxmemory_policy(&op).await.unwrap().is_some());

    let guest = as_user("guest", "geheim");
    let refused = streams::provision(&guest, &keys(), &nodes(&["gw-a"])).await.unwrap_err();
    assert!(matches!(&refused, Error::Refused(text) if !text.contains("geheim")), "{refused}");
    assert_eq!(policy::maxmemory_policy(&guest).await, Ok(None), "not allowed to look");
    let wrong = streams::remove_all(&as_user("op", "wrong"), &keys()).await.unwrap_err();
    assert!(matches!(&wrong, Error::Refused(_)), "{wrong}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_is_an_error_in_time_and_is_got_over() {
    let installed = install::ready(install::quiet).await.unwrap();
    let settings = RedisOptions { durable: true, ..RedisOptions::default() };
    let server = Server::start_with(&installed, settings, ScratchDir::new("redis").unwrap()).await.unwrap();
    let redis = Connections::new().get(&options(&server.url())).unwrap();
    streams::provision(&redis, &keys(), &nodes(&["gw-a"])).await.unwrap();

    server.process().pause().unwrap();
    let started = Instant::now();
    let silent = streams::remove_all(&redis, &keys()).await.unwrap_err();
    assert!(matches!(silent, Error::Unavailable(_)) && started.elapsed() < WAIT, "{silent} {:?}", started.elapsed());
    server.process().resume().unwrap();
    server.process().kill9().await.unwrap();
    let away = streams::remove_all(&redis, &keys()).await.unwrap_err();
    assert!(matches!(away, Error::Unavailable(_)), "{away}");
    server.process().start_again().await.unwrap();
    assert_eq!(streams::remove_all(&redis, &keys()).await, Ok(1), "a new connection");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_only_a_server_that_the_authority_signed_is_believed() {
    let installed = install::ready(install::quiet).await.unwrap();
    let settings = RedisOptions { tls: Tls::Only, ..RedisOptions::default() };
    let server = Server::start_with(&installed, settings, ScratchDir::new("redis").unwrap()).await.unwrap();
    let trusting = |ca: Option<String>| {
        let way = ConnectionOptions { ca_pem: ca, ..options(&server.url()) };
        Connections::new().get(&way).unwrap()
    };
    let redis = trusting(Some(server.authority().unwrap()));
    assert_eq!(streams::provision(&redis, &keys(), &nodes(&["gw-a"])).await.unwrap().len(), 1);
    assert!(policy::maxmemory_policy(&redis).await.unwrap().is_some());
    assert_eq!(streams::remove_all(&redis, &keys()).await, Ok(1));

    let stranger = chatcluster_testkit::certificates::Authority::new().unwrap().pem();
    for distrusted in [trusting(None), trusting(Some(stranger))] {
        assert!(streams::remove_all(&distrusted, &keys()).await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_cluster_streams_leases_and_index_are_on_different_servers() {
    let installed = install::ready(install::quiet).await.unwrap();
    let cluster = RedisCluster::start(&installed, RedisOptions::default()).await.unwrap();
    let way = ConnectionOptions { cluster: true, ..options(&cluster.urls()[1]) };
    let redis = Connections::new().get(&way).unwrap();
    // As different as names of pods are: the slots of names that differ in a digit are next to each other.
    let name = |number: u32| format!("gateway-{:x}", number.wrapping_mul(2_654_435_761));
    let names: Vec<String> = (0..20).map(name).collect();
    let all: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(streams::provision(&redis, &keys(), &nodes(&all)).await.unwrap(), nodes(&all));
    assert_eq!(streams::provision(&redis, &keys(), &nodes(&all)).await, Ok(Vec::new()));
    for node in cluster.nodes() {
        assert_ne!(node.command(&["DBSIZE"]).await.unwrap(), Reply::Number(0), "each has some");
    }
    let lease = keys().gateway_lease(all[7]);
    cluster.command(&["SET", &lease, "boot"]).await.unwrap();
    let removed = streams::remove_gone(&redis, &keys(), &living(&all[10..])).await.unwrap();
    let removed: BTreeSet<&str> = removed.iter().map(String::as_str).collect();
    assert_eq!(removed, all[..10].iter().copied().filter(|name| *name != all[7]).collect());

    cluster.nodes()[2].command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]).await.unwrap();
    let policy = policy::maxmemory_policy(&redis).await.unwrap().unwrap();
    assert_eq!(policy.evicts, policy::Evicts::AnyKey, "of one is of all");

    assert_eq!(streams::remove_all(&redis, &keys()).await, Ok(11));
    cluster.command(&["DEL", &lease]).await.unwrap();
    for node in cluster.nodes() {
        assert_eq!(node.command(&["DBSIZE"]).await.unwrap(), Reply::Number(0));
    }
}
