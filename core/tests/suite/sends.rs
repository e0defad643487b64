//! Sending: gapless seqs, idempotence, rules, and the outbox beside it.

use std::collections::HashSet;

use chatcluster_contracts::{ids::MessageId, problem::Code, seq::Seq};
use chatcluster_core::{domain::conversation::Kind, store::HistoryPage};
use futures_util::future::join_all;

use crate::support::{TestStore, conversation, message, open};

crate::over_both!(
    seqs_have_no_gap_under_concurrent_senders,
    a_repeat_answers_the_first_result,
    concurrent_repeats_from_two_processes_are_one_message,
    a_batch_that_lost_a_race_leaves_nothing_behind,
    refused_sends_leave_no_hole,
    threads_need_a_root_of_the_conversation,
    outbox_rows_are_in_seq_order,
    one_senders_order_is_kept,
);

async fn seqs_have_no_gap_under_concurrent_senders(store: TestStore) {
    let names: Vec<String> = (0..32).map(|i| format!("user-{i}")).collect();
    let members: Vec<&str> = names.iter().map(String::as_str).collect();
    let room = conversation(&store, Kind::Group, &members).await;
    let side = conversation(&store, Kind::Group, &members).await;
    let sends = names.iter().flat_map(|name| {
        (0..8).map(|i| {
            let target = if i % 4 == 3 { &side } else { &room };
            store.send(message(name, target, &format!("m{i}"), "hello"))
        })
    });
    let mut seqs: Vec<u64> = Vec::new();
    for stored in join_all(sends).await {
        let stored = stored.unwrap();
        if stored.conversation_id == room {
            seqs.push(stored.seq.get());
        }
    }
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=192).collect::<Vec<_>>());
    let page = store.events(&room, Seq::ZERO, None, 500).await.unwrap().unwrap();
    assert_eq!(page.head, Seq::new(192));
    assert!(page.events.iter().zip(1..).all(|(event, seq)| event.seq == Seq::new(seq)));
    assert_eq!(store.events(&side, Seq::ZERO, None, 500).await.unwrap().unwrap().events.len(), 64);
}

async fn a_repeat_answers_the_first_result(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann", "bob"]).await;
    let other = conversation(&store, Kind::Group, &["ann"]).await;
    let first = store.send(message("ann", &room, "m1", "hello")).await.unwrap();
    let again = store.send(message("ann", &room, "m1", "hello")).await.unwrap();
    assert!(!first.repeated && again.repeated);
    assert_eq!((&first.message_id, first.seq, first.created_at), (&again.message_id, again.seq, again.created_at));
    for clash in [message("ann", &room, "m1", "other"), message("ann", &other, "m1", "hello")] {
        assert_eq!(store.send(clash).await.unwrap_err().code, Code::ClientMsgIdReused);
    }
    assert_eq!(store.send(message("bob", &room, "m1", "hello")).await.unwrap().seq, Seq::new(2));
}

/// Two processes: the unique key decides, the loser reads the winner's row.
async fn concurrent_repeats_from_two_processes_are_one_message(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann"]).await;
    let second = open(&store.url);
    for round in 0..20 {
        let name = format!("m{round}");
        let sends = (0..8).map(|i| {
            let store = if i % 2 == 0 { &store.store } else { &second };
            store.send(message("ann", &room, &name, "hello"))
        });
        let outcomes: Vec<_> = join_all(sends).await.into_iter().map(Result::unwrap).collect();
        let ids: HashSet<&MessageId> = outcomes.iter().map(|stored| &stored.message_id).collect();
        assert_eq!(ids.len(), 1);
        assert_eq!(outcomes.iter().filter(|stored| !stored.repeated).count(), 1, "one call stored it");
        assert!(outcomes.iter().all(|stored| stored.seq == Seq::new(round + 1)));
    }
    second.close().await;
}

