//! What the names of destinations mean on this platform. Whatever is not named here is refused.

use chatcluster_contracts::{
    ids::{ConversationId, InvalidId, UserId},
    problem::Code,
};

/// A destination that is not served. The text is fit for an ERROR frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    #[error("nothing can be sent to {0:?}; messages go to /app/conversations/{{id}}/messages")]
    UnknownSend(String),
    #[error("there is no destination {0:?} to subscribe to")]
    UnknownSubscribe(String),
    #[error("{0:?} belongs to another user")]
    OtherUser(String),
    #[error("the destination {0:?} names no conversation: {1}")]
    Conversation(String, InvalidId),
}

impl DestinationError {
    pub const fn code(&self) -> Code {
        match self {
            Self::UnknownSend(_) | Self::UnknownSubscribe(_) => Code::NotFound,
            Self::OtherUser(_) => Code::Forbidden,
            Self::Conversation(..) => Code::InvalidField,
        }
    }
}

/// What a SEND is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Message,
    Typing,
    /// Delivered and read watermarks.
    Receipt,
}

/// Where a SEND goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendTo {
    pub action: Action,
    /// `None` for the aliases: the JSON body names the conversation.
    pub conversation: Option<ConversationId>,
}

impl SendTo {
    /// `/app/conversations/{id}/messages|typing|receipts`, or one of the aliases `/app/chat`, `/app/chat.send`,
    /// `/app/chat.typing` and `/app/chat.read`.
    pub fn parse(destination: &str) -> Result<Self, DestinationError> {
        let unknown = || DestinationError::UnknownSend(shown(destination));
        let name = destination.strip_prefix("/app/").ok_or_else(unknown)?;
        let Some((conversation, action)) = name.strip_prefix("conversations/").and_then(|rest| rest.split_once('/'))
        else {
            let action = match name {
                "chat" | "chat.send" => Action::Message,
                "chat.typing" => Action::Typing,
                "chat.read" => Action::Receipt,
                _ => return Err(unknown()),
            };
            return Ok(Self { action, conversation: None });
        };
        let action = match action {
            "messages" => Action::Message,
            "typing" => Action::Typing,
            "receipts" => Action::Receipt,
            _ => return Err(unknown()),
        };
        Ok(Self { action, conversation: Some(conversation_id(destination, conversation)?) })
    }
}

/// What a SUBSCRIBE asks for. `/user/…` is always the subject of the session's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubscribeTo {
    /// Every message of every conversation that the user is in.
    Messages,
    StatusUpdates,
    Typing,
    Notifications,
    /// Who comes and who goes.
    Presence,
    /// What of this session's was refused without ending it.
    Errors,
    Conversation(ConversationId),
    Room(ConversationId),
}

impl SubscribeTo {
    /// `subject` is who the session's token was issued to; `/user/{subject}/queue/…` means the same as `/user/queue/…`.
    pub fn parse(destination: &str, subject: &UserId) -> Result<Self, DestinationError> {
        let unknown = || DestinationError::UnknownSubscribe(shown(destination));
        if let Some(topic) = destination.strip_prefix("/topic/") {
            if let Some(conversation) = topic.strip_prefix("conversations.") {
                return conversation_id(destination, conversation).map(Self::Conversation);
            }
            let room = topic.strip_prefix("rooms.").ok_or_else(unknown)?;
            return conversation_id(destination, room).map(Self::Room);
        }
        let name = destination.strip_prefix("/user/").ok_or_else(unknown)?;
        let (user, queue) = match name.strip_prefix("queue/") {
            Some(queue) => (None, queue),
            None => name.split_once("/queue/").map(|(user, queue)| (Some(user), queue)).ok_or_else(unknown)?,
        };
        if user.is_some_and(|user| user != subject.as_str()) {
            return Err(DestinationError::OtherUser(shown(destination)));
        }
        match queue {
            "messages" => Ok(Self::Messages),
            "status-updates" => Ok(Self::StatusUpdates),
            "typing" => Ok(Self::Typing),
            "notifications" => Ok(Self::Notifications),
            "presence" => Ok(Self::Presence),
            "errors" => Ok(Self::Errors),
            _ => Err(unknown()),
        }
    }
}

/// As a client would write it, and as MESSAGE frames name it.
impl std::fmt::Display for SubscribeTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Messages => f.write_str("/user/queue/messages"),
            Self::StatusUpdates => f.write_str("/user/queue/status-updates"),
            Self::Typing => f.write_str("/user/queue/typing"),
            Self::Notifications => f.write_str("/user/queue/notifications"),
            Self::Presence => f.write_str("/user/queue/presence"),
            Self::Errors => f.write_str("/user/queue/errors"),
            Self::Conversation(id) => write!(f, "/topic/conversations.{id}"),
            Self::Room(id) => write!(f, "/topic/rooms.{id}"),
        }
    }
}

fn conversation_id(destination: &str, id: &str) -> Result<ConversationId, DestinationError> {
    ConversationId::parse(id).map_err(|error| DestinationError::Conversation(shown(destination), error))
}

/// No more of a peer's text than a person wants to read.
fn shown(destination: &str) -> String {
    destination.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_go_to_conversations_or_aliases() {
        let id = Some(ConversationId::parse("c:1").unwrap());
        for (text, action) in [("messages", Action::Message), ("typing", Action::Typing), ("receipts", Action::Receipt)]
        {
            let parsed = SendTo::parse(&format!("/app/conversations/c:1/{text}"));
            assert_eq!(parsed, Ok(SendTo { action, conversation: id.clone() }));
        }
        for (text, action) in [
            ("/app/chat", Action::Message),
            ("/app/chat.send", Action::Message),
            ("/app/chat.typing", Action::Typing),
            ("/app/chat.read", Action::Receipt),
        ] {
            assert_eq!(SendTo::parse(text), Ok(SendTo { action, conversation: None }));
        }
        for bad in
            ["", "/app/", "/app/chat.x", "/app/conversations/c1", "/app/conversations/c1/x", "/topic/conversations.c1"]
        {
            assert_eq!(SendTo::parse(bad).unwrap_err().code(), Code::NotFound, "{bad:?}");
        }
        for bad in ["/app/conversations//messages", "/app/conversations/a b/messages"] {
            assert_eq!(SendTo::parse(bad).unwrap_err().code(), Code::InvalidField, "{bad:?}");
        }
    }

    #[test]
    fn subscriptions_are_the_users_own_or_a_topic() {
        let ann = UserId::parse("ann").unwrap();
        for text in [
            "/user/queue/messages",
            "/user/queue/status-updates",
            "/user/queue/typing",
            "/user/queue/notifications",
            "/user/queue/presence",
            "/user/queue/errors",
            "/topic/conversations.c-1.x",
            "/topic/rooms.r1",
        ] {
            assert_eq!(SubscribeTo::parse(text, &ann).unwrap().to_string(), text);
        }
        assert_eq!(SubscribeTo::parse("/user/ann/queue/messages", &ann), Ok(SubscribeTo::Messages));
        assert_eq!(SubscribeTo::parse("/user/bob/queue/messages", &ann).unwrap_err().code(), Code::Forbidden);
        for bad in
            ["", "/user/queue/x", "/user/", "/topic/x", "/queue/x", "/user/queue/messages/", "/user//queue/messages"]
        {
            assert!(SubscribeTo::parse(bad, &ann).is_err(), "{bad:?}");
        }
        assert_eq!(SubscribeTo::parse("/topic/rooms.", &ann).unwrap_err().code(), Code::InvalidField);
    }
}
