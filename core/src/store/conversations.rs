//! `conversations`: creation, lookup and a user's own list.

use chatcluster_contracts::{
    ids::{ConversationId, UserId, WorkspaceId},
    record::NotificationRecord,
    road::Fanout,
    seq::Seq,
};
use sqlx::{Any, AnyConnection, any::AnyRow, query::Query};
use uuid::Uuid;

use super::{
    Result, Store,
    dialect::Dialect,
    sql::{id, integer, optional_text, padded, padded_len, query, repeat, seq, text, time},
    transaction::retrying,
    users::{User, user},
};
use crate::domain::{
    conversation::{Conversation, Kind, dm_key},
    receipt::Watermarks,
};

/// Conversations in one page of a user's list.
pub const MAX_CONVERSATIONS: u32 = 500;
/// Unread messages are counted up to this many.
const MAX_UNREAD: i64 = 999;
/// Up to this many members a conversation is announced to each of them when it is created.
const MAX_ANNOUNCED: usize = 256;
/// Up to this many members they are listed with the conversation.
const MAX_LISTED_MEMBERS: i64 = 100;

const COLUMNS: &str = "id, workspace_id, kind, name, is_open, fanout, member_count, creator_id, last_seq, created_at";
const C_COLUMNS: &str = "c.id, c.workspace_id, c.kind, c.name, c.is_open, c.fanout, c.member_count, c.creator_id, \
     c.last_seq, c.created_at";

/// What is to be created. The creator is a member without being named.
#[derive(Debug, Clone)]
pub struct NewConversation {
    pub workspace_id: WorkspaceId,
    pub kind: Kind,
    pub name: Option<String>,
    pub open: bool,
    pub fanout: Option<Fanout>,
    pub creator_id: UserId,
    /// Without the creator, each once; all of them exist.
    pub members: Vec<UserId>,
}

/// A conversation as one of its members sees it in a list.
#[derive(Debug, Clone)]
pub struct Overview {
    pub conversation: Conversation,
    pub marks: Watermarks,
    /// Messages of others beyond the read watermark, counted up to [`MAX_UNREAD`].
    pub unread: i64,
    pub member_count: i64,
    /// Empty when there are more than [`MAX_LISTED_MEMBERS`].
    pub members: Vec<User>,
}

impl Store {
    /// Creates a conversation, or finds the dm that the two people have already (`false`).
    pub async fn create_conversation(&self, new: &NewConversation) -> Result<(Conversation, bool)> {
        retrying(|| self.create_conversation_once(new)).await
    }

    async fn create_conversation_once(&self, new: &NewConversation) -> Result<(Conversation, bool)> {
        if let Some(found) = self.existing_dm(new).await? {
            return Ok((found, false));
        }
        Ok((self.insert_conversation(new).await?, true))
    }

    async fn existing_dm(&self, new: &NewConversation) -> Result<Option<Conversation>> {
        let (Kind::Dm, Some(other)) = (new.kind, new.members.first()) else { return Ok(None) };
        let asking = query(format!("SELECT {COLUMNS} FROM conversations WHERE workspace_id = ? AND dm_key = ?"));
        let key = dm_key(&new.creator_id, other);
        let row = asking.bind(new.workspace_id.as_str()).bind(key).fetch_optional(&self.0.write).await?;
        Ok(row.as_ref().map(conversation).transpose()?)
    }

