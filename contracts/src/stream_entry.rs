//! Entries of a gateway's Redis stream: one per event and gateway, however many of its users are meant.

use bytes::Bytes;

use crate::{
    event::EventType,
    ids::{ConversationId, UserId},
    seq::Seq,
    trace::TraceParent,
};

/// Users of one gateway, kept as the comma list it travels as: a gateway looks each up by text and allocates nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recipients(Bytes);

impl Recipients {
    pub fn new<'a>(users: impl IntoIterator<Item = &'a UserId>) -> Self {
        let mut list = String::new();
        for user in users {
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(user.as_str());
        }
        Self(Bytes::from(list))
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        std::str::from_utf8(&self.0).unwrap_or_default().split(',').filter(|user| !user.is_empty())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a worker tells a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEntry {
    /// An event of a conversation's log. The gateway delivers it by its cursor: seq is trusted, arrival order is not.
    Event {
        conversation_id: ConversationId,
        seq: Seq,
        event_type: EventType,
        /// Membership events: who joined or left.
        subject: Option<UserId>,
        /// The entitled users that this gateway holds, as the worker saw them.
        recipients: Recipients,
        /// The event's JSON, which is the native frame.
        payload: Bytes,
        traceparent: Option<TraceParent>,
        /// The conversation goes by broadcast: what follows comes on its room's channel.
        broadcast: bool,
    },
    /// Something without seq for the users named, such as typing and presence: may be dropped, is never repeated. Of a
    /// conversation: only for those who are still in it.
    Ephemeral { conversation_id: Option<ConversationId>, recipients: Recipients, payload: Bytes },
    /// Something without seq for the users named that should arrive: status, notification.
    Direct { recipients: Recipients, payload: Bytes },
    /// Heads of conversations lately routed to this gateway, so that a lost last event is noticed.
    Digest { heads: Vec<(ConversationId, Seq)> },
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEntry {
    #[error("the stream entry has no valid field {0:?}")]
    Field(&'static str),
    #[error("the stream entry kind is unknown")]
    UnknownKind,
}

mod field {
    pub(super) const KIND: &str = "k";
    pub(super) const CONVERSATION: &str = "c";
    pub(super) const SEQ: &str = "s";
    pub(super) const EVENT_TYPE: &str = "t";
    pub(super) const SUBJECT: &str = "u";
    pub(super) const RECIPIENTS: &str = "r";
    pub(super) const PAYLOAD: &str = "p";
    pub(super) const TRACEPARENT: &str = "tp";
    pub(super) const BROADCAST: &str = "b";
}

/// Fields in the order they are written, ready for XADD.
pub type Fields = Vec<(&'static str, Bytes)>;

impl StreamEntry {
    pub fn to_fields(&self) -> Fields {
        let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        match self {
            Self::Event { conversation_id, seq, event_type, subject, recipients, payload, traceparent, broadcast } => {
                let mut fields = vec![
                    (field::KIND, Bytes::from_static(b"e")),
                    (field::CONVERSATION, text(conversation_id.as_str())),
                    (field::SEQ, Bytes::from(seq.to_string())),
                    (field::EVENT_TYPE, Bytes::from_static(event_type.as_str().as_bytes())),
                    (field::RECIPIENTS, recipients.0.clone()),
                    (field::PAYLOAD, payload.clone()),
                ];
                if let Some(subject) = subject {
                    fields.push((field::SUBJECT, text(subject.as_str())));
                }
                if let Some(traceparent) = traceparent {
                    fields.push((field::TRACEPARENT, Bytes::from(traceparent.to_string())));
                }
                if *broadcast {
                    fields.push((field::BROADCAST, Bytes::from_static(b"1")));
                }
                fields
            }
            Self::Ephemeral { conversation_id, recipients, payload } => {
                let mut fields = vec![
                    (field::KIND, Bytes::from_static(b"y")),
                    (field::RECIPIENTS, recipients.0.clone()),
                    (field::PAYLOAD, payload.clone()),
                ];
                if let Some(conversation_id) = conversation_id {
                    fields.push((field::CONVERSATION, text(conversation_id.as_str())));
                }
                fields
            }
            Self::Direct { recipients, payload } => vec![
                (field::KIND, Bytes::from_static(b"u")),
                (field::RECIPIENTS, recipients.0.clone()),
                (field::PAYLOAD, payload.clone()),
            ],
            Self::Digest { heads } => {
                let list = heads.iter().map(|(id, seq)| format!("{id}={seq}")).collect::<Vec<_>>().join(",");
                vec![(field::KIND, Bytes::from_static(b"d")), (field::PAYLOAD, Bytes::from(list))]
            }
        }
    }

    /// Reads an entry from its fields in any order; fields of a newer writer are passed over.
    pub fn from_fields<'a>(fields: impl IntoIterator<Item = (&'a str, Bytes)>) -> Result<Self, InvalidEntry> {
        let mut found = Found::default();
        for (name, value) in fields {
            match name {
                field::KIND => found.kind = value,
                field::CONVERSATION => found.conversation = value,
                field::SEQ => found.seq = value,
                field::EVENT_TYPE => found.event_type = value,
                field::SUBJECT => found.subject = value,
                field::RECIPIENTS => found.recipients = value,
                field::PAYLOAD => found.payload = value,
                field::TRACEPARENT => found.traceparent = value,
                field::BROADCAST => found.broadcast = value,
                _ => {}
            }
        }
        found.into_entry()
    }
}

#[derive(Default)]
struct Found {
    kind: Bytes,
    conversation: Bytes,
    seq: Bytes,
    event_type: Bytes,
    subject: Bytes,
    recipients: Bytes,
    payload: Bytes,
    traceparent: Bytes,
    broadcast: Bytes,
}

fn parsed<T: std::str::FromStr>(name: &'static str, value: &[u8]) -> Result<T, InvalidEntry> {
    std::str::from_utf8(value).ok().and_then(|text| text.parse().ok()).ok_or(InvalidEntry::Field(name))
}

impl Found {
    fn into_entry(self) -> Result<StreamEntry, InvalidEntry> {
        if std::str::from_utf8(&self.recipients).is_err() {
            return Err(InvalidEntry::Field(field::RECIPIENTS));
        }
        let recipients = Recipients(self.recipients);
        match &self.kind[..] {
            b"e" => Ok(StreamEntry::Event {
                conversation_id: parsed(field::CONVERSATION, &self.conversation)?,
                seq: match parsed(field::SEQ, &self.seq)? {
                    0 => return Err(InvalidEntry::Field(field::SEQ)),
                    seq => Seq::new(seq),
                },
                event_type: std::str::from_utf8(&self.event_type)
                    .ok()
                    .and_then(EventType::parse)
                    .ok_or(InvalidEntry::Field(field::EVENT_TYPE))?,
                subject: match &self.subject[..] {
                    b"" => None,
                    subject => Some(parsed(field::SUBJECT, subject)?),
                },
                recipients,
                payload: self.payload,
                traceparent: std::str::from_utf8(&self.traceparent).ok().and_then(TraceParent::parse),
                broadcast: &self.broadcast[..] == b"1",
            }),
            b"y" => Ok(StreamEntry::Ephemeral {
                conversation_id: match &self.conversation[..] {
                    b"" => None,
                    conversation => Some(parsed(field::CONVERSATION, conversation)?),
                },
                recipients,
                payload: self.payload,
            }),
            b"u" => Ok(StreamEntry::Direct { recipients, payload: self.payload }),
            b"d" => {
                let list = std::str::from_utf8(&self.payload).map_err(|_| InvalidEntry::Field(field::PAYLOAD))?;
                let heads = list.split(',').filter(|part| !part.is_empty()).map(|part| {
                    let (id, seq) = part.rsplit_once('=').ok_or(InvalidEntry::Field(field::PAYLOAD))?;
                    Ok((parsed(field::PAYLOAD, id.as_bytes())?, Seq::new(parsed(field::PAYLOAD, seq.as_bytes())?)))
                });
                Ok(StreamEntry::Digest { heads: heads.collect::<Result<_, _>>()? })
            }
            _ => Err(InvalidEntry::UnknownKind),
        }
    }
}
