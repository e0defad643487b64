//! Receipts: marks move forward only, senders are told once a move, unread follows.

use chatcluster_contracts::{
    ids::{ConversationId, WorkspaceId},
    problem::{Code, Problem},
    record::{Status, StatusRecord},
    seq::Seq,
};
use chatcluster_core::domain::conversation::Kind;

use crate::support::{TestStore, add_user, conversation, message, user_id};

crate::over_both!(
    marks_move_forward_and_never_past_the_head,
    senders_hear_of_each_move_once,
    senders_hear_that_their_messages_are_stored,
    unread_counts_what_others_wrote
);

async fn mark(store: &TestStore, room: &ConversationId, user: &str, delivered: u64, read: u64) -> (u64, u64) {
    let some = |value| Some(value).filter(|value| *value > 0).map(Seq::new);
    let workspace = WorkspaceId::default();
    let marks = store.move_watermarks(room, &workspace, &user_id(user), some(delivered), some(read)).await.unwrap();
    (marks.delivered.get(), marks.read.get())
}

/// What the outbox has for senders of what others did: key, status, seq.
async fn told(store: &TestStore) -> Vec<(String, Status, u64)> {
    let mut told = Vec::new();
    for shard in 0..8 {
        for row in store.outbox_rows(shard, &[], 500).await.unwrap() {
            if row.topic == "t.message-status-events" {
                let record: StatusRecord = serde_json::from_str(&row.payload).unwrap();
                assert_eq!(row.event_type, record.status.as_str());
                if record.status == Status::Sent {
                    assert_eq!(record.user_id.as_str(), row.key);
                    continue;
                }
                assert_eq!(record.user_id, user_id("cem"));
                told.push((row.position, row.key, record.status, record.seq.unwrap().get()));
            }
        }
    }
    told.sort_by_key(|row| row.0);
    told.into_iter().map(|(_, key, status, seq)| (key, status, seq)).collect()
}

async fn marks_move_forward_and_never_past_the_head(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann", "bob"]).await;
    for i in 0..5 {
        store.send(message("ann", &room, &format!("m{i}"), "x")).await.unwrap();
    }
    assert_eq!(mark(&store, &room, "bob", 3, 0).await, (3, 0));
    assert_eq!(mark(&store, &room, "bob", 1, 2).await, (3, 2));
    assert_eq!(mark(&store, &room, "bob", 0, 99).await, (5, 5));
    assert_eq!(mark(&store, &room, "bob", 1, 1).await, (5, 5));
    add_user(&store, "eve").await;
    let workspace = WorkspaceId::default();
    let refused = store.move_watermarks(&room, &workspace, &user_id("eve"), Some(Seq::new(1)), None).await.unwrap_err();
    assert_eq!(Problem::from(refused).code, Code::NotAMember);
    let marks = store.member_watermarks(&room).await.unwrap();
    let marks: Vec<_> = marks.iter().map(|m| (m.user_id.as_str(), m.marks.read.get())).collect();
    assert_eq!(marks, [("ann", 0), ("bob", 5)]);
}

async fn senders_hear_of_each_move_once(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann", "bob", "cem"]).await;
    for (i, sender) in ["ann", "ann", "bob", "cem", "ann"].into_iter().enumerate() {
        store.send(message(sender, &room, &format!("m{i}"), "x")).await.unwrap();
    }
    mark(&store, &room, "cem", 4, 0).await;
    mark(&store, &room, "cem", 4, 0).await;
    let mut first = told(&store).await;
    first.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(first, [("ann".into(), Status::Delivered, 2), ("bob".into(), Status::Delivered, 3)]);
    mark(&store, &room, "cem", 5, 2).await;
    let then: Vec<_> = told(&store).await.split_off(2);
    assert_eq!(then, [("ann".into(), Status::Read, 2), ("ann".into(), Status::Delivered, 5)]);
}

/// What the log gets of a conversation is all in one shard: the message, then that it is stored, then who received it.
async fn senders_hear_that_their_messages_are_stored(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann", "bob"]).await;
    let sent = store.send(message("ann", &room, "m1", "x")).await.unwrap();
    store.send(message("ann", &room, "m1", "x")).await.unwrap();
    mark(&store, &room, "bob", 1, 1).await;
    let mut rows = Vec::new();
    for shard in 0..8 {
        let of_shard = store.outbox_rows(shard, &[], 500).await.unwrap();
        let of_room = of_shard.into_iter().filter(|row| row.topic != "t.notifications");
        rows.extend(of_room.map(|row| (shard, row.event_type, row.key, row.payload)));
    }
    let types: Vec<_> = rows.iter().map(|row| row.1.as_str()).collect();
    assert_eq!(types, ["MESSAGE", "SENT", "READ"], "in this order, and a repeat says nothing");
    assert!(rows.iter().all(|row| row.0 == rows[0].0), "in one shard");
    let record: StatusRecord = serde_json::from_str(&rows[1].3).unwrap();
    assert_eq!(
        (rows[1].2.as_str(), record.message_id, record.seq),
        ("ann", sent.message_id, None),
        "its ACK said the seq"
    );
}

async fn unread_counts_what_others_wrote(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann", "bob"]).await;
    for (i, sender) in ["ann", "bob", "ann"].into_iter().enumerate() {
        store.send(message(sender, &room, &format!("m{i}"), "x")).await.unwrap();
    }
    let unread = async |user: &str| store.overview(&user_id(user), &room).await.unwrap().unwrap().unread;
    assert_eq!((unread("ann").await, unread("bob").await), (1, 2));
    mark(&store, &room, "bob", 0, 1).await;
    assert_eq!(unread("bob").await, 1);
    let overview = store.overview(&user_id("bob"), &room).await.unwrap().unwrap();
    let names: Vec<_> = overview.members.iter().map(|member| member.display_name.as_str()).collect();
    assert_eq!((overview.member_count, names), (2, vec!["ann", "bob"]));
}
