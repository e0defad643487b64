//! Notifications: kept with what they are about, listed newest first, marked as read, and those of others taken in.

use bytes::Bytes;
use chatcluster_contracts::{record::NotificationRecord, topics::Topic};
use chatcluster_core::{domain::conversation::Kind, store::NotificationPage};
use chatcluster_testkit::{WAIT, await_condition};
use chatcluster_transport::event_log::NewRecord;
use serde_json::Value;

use crate::{
    platform::Platform,
    support::{TestStore, add_user, conversation, message, user_id},
};

crate::over_both!(
    who_is_named_is_told_once_and_only_members_are,
    they_are_paged_read_and_counted,
    those_of_nobody_are_not_kept_and_old_ones_go
);

const ALL: NotificationPage = NotificationPage { unread_only: false, before: None, limit: 100 };

/// What the user was told of mentions: title and text.
async fn mentions(store: &TestStore, user: &str) -> Vec<(String, String)> {
    let found = store.notifications(&user_id(user), &ALL).await.unwrap();
    let mentions = found.into_iter().filter(|it| it.kind == NotificationRecord::MENTION);
    mentions.map(|it| (it.title, it.content)).collect()
}

async fn who_is_named_is_told_once_and_only_members_are(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann", "bob", "cem"]).await;
    add_user(&store, "eve").await;
    let text = "@bob, @Bob. and @eve: look, says @ann (bob@cem)";
    let stored = store.send(message("ann", &room, "m1", text)).await.unwrap();
    store.send(message("ann", &room, "m1", text)).await.unwrap();
    assert_eq!(mentions(&store, "bob").await, [("ann mentioned you".to_owned(), text.to_owned())]);
    for other in ["ann", "cem", "eve"] {
        assert_eq!(mentions(&store, other).await, [], "{other}");
    }
    let told = &store.notifications(&user_id("bob"), &ALL).await.unwrap()[0];
    assert_eq!(told.related_entity_id.as_deref(), Some(stored.message_id.as_str()));
    assert_eq!(told.conversation_id.as_ref(), Some(&room));

    let mut rows = Vec::new();
    for shard in 0..8 {
        rows.extend(store.outbox_rows(shard, &[], 500).await.unwrap());
    }
    let row = rows.iter().find(|row| row.event_type == "MENTION").unwrap();
    assert_eq!((row.topic.as_str(), row.key.as_str()), ("t.notifications", "bob"));
    assert_eq!(&serde_json::from_str::<NotificationRecord>(&row.payload).unwrap(), told);
}

async fn they_are_paged_read_and_counted(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann", "bob"]).await;
    for i in 0..5 {
        store.send(message("ann", &room, &format!("m{i}"), &format!("@bob {i}"))).await.unwrap();
    }
    let bob = user_id("bob");
    let all = store.notifications(&bob, &ALL).await.unwrap();
    assert_eq!(all.len(), 6, "the conversation and five mentions");
    assert_eq!(store.unread_notifications(&bob).await.unwrap(), 6);
    assert_eq!(store.unread_notifications(&user_id("ann")).await.unwrap(), 0, "what she made is no news to her");

    let mut paged = Vec::new();
    let mut page = NotificationPage { limit: 2, ..ALL };
    loop {
        let found = store.notifications(&bob, &page).await.unwrap();
        let Some(last) = found.last() else { break };
        page.before = Some((last.created_at.as_millisecond(), last.id.clone()));
        paged.extend(found);
        assert!(paged.len() <= all.len(), "a page begins behind the one before it");
    }
    assert_eq!(paged, all);

    assert!(store.read_notifications(&bob, Some(&all[0].id)).await.unwrap());
    assert!(store.read_notifications(&bob, Some(&all[0].id)).await.unwrap(), "again");
    assert!(!store.read_notifications(&user_id("ann"), Some(&all[0].id)).await.unwrap(), "another user's");
    assert_eq!(store.unread_notifications(&bob).await.unwrap(), 5);
    let unread = store.notifications(&bob, &NotificationPage { unread_only: true, ..ALL }).await.unwrap();
    assert_eq!(unread, all[1..]);
    assert!(store.read_notifications(&bob, None).await.unwrap());
    assert_eq!(store.unread_notifications(&bob).await.unwrap(), 0);
}

