//! Membership: who may change it, what it leaves in the log, who is entitled to what.

use chatcluster_contracts::{
    event::EventType,
    ids::{ConversationId, WorkspaceId},
    problem::{Code, Problem},
    seq::Seq,
};
use chatcluster_core::{
    domain::conversation::Kind,
    store::{Ended, NewConversation, Over, StoreError},
};
use futures_util::future::join_all;

use crate::support::{TestStore, add_user, conversation, message, user_id};

crate::over_both!(
    joining_and_leaving_take_a_seq,
    entitlement_follows_the_intervals,
    adding_twice_is_one_event,
    strangers_and_dms_are_left_alone,
    two_people_have_one_dm,
    joins_and_sends_share_one_gapless_log,
);

async fn add(store: &TestStore, room: &ConversationId, actor: &str, subject: &str) -> Result<Option<Seq>, Code> {
    let workspace = WorkspaceId::default();
    store.add_member(room, &workspace, &user_id(actor), &user_id(subject)).await.map_err(code)
}

async fn remove(store: &TestStore, room: &ConversationId, actor: &str, subject: &str) -> Result<Option<Seq>, Code> {
    let workspace = WorkspaceId::default();
    store.remove_member(room, &workspace, &user_id(actor), &user_id(subject)).await.map_err(code)
}

fn code(error: StoreError) -> Code {
    Problem::from(error).code
}

async fn joining_and_leaving_take_a_seq(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann"]).await;
    add_user(&store, "bob").await;
    store.send(message("ann", &room, "m1", "x")).await.unwrap();
    assert_eq!(add(&store, &room, "ann", "bob").await, Ok(Some(Seq::new(2))));
    store.send(message("bob", &room, "m1", "x")).await.unwrap();
    assert_eq!(remove(&store, &room, "bob", "bob").await, Ok(Some(Seq::new(4))));
    assert_eq!(store.send(message("bob", &room, "m2", "x")).await.unwrap_err().code, Code::NotAMember);
    // what was sent before is still answered
    assert_eq!(store.send(message("bob", &room, "m1", "x")).await.unwrap().seq, Seq::new(3));
    let log = store.events(&room, Seq::ZERO, None, 100).await.unwrap().unwrap().events;
    let kinds: Vec<_> = log.iter().map(|event| EventType::parse(&event.event_type).unwrap()).collect();
    assert_eq!(kinds, [EventType::Message, EventType::UserJoined, EventType::Message, EventType::UserLeft]);
    assert_eq!(log[1].subject_id.as_deref(), Some("bob"));
}

async fn entitlement_follows_the_intervals(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann"]).await;
    add_user(&store, "bob").await;
    store.send(message("ann", &room, "m1", "x")).await.unwrap();
    add(&store, &room, "ann", "bob").await.unwrap(); // 2
    remove(&store, &room, "ann", "bob").await.unwrap(); // 3
    store.send(message("ann", &room, "m4", "x")).await.unwrap();
    add(&store, &room, "ann", "bob").await.unwrap(); // 5
    let mut entitled = Vec::new();
    for seq in 1..=6 {
        let mut members = store.members_at(&room, Seq::new(seq), u64::MAX).await.unwrap();
        members.sort();
        entitled.push(members.contains(&"bob".to_owned()));
        assert!(members.contains(&"ann".to_owned()));
    }
    assert_eq!(entitled, [false, true, true, false, true, true]);
    let memberships = store.memberships(&[user_id("bob")], &WorkspaceId::default(), Ended::All).await.unwrap();
    let intervals: Vec<_> =
        memberships.iter().map(|m| (m.joined_seq.get(), m.left_seq.map(Seq::get), m.end().get())).collect();
    assert_eq!(intervals, [(2, Some(3), 3), (5, None, 5)]);
    let both = [user_id("bob"), user_id("eve")];
    let stays = async |over| {
        let (conversation, mut found) = store.stays_of(&room, &both, over).await.unwrap().unwrap();
        found.sort_by_key(|stay| stay.joined);
        let seqs: Vec<_> = found.iter().map(|stay| (stay.joined.get(), stay.left.map(Seq::get))).collect();
        (conversation, seqs)
    };
    let (conversation, lasting) = stays(Over::default()).await;
    assert_eq!((conversation.last_seq, conversation.member_count), (Seq::new(5), 2));
    assert_eq!(lasting, [(5, None)]);
    let all = [(2, Some(3)), (5, None)];
    for (from, expected) in [(3, &all[..]), (4, &all[1..])] {
        let over = Over { ended_from: Some(Seq::new(from)), begun_since: None };
        assert_eq!(stays(over).await.1, expected, "ended with {from} or later");
    }
    let tomorrow = jiff::Timestamp::now().as_millisecond() + 86_400_000;
    for (since, expected) in [(1, &all[..]), (tomorrow, &all[1..])] {
        let over = Over { ended_from: None, begun_since: Some(since) };
        assert_eq!(stays(over).await.1, expected, "begun since {since}");
    }
}

