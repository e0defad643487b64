//! The names of everything in Redis. They are built here and nowhere else.

use std::time::Duration;

use crate::ids::{ConversationId, Node, UserId};

/// The consumer group by which a gateway reads its own stream.
pub const STREAM_GROUP: &str = "gateway";
/// Streams are trimmed to about this many entries.
pub const STREAM_MAX_LENGTH: u64 = 10_000;
/// An entry of a connection that its gateway does not speak of for so long is gone.
pub const CONNECTION_TTL: Duration = Duration::from_hours(1);
/// Users are in one of so many slices, each of which has a version in [`Keys::connection_versions`].
pub const CONNECTION_SLICES: u8 = 64;

/// The slice of a user: the same in every process and release, or a worker would look at another version than the one a
/// gateway wrote. FNV-1a, 32 bit.
pub fn connection_slice(user: &UserId) -> u8 {
    let hash =
        user.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    u8::try_from(hash % u32::from(CONNECTION_SLICES)).unwrap_or_default()
}

/// Builds names under one optional prefix, which isolates tenants on one Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keys {
    prefix: String,
}

impl Keys {
    pub fn with_prefix(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// Stream: what the workers have for one gateway.
    pub fn gateway_stream(&self, node: &Node) -> String {
        format!("{}gatewayId:{node}:stream", self.prefix)
    }

    /// Hash: one live connection. `connection` is a [`crate::ids::ConnectionId`] or one as Redis returned it.
    pub fn connection(&self, connection: &str) -> String {
        format!("{}connection-active{connection}", self.prefix)
    }

    /// What the hashes of all connections match (SCAN).
    pub fn every_connection(&self) -> String {
        let mut pattern = String::new();
        for c in self.connection("").chars() {
            if "*?[]\\^-".contains(c) {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern + "*"
    }

    /// The connection that a hash is of.
    pub fn connection_of<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(&self.connection(""))
    }

    /// Set: the connection ids of one user.
    pub fn user_connections(&self, user: &UserId) -> String {
        format!("{}connection-set:{user}", self.prefix)
    }

    /// Hash: for each slice of users a value that is another one after every change of their connections.
    pub fn connection_versions(&self) -> String {
        format!("{}connection-versions", self.prefix)
    }

    /// String with expiry: the boot id of the gateway that is alive under this name.
    pub fn gateway_lease(&self, node: &str) -> String {
        format!("{}gateway-lease:{node}", self.prefix)
    }

    /// Set: the nodes that have, or had, a stream. An operator removes those of nodes that are gone.
    pub fn gateway_nodes(&self) -> String {
        format!("{}gateway-nodes", self.prefix)
    }

    /// String: set once per life of the data; gone after a flush.
    pub fn registry_epoch(&self) -> String {
        format!("{}registry-epoch", self.prefix)
    }

    /// Pub/Sub: a conversation that goes by broadcast, and what others put on `message.created` for it.
    pub fn room(&self, conversation: &ConversationId) -> String {
        format!("{}room:{conversation}", self.prefix)
    }

    /// What the names of all rooms' channels begin with.
    pub fn rooms(&self) -> String {
        format!("{}room:", self.prefix)
    }

    /// Stream: the last of a room's records. In a cluster it is where the room's channel is, so that one script can write
    /// to the one and publish on the other.
    pub fn room_log(&self, conversation: &ConversationId) -> String {
        format!("{}room-log:{{{}}}", self.prefix, self.room(conversation))
    }

    /// Hash: of each partition the last record that is in a room's log, so that no record comes there twice.
    pub fn room_marks(&self, conversation: &ConversationId) -> String {
        format!("{}room-marks:{{{}}}", self.prefix, self.room(conversation))
    }

    /// Pub/Sub: a commit left rows in this outbox shard.
    pub fn outbox_wake(&self, shard: u32) -> String {
        format!("{}outbox-wake:{shard}", self.prefix)
    }

    /// Pub/Sub: a login was ended, as [`crate::revocation::Revocation`].
    pub fn auth_revoked(&self) -> String {
        format!("{}auth-revoked", self.prefix)
    }

    /// Pub/Sub: one user's workflow events, and the stream that keeps the last of them.
    pub fn user_events(&self, username: &str) -> String {
        format!("{}workflow:events:{username}", self.prefix)
    }

    /// Pub/Sub: where in the order of all these messages whoever keeps the logs begins to count. Nobody's name has a `#`.
    pub fn user_event_mark(&self) -> String {
        self.user_events("#")
    }

    pub fn user_event_log(&self, username: &str) -> String {
        format!("{}workflow:log:{username}", self.prefix)
    }

    /// Pub/Sub: something was added to that stream.
    pub fn user_event_notice(&self, username: &str) -> String {
        format!("{}workflow:logged:{username}", self.prefix)
    }

    /// Hash: the worker that is to keep the logs, and until when; and what names the life of the data, which is lost with
    /// the logs and not with the lease.
    pub fn user_event_log_lease(&self) -> String {
        format!("{}workflow-log-keeper", self.prefix)
    }

    /// String with expiry: the worker that hears everything and keeps the logs right now.
    pub fn user_event_log_writer(&self) -> String {
        format!("{}workflow-log-writer", self.prefix)
    }

    /// Hash: what each gateway last said about its listeners.
    pub fn user_event_nodes(&self) -> String {
        format!("{}workflow-nodes", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_names() {
        let keys = Keys::default();
        assert_eq!(keys.gateway_stream(&Node::parse("gateway-1").unwrap()), "gatewayId:gateway-1:stream");
        assert_eq!(keys.connection("gateway-1~7"), "connection-activegateway-1~7");
        assert_eq!(keys.user_connections(&UserId::parse("u1").unwrap()), "connection-set:u1");
        assert_eq!(Keys::with_prefix("t1:").registry_epoch(), "t1:registry-epoch");
        assert_eq!(Keys::with_prefix("t1:").gateway_nodes(), "t1:gateway-nodes");
        let (room, keys) = (ConversationId::parse("123").unwrap(), Keys::with_prefix("t1:"));
        assert_eq!(Keys::default().room(&room), "room:123");
        assert_eq!((keys.room(&room), keys.rooms()), ("t1:room:123".to_owned(), "t1:room:".to_owned()));
        assert_eq!(keys.room_log(&room), "t1:room-log:{t1:room:123}");
        assert_eq!(keys.room_marks(&room), "t1:room-marks:{t1:room:123}");
        assert_eq!(Keys::with_prefix("t1:").connection_versions(), "t1:connection-versions");
    }

    #[test]
    fn the_slice_of_a_user_never_changes() {
        let slice = |id: &str| connection_slice(&UserId::parse(id).unwrap());
        // FNV-1a of "foobar" is 0xbf9cf968, of "a" 0xe40c292c; of which the lowest six bits count
        assert_eq!((slice("foobar"), slice("a")), (0x28, 0x2c));
        let used: std::collections::HashSet<u8> = (0..2000).map(|i| slice(&format!("user-{i}"))).collect();
        assert_eq!(used.len(), usize::from(CONNECTION_SLICES));
    }
}