    async fn insert_conversation(&self, new: &NewConversation) -> Result<Conversation> {
        let mut write = self.write().await?;
        let conversation = Conversation {
            id: fresh_id(),
            workspace_id: new.workspace_id.clone(),
            kind: new.kind,
            name: new.name.clone(),
            open: new.open,
            fanout: new.fanout,
            member_count: 1 + new.members.len() as u64,
            creator_id: new.creator_id.clone(),
            last_seq: Seq::ZERO,
            created_at: write.now,
        };
        let key = new.members.first().filter(|_| new.kind == Kind::Dm).map(|other| dm_key(&new.creator_id, other));
        sqlx::query(
            "INSERT INTO conversations \
             (id, workspace_id, kind, name, is_open, fanout, member_count, creator_id, dm_key, last_seq, created_at) \
             VALUES (?,?,?,?,?,?,?,?,?,0,?)",
        )
        .bind(conversation.id.as_str())
        .bind(conversation.workspace_id.as_str())
        .bind(conversation.kind.as_str())
        .bind(conversation.name.as_deref())
        .bind(i64::from(conversation.open))
        .bind(conversation.fanout.map(Fanout::as_str))
        .bind(i64::try_from(conversation.member_count).unwrap_or(i64::MAX))
        .bind(conversation.creator_id.as_str())
        .bind(key)
        .bind(write.now.as_millisecond())
        .execute(write.connection())
        .await?;
        let members: Vec<&UserId> = std::iter::once(&new.creator_id).chain(&new.members).collect();
        let now = write.now.as_millisecond();
        for chunk in members.chunks(256) {
            let mut inserting = query(format!(
                "INSERT INTO conversation_members (conversation_id, user_id, joined_seq, joined_at) VALUES {}",
                repeat("(?,?,0,?)", chunk.len(), ",")
            ));
            for member in chunk {
                inserting = inserting.bind(conversation.id.as_str()).bind(member.as_str()).bind(now);
            }
            inserting.execute(write.connection()).await?;
        }
        if members.len() <= MAX_ANNOUNCED {
            let records: Vec<_> = members.iter().map(|member| announcement(&conversation, member)).collect();
            write.notify(&records, NotificationRecord::CONVERSATION_CREATED).await?;
        }
        write.commit().await?;
        Ok(conversation)
    }

    pub async fn conversation(&self, id: &ConversationId) -> Result<Option<Conversation>> {
        let asking = query(format!("SELECT {COLUMNS} FROM conversations WHERE id = ?"));
        let row = asking.bind(id.as_str()).fetch_optional(&self.0.read).await?;
        Ok(row.as_ref().map(conversation).transpose()?)
    }

    /// Heads of the conversations named; unknown ones are left out.
    pub async fn heads(&self, ids: &[ConversationId]) -> Result<Vec<(ConversationId, Seq)>> {
        let mut heads = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(256) {
            let list = repeat("?", padded_len(chunk.len()), ",");
            let mut asking = query(format!("SELECT id, last_seq FROM conversations WHERE id IN ({list})"));
            for id in padded(chunk) {
                asking = asking.bind(id.as_str());
            }
            for row in asking.fetch_all(&self.0.read).await? {
                heads.push((id(&row, "id")?, seq(&row, "last_seq")?));
            }
        }
        Ok(heads)
    }

    /// The user's conversations in the order of their ids, from after `after`.
    pub async fn overviews(&self, user: &UserId, after: Option<&ConversationId>, limit: u32) -> Result<Vec<Overview>> {
        let from = after.map_or("", ConversationId::as_str);
        let sql = overview_sql("m.conversation_id > ? ORDER BY m.conversation_id LIMIT ?");
        let asking = overview_query(sql, user).bind(from).bind(i64::from(limit.clamp(1, MAX_CONVERSATIONS)));
        self.with_members(asking.fetch_all(&self.0.read).await?).await
    }

    /// One conversation as the user sees it; `None` when they are not a member.
    pub async fn overview(&self, user: &UserId, conversation: &ConversationId) -> Result<Option<Overview>> {
        let asking = overview_query(overview_sql("m.conversation_id = ?"), user).bind(conversation.as_str());
        Ok(self.with_members(asking.fetch_all(&self.0.read).await?).await?.pop())
    }

    async fn with_members(&self, rows: Vec<AnyRow>) -> Result<Vec<Overview>> {
        let mut overviews: Vec<Overview> = rows.iter().map(overview).collect::<Result<_, sqlx::Error>>()?;
        let small: Vec<ConversationId> = overviews
            .iter()
            .filter(|overview| overview.member_count <= MAX_LISTED_MEMBERS)
            .map(|overview| overview.conversation.id.clone())
            .collect();
        for chunk in small.chunks(64) {
            let mut asking = query(format!(
                "SELECT m.conversation_id, u.id, u.workspace_id, u.username, u.display_name, u.issuer \
                 FROM conversation_members m JOIN users u ON u.id = m.user_id \
                 WHERE m.left_seq IS NULL AND m.conversation_id IN ({}) ORDER BY u.display_name, u.id",
                repeat("?", padded_len(chunk.len()), ",")
            ));
            for id in padded(chunk) {
                asking = asking.bind(id.as_str());
            }
            for row in asking.fetch_all(&self.0.read).await? {
                let of = text(&row, "conversation_id")?;
                let member = user(&row)?;
                if let Some(overview) = overviews.iter_mut().find(|o| o.conversation.id.as_str() == of) {
                    overview.members.push(member);
                }
            }
        }
        Ok(overviews)
    }
}

