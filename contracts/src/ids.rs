//! Identifiers. Each is checked once, where it enters; inside, a wrong string cannot become an id.

use std::{borrow::Borrow, fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Longest id accepted, in bytes. Subjects of outside issuers (`auth0|…`, e-mail addresses) fit.
pub const MAX_ID_BYTES: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    #[error("an id must not be empty")]
    Empty,
    #[error("an id has at most {MAX_ID_BYTES} bytes, this one {0}")]
    TooLong(usize),
    #[error("an id must not contain {0:?}")]
    Character(char),
    #[error("a connection id is <node>~<unique>")]
    NotAConnection,
}

/// Ids stand in Redis keys, comma lists and URLs, so separators, braces (hash tags) and controls stay out.
fn check(text: &str) -> Result<(), InvalidId> {
    if text.is_empty() {
        return Err(InvalidId::Empty);
    }
    if text.len() > MAX_ID_BYTES {
        return Err(InvalidId::TooLong(text.len()));
    }
    match text.chars().find(|c| !(c.is_ascii_alphanumeric() || "-_.@|:+=~".contains(*c))) {
        Some(c) => Err(InvalidId::Character(c)),
        None => Ok(()),
    }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        /// Cheap to clone: the text is shared.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                $check(text)?;
                Ok(Self(Arc::from(text)))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::parse(text)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), &self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(de::Error::custom)
            }
        }
    };
}

id!(
    /// A person or program that signs in: the `sub` of its token.
    UserId, check
);
id!(
    /// A dm, group or channel.
    ConversationId, check
);
id!(
    /// A stored message.
    MessageId, check
);
id!(
    /// The tenant; nothing crosses it.
    WorkspaceId, check
);
id!(
    /// The sender's own name for a message; unique per sender, so a retry is recognised.
    ClientMsgId, check
);
id!(
    /// A gateway process by name (the pod's name on Kubernetes).
    Node, check_node
);
id!(
    /// One start of one gateway process.
    BootId, check
);
id!(
    /// One client connection. The node is part of it, so that one SMEMBERS per user tells every gateway.
    ConnectionId, check_connection
);

fn check_node(text: &str) -> Result<(), InvalidId> {
    check(text)?;
    match text.chars().find(|c| matches!(c, '~' | ':' | '|')) {
        Some(c) => Err(InvalidId::Character(c)),
        None => Ok(()),
    }
}

fn check_connection(text: &str) -> Result<(), InvalidId> {
    check(text)?;
    let (node, unique) = text.split_once('~').ok_or(InvalidId::NotAConnection)?;
    check_node(node)?;
    if unique.is_empty() { Err(InvalidId::NotAConnection) } else { Ok(()) }
}

impl ConnectionId {
    /// `unique` must not repeat within one boot of `node`, nor across boots.
    pub fn new(node: &Node, unique: &str) -> Result<Self, InvalidId> {
        Self::parse(&format!("{node}~{unique}"))
    }

    /// The gateway that holds the connection.
    pub fn node(&self) -> &str {
        self.0.split_once('~').map_or("", |(node, _)| node)
    }
}

impl WorkspaceId {
    /// The workspace of everyone who names none.
    pub const DEFAULT: &'static str = "default";
}

impl Default for WorkspaceId {
    fn default() -> Self {
        Self(Arc::from(Self::DEFAULT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_empty_text_are_refused() {
        for bad in ["", "a b", "a,b", "a/b", "{x}", "a\n", "ä"] {
            assert!(UserId::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(UserId::parse(&"x".repeat(129)), Err(InvalidId::TooLong(129)));
        assert!(UserId::parse("auth0|5f7c").is_ok());
    }

    #[test]
    fn a_connection_names_its_node() {
        let node = Node::parse("gateway-7d9f.eu").unwrap();
        let id = ConnectionId::new(&node, "b1-42").unwrap();
        assert_eq!(id.node(), "gateway-7d9f.eu");
        assert_eq!(ConnectionId::parse("nonode"), Err(InvalidId::NotAConnection));
    }
}