/// The same client message id in two conversations, whose locks do not keep the two processes apart: who comes second has
/// written half of its batch when the unique key says no.
async fn a_batch_that_lost_a_race_leaves_nothing_behind(store: TestStore) {
    let rooms = [conversation(&store, Kind::Group, &["ann"]).await, conversation(&store, Kind::Group, &["ann"]).await];
    let second = open(&store.url);
    for round in 0..40 {
        let name = format!("m{round}");
        let sends = [(&store.store, &rooms[0]), (&second, &rooms[1])].map(async |(store, room)| {
            let beside = format!("beside-{round}-{}", room.as_str());
            let sends =
                [message("ann", room, &beside, "x"), message("ann", room, &name, "x")].map(|send| store.send(send));
            let outcomes = join_all(sends).await;
            assert!(outcomes[0].is_ok());
            outcomes[1].as_ref().map(drop).map_err(|problem| problem.code)
        });
        let mut outcomes = join_all(sends).await;
        outcomes.sort_by_key(Result::is_err);
        assert_eq!(outcomes, [Ok(()), Err(Code::ClientMsgIdReused)]);
    }
    let (mut events, mut published) = (0, 0);
    for room in &rooms {
        let page = store.events(room, Seq::ZERO, None, 500).await.unwrap().unwrap();
        assert!(page.events.iter().zip(1..).all(|(event, seq)| event.seq == Seq::new(seq)));
        assert_eq!(page.head, page.events.last().unwrap().seq);
        let (history, _) = store.history(room, Seq::ZERO, HistoryPage::Newest, 100).await.unwrap();
        assert_eq!(history.len(), page.events.len());
        events += page.events.len();
    }
    for shard in 0..store.outbox_shards() {
        let rows = store.outbox_rows(shard, &[], 500).await.unwrap();
        published += rows.iter().filter(|row| row.event_type == "MESSAGE").count();
    }
    assert_eq!((events, published), (120, 120));
    second.close().await;
}

async fn refused_sends_leave_no_hole(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann"]).await;
    conversation(&store, Kind::Group, &["eve"]).await;
    let nowhere = chatcluster_contracts::ids::ConversationId::parse("nowhere").unwrap();
    let sends = (0..60).map(|i| match i % 3 {
        0 => store.send(message("ann", &room, &format!("a{i}"), "x")),
        1 => store.send(message("eve", &room, &format!("e{i}"), "x")),
        _ => store.send(message("ann", &nowhere, &format!("n{i}"), "x")),
    });
    let outcomes = join_all(sends).await;
    let code = |i: usize| outcomes[i].as_ref().err().map(|problem| problem.code);
    assert!((0..60).all(|i| code(i) == [None, Some(Code::NotAMember), Some(Code::UnknownConversation)][i % 3]));
    let events = store.events(&room, Seq::ZERO, None, 500).await.unwrap().unwrap();
    assert_eq!((events.events.len(), events.head), (20, Seq::new(20)));
}

async fn threads_need_a_root_of_the_conversation(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann"]).await;
    let other = conversation(&store, Kind::Group, &["ann"]).await;
    let first = store.send(message("ann", &room, "root", "root")).await.unwrap();
    let reply = |room, name| {
        let mut reply = message("ann", room, name, "reply");
        reply.thread_root_id = Some(first.message_id.clone());
        reply
    };
    assert!(store.send(reply(&room, "r1")).await.is_ok());
    assert_eq!(store.send(reply(&other, "r2")).await.unwrap_err().code, Code::UnknownMessage);
    let (history, _) = store.history(&room, Seq::ZERO, HistoryPage::Newest, 10).await.unwrap();
    assert_eq!(history[1].thread_root_id.as_ref(), Some(&first.message_id));
}

async fn outbox_rows_are_in_seq_order(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann", "bob", "cem"]).await;
    let sends = (0..90).map(|i| store.send(message(["ann", "bob", "cem"][i % 3], &room, &format!("m{i}"), "x")));
    join_all(sends).await.into_iter().for_each(|stored| drop(stored.unwrap()));
    let shard = chatcluster_core::domain::shard::of(room.as_str(), 8);
    let rows = store.outbox_rows(shard, &[], 500).await.unwrap();
    let rows: Vec<_> = rows.iter().filter(|row| row.key == room.as_str()).collect();
    assert_eq!(rows.len(), 90);
    for (row, seq) in rows.iter().zip(1..) {
        assert_eq!((row.topic.as_str(), row.event_type.as_str()), ("t.message.all", "MESSAGE"));
        let event: chatcluster_contracts::event::Event = serde_json::from_str(&row.payload).unwrap();
        assert_eq!(event.seq(), Seq::new(seq));
    }
    // and they are what the log holds, byte for byte
    let log = store.events(&room, Seq::ZERO, None, 500).await.unwrap().unwrap();
    assert!(log.events.iter().zip(&rows).all(|(event, row)| event.payload == row.payload));
}

async fn one_senders_order_is_kept(store: TestStore) {
    let room = conversation(&store, Kind::Group, &["ann"]).await;
    let stored = join_all((0..200).map(|i| store.send(message("ann", &room, &format!("m{i}"), "x")))).await;
    assert!(stored.into_iter().zip(1..).all(|(stored, seq)| stored.unwrap().seq == Seq::new(seq)));
}
