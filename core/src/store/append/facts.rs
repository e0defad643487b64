//! What a batch must know, read after its conversations were locked.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chatcluster_contracts::ids::{ClientMsgId, ConversationId, MessageId, UserId};
use sqlx::any::AnyRow;

use crate::{
    domain::{
        account::Username,
        mention::mentioned,
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

/// Who is meant by the names in a batch, and what its senders are called.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) members: HashMap<(ConversationId, String), UserId>,
    pub(super) display_names: HashMap<UserId, String>,
}

/// Which of the questions were asked that most batches need not ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    thread_roots: bool,
}

/// Questions, each a statement: what they see is younger than the locks that the first one takes.
pub(super) fn ask(script: &mut Script, dialect: Dialect, sends: &[NewMessage]) -> Asked {
    lock(script, dialect, sends);
    members_and_known(script, sends);
    let thread_roots = thread_roots(script, sends);
    people(script, sends);
    Asked { thread_roots }
}

/// Takes the answers in the order of the questions.
pub(super) fn read(asked: Asked, mut answers: impl Iterator<Item = Vec<AnyRow>>) -> Result<(Facts, People)> {
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
    if asked.thread_roots {
        for row in answers.next().unwrap_or_default() {
            facts.roots.insert(id(&row, "id")?, id(&row, "conversation_id")?);
        }
    }
    let mut people = People::default();
    for row in answers.next().unwrap_or_default() {
        let (user, conversation) = (id(&row, "id")?, text(&row, "conversation_id")?);
        if let Ok(conversation) = ConversationId::parse(&conversation) {
            people.members.insert((conversation, text(&row, "username")?), user);
        } else {
            people.display_names.insert(user, text(&row, "display_name")?);
        }
    }
    Ok((facts, people))
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

fn thread_roots(script: &mut Script, sends: &[NewMessage]) -> bool {
    let roots: BTreeSet<&MessageId> = sends.iter().filter_map(|send| send.thread_root_id.as_ref()).collect();
    if !roots.is_empty() {
        let list = repeat("?", roots.len(), ",");
        let sql = format!("SELECT id, conversation_id FROM messages WHERE id IN ({list})");
        script.statement(&sql, roots.iter().map(|id| id.as_str().into()));
    }
    !roots.is_empty()
}

/// The members whose names are in the texts, and, without a conversation, the senders of these texts.
fn people(script: &mut Script, sends: &[NewMessage]) {
    let mut wanted: BTreeMap<&ConversationId, (&NewMessage, BTreeSet<Username>)> = BTreeMap::new();
    let mut senders: BTreeSet<&UserId> = BTreeSet::new();
    for send in sends {
        let names = mentioned(send.content.as_str());
        if !names.is_empty() {
            senders.insert(&send.sender_id);
            wanted.entry(&send.conversation_id).or_insert((send, BTreeSet::new())).1.extend(names);
        }
    }
    if wanted.is_empty() {
        return;
    }
    let among = |(_, names): &(&NewMessage, BTreeSet<Username>)| {
        format!("(m.conversation_id = ? AND u.workspace_id = ? AND u.username IN ({}))", repeat("?", names.len(), ","))
    };
    let sql = format!(
        "SELECT m.conversation_id, u.id, u.username, u.display_name FROM users u \
         JOIN conversation_members m ON m.user_id = u.id WHERE m.left_seq IS NULL AND ({}) \
         UNION ALL SELECT '', id, '', display_name FROM users WHERE id IN ({})",
        wanted.values().map(among).collect::<Vec<_>>().join(" OR "),
        repeat("?", senders.len(), ",")
    );
    let mut values = Vec::new();
    for (conversation, (send, names)) in &wanted {
        values.extend([conversation.as_str().into(), send.workspace_id.as_str().into()]);
        values.extend(names.iter().map(|name| name.as_str().to_owned().into()));
    }
    values.extend(senders.into_iter().map(|sender| sender.as_str().into()));
    script.statement(&sql, values);
}