async fn those_of_nobody_are_not_kept_and_old_ones_go(store: TestStore) {
    add_user(&store, "ann").await;
    let made = |user: &str, id: &str, days: i64| NotificationRecord {
        id: id.to_owned(),
        user_id: user_id(user),
        title: "a title".to_owned(),
        content: "a text".to_owned(),
        kind: "NEWS".to_owned(),
        related_entity_id: None,
        conversation_id: None,
        read: false,
        created_at: jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * days),
    };
    let records = [made("ann", "new", 0), made("nobody", "lost", 0), made("ann", "old", 31), made("ann", "kept", 29)];
    store.keep_notifications(&records).await.unwrap();
    let ids = async |user: &str| {
        let found = store.notifications(&user_id(user), &ALL).await.unwrap();
        found.into_iter().map(|it| it.id).collect::<Vec<_>>()
    };
    assert_eq!(ids("ann").await, ["new", "kept", "old"]);
    add_user(&store, "nobody").await;
    assert_eq!(ids("nobody").await, [""; 0], "who comes later is not told of what was for somebody else");
    store.prune_notifications().await.unwrap();
    assert_eq!(ids("ann").await, ["new", "kept"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_other_producers_are_kept_as_they_were_written() {
    let platform = Platform::ready().await;
    let ann = platform.api().user("ann").await.unwrap();
    let value = format!(
        r#"{{"id":"notif-111","userId":"{}","title":"New Message","content":"You have a new message from John","type":"NEW_MESSAGE","relatedEntityId":"msg-789","read":false,"createdAt":"2025-11-11T22:30:00"}}"#,
        ann.id
    );
    let now = jiff::Timestamp::now();
    let value = value.replace("2025-11-11T22:30:00", &now.strftime("%Y-%m-%dT%H:%M:%S").to_string());
    let record = |value: &str| NewRecord {
        topic: Topic::Notifications,
        dead_letter: false,
        key: ann.id.clone(),
        value: Bytes::from(value.to_owned()),
        headers: Vec::new(),
    };
    let of_nobody = value.replace(&ann.id, "nobody");
    let records = vec![record("not json"), record(&of_nobody), record(&value), record(&value)];
    assert!(platform.log.producer().append(records).await.iter().all(Result::is_ok));
    let listed = || async {
        let (status, list) = ann.api.get("/v1/notifications").await?;
        anyhow::ensure!(status == 200 && list["unread"] == 1, "{status} {list}");
        Ok(list)
    };
    let list: Value = await_condition("it is kept", WAIT, listed).await.unwrap();
    let kept = &list["notifications"][0];
    let mut expected: Value = serde_json::from_str(&value).unwrap();
    expected["createdAt"] = format!("{}.000Z", now.strftime("%Y-%m-%dT%H:%M:%S")).into();
    assert_eq!(kept, &expected);

    let (status, unread) = ann.api.post("/v1/notifications/notif-111/read", Value::Null).await.unwrap();
    assert_eq!((status, &unread["unread"]), (200, &0.into()));
    assert_eq!(ann.api.post("/v1/notifications/ghost/read", Value::Null).await.unwrap().0, 404);
    assert_eq!(ann.api.get("/v1/notifications?unread=true").await.unwrap().1["notifications"], serde_json::json!([]));
    let (_, problem) = ann.api.get("/v1/notifications?before=x").await.unwrap();
    assert_eq!((&problem["code"], &problem["field"]), (&"invalid_field".into(), &"before".into()));
    assert_eq!(ann.api.post("/v1/notifications/read", Value::Null).await.unwrap().1["unread"], 0);
    platform.core.stop().await;
}
