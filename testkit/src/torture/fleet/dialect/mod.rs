//! What a device says and hears, in whichever language it speaks. Pure: texts in, meaning out.

mod native;
mod stomp;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::torture::history::{Event, Name, What, fingerprint};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Native,
    Stomp,
}

/// Where a client says that it left off.
#[derive(Clone, Debug)]
pub(super) enum Resume<'a> {
    Places(&'a BTreeMap<Name, u64>),
    Position(&'a str),
}

/// What a message of the server means.
#[derive(Debug, PartialEq)]
pub(super) enum Heard {
    Connected,
    /// A send is stored.
    Stored {
        client_msg_id: String,
        conversation: String,
        message_id: String,
        seq: u64,
    },
    /// Something is refused; `client_msg_id` is empty when it was no send.
    Refused {
        client_msg_id: String,
        code: String,
    },
    /// What the history records.
    Said(What),
    /// The room is listened to; natively that says behind which seq.
    Joined {
        room: Name,
        seq: Option<u64>,
    },
    /// It is not any more.
    Left {
        room: Name,
    },
    /// Where to go on from, once everything before it was heard.
    Position(String),
}

impl Dialect {
    /// What is offered at the upgrade.
    pub(super) fn subprotocol(self) -> Option<&'static str> {
        match self {
            Self::Native => None,
            Self::Stomp => Some("v12.stomp"),
        }
    }

    pub(super) fn connect(self, token: &str, resume: Option<&Resume<'_>>) -> String {
        match self {
            Self::Native => native::connect(token, resume),
            Self::Stomp => stomp::connect(token, resume),
        }
    }

    /// What is said after CONNECTED.
    pub(super) fn greeting(self) -> Vec<String> {
        match self {
            Self::Native => Vec::new(),
            Self::Stomp => stomp::subscriptions(),
        }
    }

    pub(super) fn send(self, client_msg_id: &str, conversation: &str, content: &str) -> String {
        match self {
            Self::Native => native::send(client_msg_id, conversation, content),
            Self::Stomp => stomp::send(client_msg_id, conversation, content),
        }
    }

    /// Asks for a room, for the events after a seq, and for the records behind one.
    pub(super) fn join(self, room: &str, after: Option<u64>, since: Option<&str>) -> String {
        match self {
            Self::Native => native::join(room, after, since),
            Self::Stomp => stomp::join(room, after, since),
        }
    }

    pub(super) fn leave(self, room: &str) -> String {
        match self {
            Self::Native => native::leave(room),
            Self::Stomp => stomp::leave(room),
        }
    }

    /// In the order in which it was said.
    pub(super) fn hear(self, text: &str) -> Vec<Heard> {
        match self {
            Self::Native => native::hear(text),
            Self::Stomp => stomp::hear(text),
        }
    }
}

/// A record as it came: it has to be the same byte for byte.
#[derive(Deserialize)]
struct Carried<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// The JSON that all languages carry.
fn of_json(text: &str) -> Option<Heard> {
    let frame: Value = serde_json::from_str(text).ok()?;
    let field = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
    let number = |name: &str| frame[name].as_u64().unwrap_or_default();
    Some(match frame["type"].as_str()? {
        "CONNECTED" => Heard::Connected,
        "ACK" => Heard::Stored {
            client_msg_id: field("clientMsgId"),
            conversation: field("conversationId"),
            message_id: field("messageId"),
            seq: number("seq"),
        },
        "ERROR" => Heard::Refused { client_msg_id: field("clientMsgId"), code: field("code") },
        "JOINED" => Heard::Joined { room: field("roomId").into(), seq: frame["seq"].as_u64() },
        "LEFT" => Heard::Left { room: field("roomId").into() },
        "GAP" => {
            let (room, since) = (field("roomId").into(), frame["since"].as_str().map(Name::from));
            Heard::Said(What::Gap { room, since })
        }
        "message" => {
            let (room, id) = (field("roomId").into(), field("id").into());
            let data = serde_json::from_str::<Carried<'_>>(text).ok()?.data;
            Heard::Said(What::Record { room, id, fingerprint: fingerprint(data.get()) })
        }
        "POSITION" => Heard::Position(field("position")),
        "RESYNC" => {
            let conversation = field("conversationId").into();
            Heard::Said(What::Resync { conversation, from: number("from"), head: number("head") })
        }
        _ => match (Event::read(&frame), frame["conversationId"].as_str()) {
            (Some(event), _) => Heard::Said(What::Event(event)),
            (None, Some(conversation)) => Heard::Said(What::Other { conversation: conversation.into() }),
            (None, None) => return None,
        },
    })
}
