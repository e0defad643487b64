//! What a client says.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;

use crate::{
    ids::{ClientMsgId, ConversationId, InvalidId, MessageId},
    log_id::LogId,
    position::{self, Resume},
    problem::{Code, Problem},
    seq::Seq,
    trace::TraceParent,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientFrame {
    Connect(Connect),
    Send(Send),
    Typing(Typing),
    Receipt(Receipt),
    Join(Join),
    Leave { room_id: ConversationId },
    Ping,
}

/// Most records of the past that may be asked for at once.
pub const MAX_ROOM_HISTORY: usize = 1000;

impl Join {
    /// Refuses what cannot be meant.
    pub fn checked(self) -> Result<Self, Problem> {
        if self.history.is_some_and(|count| count > MAX_ROOM_HISTORY) {
            return Err(Problem::new(Code::InvalidField, format!("history is a number up to {MAX_ROOM_HISTORY}")));
        }
        // a partition and an offset, which look like the id of a log's entry
        if self.since.as_deref().is_some_and(|id| id.parse::<LogId>().is_err()) {
            return Err(Problem::new(Code::InvalidField, "since is the id of a record, as in 3-17"));
        }
        Ok(self)
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct Connect {
    /// Absent when the upgrade request already carried a token or a ticket.
    pub token: Option<String>,
    /// What the client last received, per conversation.
    pub resume: Resume,
}

/// The token stays out of logs.
impl std::fmt::Debug for Connect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connect")
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("resume", &self.resume)
            .finish()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Send {
    pub client_msg_id: ClientMsgId,
    pub conversation_id: ConversationId,
    pub content: String,
    pub thread_root_id: Option<MessageId>,
    pub attachment_ids: Vec<String>,
    pub traceparent: Option<TraceParent>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Typing {
    pub conversation_id: ConversationId,
    pub is_typing: bool,
}

/// Listens to a room for as long as the session lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Join {
    pub room_id: ConversationId,
    /// Send the conversation's events behind this seq first.
    pub after: Option<Seq>,
    /// Send so many of the last records first.
    pub history: Option<usize>,
    /// Send the records behind the one with this id first.
    pub since: Option<String>,
}

/// At least one of the two watermarks is set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub conversation_id: ConversationId,
    pub delivered_seq: Option<Seq>,
    pub read_seq: Option<Seq>,
}

/// A refused frame, with the `clientMsgId` it named where that could be read: the sender can then tell which of its
/// messages was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub problem: Problem,
    pub client_msg_id: Option<String>,
}

/// Every member any frame may have. Unknown members are passed over: a newer client may send more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    token: Option<String>,
    resume: Option<BTreeMap<Cow<'a, str>, Seq>>,
    #[serde(borrow)]
    position: Option<Cow<'a, str>>,
    #[serde(borrow)]
    client_msg_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    conversation_id: Option<Cow<'a, str>>,
    content: Option<String>,
    #[serde(borrow)]
    thread_root_id: Option<Cow<'a, str>>,
    attachment_ids: Option<Vec<String>>,
    is_typing: Option<bool>,
    delivered_seq: Option<Seq>,
    read_seq: Option<Seq>,
    #[serde(borrow)]
    room_id: Option<Cow<'a, str>>,
    after: Option<Seq>,
    history: Option<usize>,
    since: Option<String>,
    #[serde(borrow)]
    traceparent: Option<Cow<'a, str>>,
}

/// Decodes one text frame. Content length is the caller's to limit.
pub fn decode(text: &str) -> Result<ClientFrame, Refused> {
    if !text.trim_start().starts_with('{') {
        let problem = Problem::new(Code::InvalidJson, "the frame is not a JSON object");
        return Err(Refused { problem, client_msg_id: None });
    }
    let mut wire: Wire<'_> = serde_json::from_str(text).map_err(|error| Refused {
        client_msg_id: None,
        problem: if error.is_data() {
            Problem::new(Code::InvalidField, format!("a member of the frame has the wrong shape: {error}"))
        } else {
            Problem::new(Code::InvalidJson, format!("the frame is not a JSON object: {error}"))
        },
    })?;
    let client_msg_id = wire.client_msg_id.take();
    wire.into_frame(client_msg_id.as_deref())
        .map_err(|problem| Refused { problem, client_msg_id: client_msg_id.map(Cow::into_owned) })
}

fn id<T: std::str::FromStr<Err = InvalidId>>(name: &str, value: Option<&str>) -> Result<T, Problem> {
    let value = value.ok_or_else(|| missing(name))?;
    value.parse().map_err(|error| Problem::new(Code::InvalidField, format!("{name}: {error}")))
}

fn missing(name: &str) -> Problem {
    Problem::new(Code::MissingField, format!("the frame needs {name}"))
}

impl Wire<'_> {
    fn into_frame(self, client_msg_id: Option<&str>) -> Result<ClientFrame, Problem> {
        let kind = self.kind.as_deref().ok_or_else(|| missing("type"))?;
        match kind {
            "CONNECT" => self.into_connect().map(ClientFrame::Connect),
            "SEND" => Ok(ClientFrame::Send(Send {
                client_msg_id: id("clientMsgId", client_msg_id)?,
                conversation_id: id("conversationId", self.conversation_id.as_deref())?,
                content: self.content.ok_or_else(|| missing("content"))?,
                thread_root_id: self
                    .thread_root_id
                    .as_deref()
                    .map(|root| id("threadRootId", Some(root)))
                    .transpose()?,
                attachment_ids: self.attachment_ids.unwrap_or_default(),
                traceparent: self.traceparent.as_deref().and_then(TraceParent::parse),
            })),
            "TYPING" => Ok(ClientFrame::Typing(Typing {
                conversation_id: id("conversationId", self.conversation_id.as_deref())?,
                is_typing: self.is_typing.ok_or_else(|| missing("isTyping"))?,
            })),
            "RECEIPT" => {
                if self.delivered_seq.is_none() && self.read_seq.is_none() {
                    return Err(missing("deliveredSeq or readSeq"));
                }
                Ok(ClientFrame::Receipt(Receipt {
                    conversation_id: id("conversationId", self.conversation_id.as_deref())?,
                    delivered_seq: self.delivered_seq,
                    read_seq: self.read_seq,
                }))
            }
            "JOIN" => Join {
                room_id: id("roomId", self.room_id.as_deref())?,
                after: self.after,
                history: self.history,
                since: self.since,
            }
            .checked()
            .map(ClientFrame::Join),
            "LEAVE" => Ok(ClientFrame::Leave { room_id: id("roomId", self.room_id.as_deref())? }),
            "PING" => Ok(ClientFrame::Ping),
            other => {
                let shown: String = other.chars().take(40).collect();
                Err(Problem::new(Code::UnknownType, format!("the frame type {shown:?} is unknown")))
            }
        }
    }

    fn into_connect(self) -> Result<Connect, Problem> {
        let invalid = |detail: String| Problem::new(Code::InvalidField, detail);
        let mut resume = match self.position.as_deref() {
            Some(position) => position::decode(position).map_err(|error| invalid(format!("position: {error}")))?,
            None => Resume::new(),
        };
        for (conversation, seq) in self.resume.unwrap_or_default() {
            let conversation =
                ConversationId::parse(&conversation).map_err(|error| invalid(format!("resume: {error}")))?;
            resume.insert(conversation, seq);
        }
        Ok(Connect { token: self.token, resume })
    }
}
