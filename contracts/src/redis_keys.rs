//! The names of everything in Redis. They are built here and nowhere else.

use crate::ids::{ConversationId, Node, UserId};

/// The consumer group by which a gateway reads its own stream.
pub const STREAM_GROUP: &str = "gateway";
/// Streams are trimmed to about this many entries.
pub const STREAM_MAX_LENGTH: u64 = 10_000;

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

    /// Set: the connection ids of one user.
    pub fn user_connections(&self, user: &UserId) -> String {
        format!("{}connection-set:{user}", self.prefix)
    }

    /// String with expiry: the boot id of the gateway that is alive under this name.
    pub fn gateway_lease(&self, node: &str) -> String {
        format!("{}gateway-lease:{node}", self.prefix)
    }

    /// String: set once per life of the data; gone after a flush.
    pub fn registry_epoch(&self) -> String {
        format!("{}registry-epoch", self.prefix)
    }

    /// Pub/Sub: events of one broadcast conversation.
    pub fn room(&self, conversation: &ConversationId) -> String {
        format!("{}room:{conversation}", self.prefix)
    }

    /// Pub/Sub: a commit left rows in this outbox shard.
    pub fn outbox_wake(&self, shard: u32) -> String {
        format!("{}outbox-wake:{shard}", self.prefix)
    }

    /// Pub/Sub: a token or a user's sessions were revoked.
    pub fn auth_revoked(&self) -> String {
        format!("{}auth-revoked", self.prefix)
    }

    /// Pub/Sub: one user's workflow events, and the stream that keeps the last of them.
    pub fn user_events(&self, username: &str) -> String {
        format!("{}workflow:events:{username}", self.prefix)
    }

    pub fn user_event_log(&self, username: &str) -> String {
        format!("{}workflow:log:{username}", self.prefix)
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
    }
}
