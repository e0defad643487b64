//! Services beside the platform that produce to Kafka: one puts records into the open rooms, one stores messages without
//! calling anybody. Neither cares how the platform is.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::Common;
use super::cast::Room;
use crate::client::Outside;
use crate::torture::gather::INGESTED;
use crate::torture::history::Name;
use crate::torture::history::outside::Topic;

/// A service that retries blindly.
const TWICE_PERCENT: u64 = 15;
/// What must be refused.
const REFUSED_PERCENT: u64 = 10;
/// Records under the key of their room, and so in the order of the log; the others lie anywhere.
const KEYED_PERCENT: u64 = 60;

/// Waits for the next turn; false when there is none.
pub(super) async fn turn(common: &Common, every_ms: u64) -> bool {
    let mut load_over = common.load_over.subscribe();
    tokio::select! {
        () = tokio::time::sleep(Duration::from_millis(every_ms)) => true,
        _ = load_over.wait_for(|over| *over) => false,
    }
}

pub(super) async fn records(common: Arc<Common>, outside: Arc<Outside>, rooms: Vec<Room>) {
    let mut producing = JoinSet::new();
    for number in 0_u64.. {
        if !turn(&common, common.size.record_ms).await {
            break;
        }
        let room = rooms[common.index(rooms.len())].id.clone();
        let key = if common.chance(KEYED_PERCENT) { room.to_string() } else { format!("key-{}", number % 7) };
        // blanks and an order of keys that nobody else would write
        let value = format!("{{\"text\" : \"\u{fc}\", \"roomId\":\"{room}\",\"number\":{number}}}");
        let (common, outside) = (common.clone(), outside.clone());
        producing.spawn(async move {
            // what Kafka did not answer may be there all the same: the topic tells
            if let Ok(id) = outside.produce("message.created", &key, &value).await {
                common.recorder.produced(Topic::Created, &id, &room, true);
            }
        });
        while producing.try_join_next().is_some() {}
    }
    while producing.join_next().await.is_some() {}
}

pub(super) async fn messages(
    common: Arc<Common>,
    outside: Arc<Outside>,
    conversations: Vec<Room>,
    outsiders: Vec<Name>,
) {
    let mut producing = JoinSet::new();
    for number in 0_u64.. {
        if !turn(&common, common.size.ingest_ms).await {
            break;
        }
        let conversation = &conversations[common.index(conversations.len())];
        let fine = !common.chance(REFUSED_PERCENT);
        let sender = match fine {
            true => conversation.members[common.index(conversation.members.len())].clone(),
            false if number % 2 == 0 => outsiders[common.index(outsiders.len())].clone(),
            false => format!("nobody-{number}").into(),
        };
        let id = format!("i{number}");
        let value = json!({"id": id, "conversationId": *conversation.id, "senderId": *sender,
            "content": format!("{INGESTED}{id}")});
        let again = common.chance(TWICE_PERCENT).then(|| common.within_ms(0..8_000));
        let (common, outside, conversation) = (common.clone(), outside.clone(), conversation.id.clone());
        producing.spawn(async move {
            let value = value.to_string();
            for pause in [Some(Duration::ZERO), again].into_iter().flatten() {
                let pause = u64::try_from(pause.as_millis()).unwrap_or_default();
                let _ = turn(&common, pause).await;
                if outside.produce("message.ingest", &conversation, &value).await.is_ok() {
                    common.recorder.produced(Topic::Ingest, &id, &conversation, fine);
                }
            }
        });
        while producing.try_join_next().is_some() {}
    }
    while producing.join_next().await.is_some() {}
}
