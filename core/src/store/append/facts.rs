//! What a batch must know, read after its conversations were locked.

use std::collections::{BTreeSet, HashMap};

use chatcluster_contracts::ids::{ClientMsgId, ConversationId, MessageId, UserId};
use sqlx::AnyConnection;

use crate::{
    domain::{
        message::{NewMessage, Stored},
        plan::{Facts, Known, Locked},
    },
    store::{
        Result,
        dialect::Dialect,
        sql::{id, padded, padded_len, query, repeat, seq, text, time},
    },
};

pub(super) async fn read(connection: &mut AnyConnection, dialect: Dialect, sends: &[NewMessage]) -> Result<Facts> {
    let mut facts = Facts { conversations: lock(connection, dialect, sends).await?, ..Facts::default() };
    members_and_known(connection, sends, &mut facts).await?;
    let roots: BTreeSet<&MessageId> = sends.iter().filter_map(|send| send.thread_root_id.as_ref()).collect();
    if !roots.is_empty() {
        facts.roots = thread_roots(connection, &roots.into_iter().collect::<Vec<_>>()).await?;
    }
    Ok(facts)
}

/// Locks in the order of the ids: two processes that want the same conversations wait for, and never deadlock, each other.
async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    sends: &[NewMessage],
) -> Result<HashMap<ConversationId, Locked>> {
    let ids: BTreeSet<&ConversationId> = sends.iter().map(|send| &send.conversation_id).collect();
    let ids: Vec<&ConversationId> = ids.into_iter().collect();
    let mut locking = query(format!(
        "SELECT id, workspace_id, last_seq FROM conversations WHERE id IN ({}) ORDER BY id{}",
        repeat("?", padded_len(ids.len()), ","),
        dialect.for_update()
    ));
    for id in padded(&ids) {
        locking = locking.bind(id.as_str());
    }
    let mut locked = HashMap::with_capacity(ids.len());
    for row in locking.fetch_all(connection).await? {
        locked.insert(
            id(&row, "id")?,
            Locked { workspace_id: id(&row, "workspace_id")?, last_seq: seq(&row, "last_seq")? },
        );
    }
    Ok(locked)
}

/// Both in one round trip: the union's first half are memberships, its second half messages stored before.
async fn members_and_known(connection: &mut AnyConnection, sends: &[NewMessage], facts: &mut Facts) -> Result<()> {
    let pairs: BTreeSet<(&ConversationId, &UserId)> =
        sends.iter().map(|send| (&send.conversation_id, &send.sender_id)).collect();
    let names: BTreeSet<(&UserId, &ClientMsgId)> =
        sends.iter().map(|send| (&send.sender_id, &send.client_msg_id)).collect();
    let pairs: Vec<_> = pairs.into_iter().collect();
    let names: Vec<_> = names.into_iter().collect();
    // OR of ANDs and not row values in IN: every optimizer turns these into index lookups.
    let mut asking = query(format!(
        "SELECT conversation_id, user_id, '' AS client_msg_id, '' AS id, joined_seq AS seq, '' AS content, 0 AS created_at \
         FROM conversation_members WHERE left_seq IS NULL AND ({}) \
         UNION ALL SELECT conversation_id, sender_id, client_msg_id, id, seq, content, created_at FROM messages WHERE {}",
        repeat("(conversation_id = ? AND user_id = ?)", padded_len(pairs.len()), " OR "),
        repeat("(sender_id = ? AND client_msg_id = ?)", padded_len(names.len()), " OR "),
    ));
    for (conversation, user) in padded(&pairs) {
        asking = asking.bind(conversation.as_str()).bind(user.as_str());
    }
    for (sender, name) in padded(&names) {
        asking = asking.bind(sender.as_str()).bind(name.as_str());
    }
    for row in asking.fetch_all(connection).await? {
        let (conversation_id, user_id): (ConversationId, UserId) = (id(&row, "conversation_id")?, id(&row, "user_id")?);
        if text(&row, "id")?.is_empty() {
            facts.members.insert((conversation_id, user_id));
            continue;
        }
        let stored = Stored {
            message_id: id(&row, "id")?,
            conversation_id,
            seq: seq(&row, "seq")?,
            created_at: time(&row, "created_at")?,
            repeated: false,
        };
        facts.known.insert((user_id, id(&row, "client_msg_id")?), Known { stored, content: text(&row, "content")? });
    }
    Ok(())
}

async fn thread_roots(
    connection: &mut AnyConnection,
    roots: &[&MessageId],
) -> Result<HashMap<MessageId, ConversationId>> {
    let list = repeat("?", padded_len(roots.len()), ",");
    let mut asking = query(format!("SELECT id, conversation_id FROM messages WHERE id IN ({list})"));
    for root in padded(roots) {
        asking = asking.bind(root.as_str());
    }
    let rows = asking.fetch_all(connection).await?;
    Ok(rows.iter().map(|row| Ok((id(row, "id")?, id(row, "conversation_id")?))).collect::<Result<_, sqlx::Error>>()?)
}
