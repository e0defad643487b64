//! What a batch must know, read after its conversations were locked.

use std::collections::BTreeSet;

use chatcluster_contracts::ids::{ClientMsgId, ConversationId, MessageId, UserId};
use sqlx::any::AnyRow;

use crate::{
    domain::{
        message::{NewMessage, Stored},
        plan::{Facts, Known, Locked},
    },
    store::{
        Result,
        dialect::Dialect,
        script::Script,
        sql::{id, repeat, seq, text, time},
    },
};

/// Three questions, each a statement: what they see is younger than the locks that the first one takes.
pub(super) fn ask(script: &mut Script, dialect: Dialect, sends: &[NewMessage]) {
    lock(script, dialect, sends);
    members_and_known(script, sends);
    thread_roots(script, sends);
}

/// Takes the answers in the order of the questions.
pub(super) fn read(mut answers: impl Iterator<Item = Vec<AnyRow>>) -> Result<Facts> {
    let mut facts = Facts::default();
    for row in answers.next().unwrap_or_default() {
        let locked = Locked { workspace_id: id(&row, "workspace_id")?, last_seq: seq(&row, "last_seq")? };
        facts.conversations.insert(id(&row, "id")?, locked);
    }
    for row in answers.next().unwrap_or_default() {
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
    for row in answers.next().unwrap_or_default() {
        facts.roots.insert(id(&row, "id")?, id(&row, "conversation_id")?);
    }
    Ok(facts)
}

/// Locks in the order of the ids: two processes that want the same conversations wait for, and never deadlock, each other.
fn lock(script: &mut Script, dialect: Dialect, sends: &[NewMessage]) {
    let ids: BTreeSet<&ConversationId> = sends.iter().map(|send| &send.conversation_id).collect();
    let sql = format!(
        "SELECT id, workspace_id, last_seq FROM conversations WHERE id IN ({}) ORDER BY id{}",
        repeat("?", ids.len(), ","),
        dialect.for_update()
    );
    script.statement(&sql, ids.into_iter().map(|id| id.as_str().into()));
}

/// The union's first half are memberships, its second half messages stored before.
fn members_and_known(script: &mut Script, sends: &[NewMessage]) {
    let pairs: BTreeSet<(&ConversationId, &UserId)> =
        sends.iter().map(|send| (&send.conversation_id, &send.sender_id)).collect();
    let names: BTreeSet<(&UserId, &ClientMsgId)> =
        sends.iter().map(|send| (&send.sender_id, &send.client_msg_id)).collect();
    // OR of ANDs and not row values in IN: every optimizer turns these into index lookups.
    let sql = format!(
        "SELECT conversation_id, user_id, '' AS client_msg_id, '' AS id, joined_seq AS seq, '' AS content, 0 AS created_at \
         FROM conversation_members WHERE left_seq IS NULL AND ({}) \
         UNION ALL SELECT conversation_id, sender_id, client_msg_id, id, seq, content, created_at FROM messages WHERE {}",
        repeat("(conversation_id = ? AND user_id = ?)", pairs.len(), " OR "),
        repeat("(sender_id = ? AND client_msg_id = ?)", names.len(), " OR "),
    );
    let pairs = pairs.into_iter().flat_map(|(conversation, user)| [conversation.as_str().into(), user.as_str().into()]);
    let names = names.into_iter().flat_map(|(sender, name)| [sender.as_str().into(), name.as_str().into()]);
    script.statement(&sql, pairs.chain(names));
}

fn thread_roots(script: &mut Script, sends: &[NewMessage]) {
    let roots: BTreeSet<&MessageId> = sends.iter().filter_map(|send| send.thread_root_id.as_ref()).collect();
    if !roots.is_empty() {
        let list = repeat("?", roots.len(), ",");
        let sql = format!("SELECT id, conversation_id FROM messages WHERE id IN ({list})");
        script.statement(&sql, roots.into_iter().map(|id| id.as_str().into()));
    }
}
