//! The database stopped and frozen: refused clearly and in bounded time, and back by itself.

use std::time::{Duration, Instant};

use chatcluster_service::config::Secret;
use chatcluster_testkit::{MariaDb, WAIT, await_condition, install};
use serde_json::json;

use crate::{
    platform::Platform,
    support::{add_user, open},
};

/// Longer than a pooled connection is used without being asked whether it still lives.
const IDLE: Duration = Duration::from_millis(2_100);

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_while_idle_cost_nobody_a_query() {
    let database = MariaDb::start(&install::ready(install::quiet).await.unwrap()).await.unwrap();
    let store = open(&Secret::new(database.url()));
    store.migrate().await.unwrap();
    let ann = add_user(&store, "ann").await;
    // several connections, all in the pool when the server goes
    let reads: Vec<_> = (0..4).map(|_| store.user(&ann)).collect();
    assert!(futures_util::future::join_all(reads).await.iter().all(Result::is_ok));
    database.process().kill9().await.unwrap();
    let died = Instant::now();
    database.process().start_again().await.unwrap();
    tokio::time::sleep(IDLE.saturating_sub(died.elapsed())).await;
    for _ in 0..8 {
        assert!(store.user(&ann).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_died_just_after_use_fail_a_query_each_at_most() {
    let database = MariaDb::start(&install::ready(install::quiet).await.unwrap()).await.unwrap();
    let store = open(&Secret::new(database.url()));
    store.migrate().await.unwrap();
    let ann = add_user(&store, "ann").await;
    let reads: Vec<_> = (0..4).map(|_| store.user(&ann)).collect();
    assert!(futures_util::future::join_all(reads).await.iter().all(Result::is_ok));
    database.process().kill9().await.unwrap();
    database.process().start_again().await.unwrap();
    let mut failed = 0;
    for _ in 0..12 {
        failed += usize::from(store.user(&ann).await.is_err());
    }
    assert!(failed <= 4, "{failed} queries failed");
    assert!(store.user(&ann).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_every_call_says_so_and_none_hangs() {
    let database = MariaDb::start(&install::ready(install::quiet).await.unwrap()).await.unwrap();
    let url = Secret::new(database.url());
    let platform = Platform::start_with(|options| options.database_url = url).await;
    platform.core.migrated().await;
    let ann = platform.api().user("ann").await.unwrap();
    let (_, room) = ann.api.create_conversation("group", &[]).await.unwrap();
    let room = room["id"].as_str().unwrap();
    assert_eq!(ann.api.send(room, "m1", "before").await.unwrap().0, 201);
    for (round, frozen) in [false, true].into_iter().enumerate() {
        if frozen {
            database.process().pause().unwrap();
        } else {
            database.process().kill9().await.unwrap();
        }
        let name = format!("during-{round}");
        let asked = Instant::now();
        let (send, list, hello) = tokio::join!(
            ann.api.send(room, &name, "during"),
            ann.api.conversations(),
            ann.api.login("ann", "a long password of ann")
        );
        for (status, problem) in [send.unwrap(), list.unwrap(), hello.unwrap()] {
            assert_eq!((status, &problem["code"]), (503, &json!("unavailable")), "{problem}");
        }
        assert!(asked.elapsed() < Duration::from_secs(14), "{:?}", asked.elapsed());
        await_condition("/readyz names the database", WAIT, || async {
            let (status, ready) = platform.api().get("/readyz").await.unwrap();
            let down = ready["dependencies"]["database"]["up"] == false;
            if status == 503 && down { Ok(()) } else { Err(format!("{status} {ready}")) }
        })
        .await
        .unwrap();
        if frozen {
            database.process().resume().unwrap();
        } else {
            database.process().start_again().await.unwrap();
        }
        // the same send again: stored once, whatever became of the first attempt
        await_condition("sends are stored again", WAIT, || async {
            let (status, answer) = ann.api.send(room, &name, "during").await.unwrap();
            if status < 300 { Ok(()) } else { Err(format!("{status} {answer}")) }
        })
        .await
        .unwrap();
        await_condition("ready again", WAIT, || async {
            let (status, ready) = platform.api().get("/readyz").await.unwrap();
            if status == 200 { Ok(()) } else { Err(ready.to_string()) }
        })
        .await
        .unwrap();
    }
    let (_, log) = ann.api.events(room, 0, 10).await.unwrap();
    let seqs: Vec<_> = log["events"].as_array().unwrap().iter().map(|event| event["seq"].clone()).collect();
    assert_eq!(seqs, [1, 2, 3], "{log}");
}