fn overview_sql(condition: &str) -> String {
    format!(
        "SELECT {C_COLUMNS}, COALESCE(a.delivered_seq, 0) AS delivered_seq, COALESCE(a.read_seq, 0) AS read_seq, \
         (SELECT COUNT(*) FROM messages x WHERE x.conversation_id = c.id AND x.seq > COALESCE(a.read_seq, 0) \
          AND x.seq >= m.joined_seq AND x.seq > c.last_seq - ? AND x.sender_id <> m.user_id) AS unread, \
         (SELECT COUNT(*) FROM conversation_members y WHERE y.conversation_id = c.id AND y.left_seq IS NULL) AS members \
         FROM conversation_members m JOIN conversations c ON c.id = m.conversation_id \
         LEFT JOIN message_acks a ON a.conversation_id = m.conversation_id AND a.user_id = m.user_id \
         WHERE m.user_id = ? AND m.left_seq IS NULL AND {condition}"
    )
}

fn overview_query<'q>(sql: String, user: &UserId) -> Query<'q, Any, sqlx::any::AnyArguments> {
    query(sql).bind(MAX_UNREAD).bind(user.as_str().to_owned())
}

fn overview(row: &AnyRow) -> Result<Overview, sqlx::Error> {
    Ok(Overview {
        conversation: conversation(row)?,
        marks: Watermarks { delivered: seq(row, "delivered_seq")?, read: seq(row, "read_seq")? },
        unread: integer(row, "unread")?,
        member_count: integer(row, "members")?,
        members: Vec::new(),
    })
}

pub(super) async fn lock(
    connection: &mut AnyConnection,
    dialect: Dialect,
    id: &ConversationId,
) -> Result<Option<Conversation>> {
    let asking = query(format!("SELECT {COLUMNS} FROM conversations WHERE id = ?{}", dialect.for_update()));
    let row = asking.bind(id.as_str()).fetch_optional(connection).await?;
    Ok(row.as_ref().map(conversation).transpose()?)
}

pub(super) fn conversation(row: &AnyRow) -> Result<Conversation, sqlx::Error> {
    let kind = text(row, "kind")?;
    let kind = Kind::parse(&kind).ok_or_else(|| sqlx::Error::Decode(format!("unknown kind {kind:?}").into()))?;
    Ok(Conversation {
        id: id(row, "id")?,
        workspace_id: id(row, "workspace_id")?,
        kind,
        name: optional_text(row, "name")?,
        open: integer(row, "is_open")? != 0,
        fanout: optional_text(row, "fanout")?.as_deref().and_then(Fanout::parse),
        member_count: integer(row, "member_count")?.unsigned_abs(),
        creator_id: id(row, "creator_id")?,
        last_seq: seq(row, "last_seq")?,
        created_at: time(row, "created_at")?,
    })
}

fn fresh_id() -> ConversationId {
    // A UUID consists of characters an id may have; the parse cannot fail.
    ConversationId::parse(&Uuid::now_v7().to_string()).unwrap_or_else(|_| fresh_id())
}

/// Creation has no event; members hear of it by a notification. To the creator it is no news.
fn announcement(conversation: &Conversation, member: &UserId) -> NotificationRecord {
    NotificationRecord {
        id: Uuid::now_v7().to_string(),
        user_id: member.clone(),
        title: "New conversation".into(),
        content: conversation.name.clone().unwrap_or_default(),
        kind: NotificationRecord::CONVERSATION_CREATED.into(),
        related_entity_id: Some(conversation.id.as_str().to_owned()),
        conversation_id: Some(conversation.id.clone()),
        read: *member == conversation.creator_id,
        created_at: conversation.created_at,
    }
}
