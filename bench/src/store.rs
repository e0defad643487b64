//! Sends a second into MariaDB, through the store that core uses, with everything a send entails: seq under the row lock,
//! message, event and outbox row, one durable commit. A task empties the outbox meanwhile, as the relay would.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use chatcluster_contracts::{
    ids::{ClientMsgId, ConversationId, UserId, WorkspaceId},
    topics::Names,
};
use chatcluster_core::{
    domain::{
        conversation::Kind,
        message::{Content, NewMessage},
    },
    store::{NewConversation, Store, StoreOptions, User},
};
use chatcluster_service::config::Secret;
use chatcluster_testkit::{MariaDb, install};
use clap::Args;
use serde_json::json;

use crate::percentiles::Samples;

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each case lasts, seconds
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Tasks that combine sends into transactions
    #[arg(long, default_value_t = 2)]
    lanes: usize,
}

/// Senders, and whether each has a conversation of its own.
const CASES: [(usize, bool); 5] = [(1, true), (8, true), (32, true), (8, false), (32, false)];
const SHARDS: u32 = 8;

pub(crate) async fn run(options: Options) -> Result<()> {
    let installed = install::ready(install::quiet).await?;
    let database = MariaDb::start(&installed).await?;
    let url = Secret::new(database.create_database("bench").await?);
    let names = Names::default();
    let store =
        Store::open(&StoreOptions { url, names, outbox_shards: SHARDS, append_lanes: options.lanes, pool_size: 16 })?;
    store.migrate().await?;
    for shard in 0..SHARDS {
        tokio::spawn(empty_outbox(store.clone(), shard));
    }
    println!("{:>8} {:>14} {:>10} {:>10} {:>10}", "senders", "conversations", "sends/s", "p50 ms", "p99 ms");
    let mut results = Vec::new();
    for (senders, distinct) in CASES {
        let users = users(&store, senders, distinct).await?;
        let conversations = conversations(&store, &users, distinct).await?;
        // once to warm the statement caches
        load(&store, &users, &conversations, Duration::from_secs(1), "warm").await?;
        let (mut samples, elapsed) =
            load(&store, &users, &conversations, Duration::from_secs(options.seconds), "run").await?;
        let rate = samples.len() as f64 / elapsed.as_secs_f64();
        let [p50, p99] = samples.percentiles([50.0, 99.0]);
        let shown = if distinct { "one each" } else { "one for all" };
        println!("{senders:>8} {shown:>14} {rate:>10.0} {p50:>10.2} {p99:>10.2}");
        results
            .push(json!({"senders": senders, "distinct": distinct, "sends_per_s": rate, "p50_ms": p50, "p99_ms": p99}));
    }
    println!("{}", json!({"bench": "store", "lanes": options.lanes, "results": results}));
    store.close().await;
    Ok(())
}

/// Reads and deletes as often as the relay does, for as long as the benchmark runs.
async fn empty_outbox(store: Store, shard: u32) {
    let mut ticks = tokio::time::interval(Duration::from_millis(100));
    loop {
        ticks.tick().await;
        let rows = store.outbox_rows(shard, &[], 2000).await.unwrap_or_default();
        let ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
        for chunk in ids.chunks(500) {
            // what could not be deleted is read again
            let _ = store.outbox_delete(chunk).await;
        }
    }
}

async fn users(store: &Store, count: usize, distinct: bool) -> Result<Vec<UserId>> {
    let mut users = Vec::new();
    for i in 0..count {
        let id = UserId::parse(&format!("sender-{count}-{distinct}-{i}"))?;
        let user = User {
            id: id.clone(),
            workspace_id: WorkspaceId::default(),
            username: Some(id.to_string()),
            display_name: id.to_string(),
            issuer: None,
        };
        store.create_user(&user, None).await.context("failed to create a user")?;
        users.push(id);
    }
    Ok(users)
}

/// The conversation of each sender.
async fn conversations(store: &Store, users: &[UserId], distinct: bool) -> Result<Vec<ConversationId>> {
    let create = async |creator: &UserId, members: &[UserId]| {
        let new = NewConversation {
            workspace_id: WorkspaceId::default(),
            kind: Kind::Group,
            name: Some("bench".into()),
            open: false,
            fanout: None,
            creator_id: creator.clone(),
            members: members.to_vec(),
        };
        store.create_conversation(&new).await.map(|(conversation, _)| conversation.id)
    };
    let mut conversations = Vec::new();
    if distinct {
        for user in users {
            conversations.push(create(user, &[]).await?);
        }
    } else {
        let one = create(&users[0], &users[1..]).await?;
        conversations.resize(users.len(), one);
    }
    Ok(conversations)
}

async fn load(
    store: &Store,
    users: &[UserId],
    conversations: &[ConversationId],
    time: Duration,
    run: &'static str,
) -> Result<(Samples, Duration)> {
    let start = Instant::now();
    let tasks: Vec<_> = users
        .iter()
        .zip(conversations)
        .map(|(user, conversation)| {
            let (store, user, conversation) = (store.clone(), user.clone(), conversation.clone());
            tokio::spawn(async move {
                let mut samples = Samples::default();
                while start.elapsed() < time {
                    let message = NewMessage {
                        sender_id: user.clone(),
                        workspace_id: WorkspaceId::default(),
                        conversation_id: conversation.clone(),
                        client_msg_id: ClientMsgId::parse(&format!("{run}-{}", samples.len()))?,
                        content: Content::parse("a message, as long as people's messages tend to be".into())?,
                        thread_root_id: None,
                        attachment_ids: Vec::new(),
                        trace: None,
                    };
                    let sent = Instant::now();
                    store.send(message).await?;
                    samples.add(sent.elapsed());
                }
                anyhow::Ok(samples)
            })
        })
        .collect();
    let mut all = Samples::default();
    for task in tasks {
        all.merge(&task.await??);
    }
    Ok((all, start.elapsed()))
}