async fn adding_twice_is_one_event(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann"]).await;
    add_user(&store, "bob").await;
    let added = join_all((0..6).map(|_| add(&store, &room, "ann", "bob"))).await;
    assert_eq!(added.iter().filter(|added| added.as_ref().unwrap().is_some()).count(), 1);
    let removed = join_all((0..6).map(|_| remove(&store, &room, "ann", "bob"))).await;
    assert_eq!(removed.iter().filter(|removed| removed.as_ref().unwrap().is_some()).count(), 1);
    let left = store.conversation(&room).await.unwrap().unwrap();
    assert_eq!((left.last_seq, left.member_count), (Seq::new(2), 1));
}

async fn strangers_and_dms_are_left_alone(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann", "bob"]).await;
    let dm = conversation(&store, Kind::Dm, &["ann", "bob"]).await;
    add_user(&store, "eve").await;
    assert_eq!(add(&store, &room, "eve", "eve").await, Err(Code::NotAMember));
    assert_eq!(remove(&store, &room, "bob", "ann").await, Err(Code::Forbidden));
    assert_eq!(add(&store, &dm, "ann", "eve").await, Err(Code::Forbidden));
    let elsewhere = WorkspaceId::parse("elsewhere").unwrap();
    let unknown = store.add_member(&room, &elsewhere, &user_id("ann"), &user_id("eve")).await.unwrap_err();
    assert_eq!(code(unknown), Code::UnknownConversation);
    assert_eq!(store.conversation(&room).await.unwrap().unwrap().last_seq, Seq::ZERO);
}

async fn two_people_have_one_dm(store: TestStore) {
    add_user(&store, "ann").await;
    add_user(&store, "bob").await;
    let dm = |creator: &str, other: &str| NewConversation {
        workspace_id: WorkspaceId::default(),
        kind: Kind::Dm,
        name: None,
        open: false,
        fanout: None,
        creator_id: user_id(creator),
        members: vec![user_id(other)],
    };
    let wanted: Vec<_> = (0..6).map(|i| if i % 2 == 0 { dm("ann", "bob") } else { dm("bob", "ann") }).collect();
    let made = join_all(wanted.iter().map(|new| store.create_conversation(new))).await;
    let made: Vec<_> = made.into_iter().map(Result::unwrap).collect();
    assert_eq!(made.iter().filter(|(_, created)| *created).count(), 1);
    assert!(made.iter().all(|(conversation, _)| conversation.id == made[0].0.id));
}

async fn joins_and_sends_share_one_gapless_log(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann", "bob"]).await;
    for i in 0..20 {
        add_user(&store, &format!("u{i}")).await;
    }
    let sends = join_all((0..40).map(|i| store.send(message("bob", &room, &format!("m{i}"), "x"))));
    let subjects: Vec<String> = (0..20).map(|i| format!("u{i}")).collect();
    let joins = join_all(subjects.iter().map(|subject| add(&store, &room, "ann", subject)));
    let (sends, joins) = tokio::join!(sends, joins);
    let mut seqs: Vec<u64> = sends.into_iter().map(|sent| sent.unwrap().seq.get()).collect();
    seqs.extend(joins.into_iter().map(|joined| joined.unwrap().unwrap().get()));
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=60).collect::<Vec<_>>());
}
