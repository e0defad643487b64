//! Kafka topics by role. Names are configuration; these are the defaults the operator and `chatcluster topics apply`
//! provision.

use std::time::Duration;

/// What a topic is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    Messages,
    Created,
    Ingest,
    Direct,
    Status,
    Typing,
    Notifications,
    ConnectionAdd,
    ConnectionRemove,
    Users,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

impl Topic {
    pub const ALL: [Self; 10] = [
        Self::Messages,
        Self::Created,
        Self::Ingest,
        Self::Direct,
        Self::Status,
        Self::Typing,
        Self::Notifications,
        Self::ConnectionAdd,
        Self::ConnectionRemove,
        Self::Users,
    ];

    pub const fn default_name(self) -> &'static str {
        match self {
            Self::Messages => "message.all",
            Self::Created => "message.created",
            Self::Ingest => "message.ingest",
            Self::Direct => "chat-messages",
            Self::Status => "message-status-events",
            Self::Typing => "typing-events",
            Self::Notifications => "notifications",
            Self::ConnectionAdd => "connection.add",
            Self::ConnectionRemove => "connection.remove",
            Self::Users => "user.events",
        }
    }

    pub const fn partitions(self) -> u32 {
        match self {
            Self::Messages | Self::Created | Self::Ingest => 12,
            _ => 3,
        }
    }

    pub const fn retention(self) -> Duration {
        Duration::from_secs(match self {
            Self::Messages | Self::Created | Self::Ingest | Self::Direct => 7 * DAY,
            Self::Status | Self::Users => DAY,
            Self::Typing => MINUTE,
            Self::Notifications => 30 * DAY,
            Self::ConnectionAdd | Self::ConnectionRemove => HOUR,
        })
    }

    /// Segments must roll at least as often as records expire, or a short retention never deletes anything.
    pub fn segment(self) -> Duration {
        self.retention().min(Duration::from_secs(7 * DAY)).max(Duration::from_secs(MINUTE)) / 2
    }

    /// Does a record nobody could process go to a dead-letter topic? Ephemera are dropped instead.
    pub const fn has_dead_letters(self) -> bool {
        !matches!(self, Self::Typing | Self::ConnectionAdd | Self::ConnectionRemove)
    }
}

/// Suffix, partitions and retention of dead-letter topics.
pub const DEAD_LETTER_SUFFIX: &str = ".dlq";
pub const DEAD_LETTER_RETENTION: Duration = Duration::from_secs(14 * DAY);

/// Consumer groups by what they do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Group {
    /// Workers: messages, status, typing, notifications.
    Fanout,
    /// Workers: records on `message.created`, broadcast.
    Rooms,
    /// Core: ingest and direct.
    Ingest,
    /// Workers: connection events.
    Connections,
}

impl Group {
    pub const ALL: [Self; 4] = [Self::Fanout, Self::Rooms, Self::Ingest, Self::Connections];

    pub const fn default_name(self) -> &'static str {
        match self {
            Self::Fanout => "fanout-worker-group",
            Self::Rooms => "realtime-gateway-group",
            Self::Ingest => "communication-service-group",
            Self::Connections => "connection-fanoutworker",
        }
    }
}

/// Sets the topics and groups of several clusters on one Kafka apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    prefix: String,
}

impl Names {
    pub fn with_prefix(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub fn topic(&self, topic: Topic) -> String {
        format!("{}{}", self.prefix, topic.default_name())
    }

    pub fn dead_letters(&self, topic: Topic) -> String {
        format!("{}{}{DEAD_LETTER_SUFFIX}", self.prefix, topic.default_name())
    }

    pub fn group(&self, group: Group) -> String {
        format!("{}{}", self.prefix, group.default_name())
    }

    /// The role of a topic by its full name.
    pub fn role(&self, name: &str) -> Option<Topic> {
        let bare = name.strip_prefix(self.prefix.as_str())?;
        Topic::ALL.into_iter().find(|topic| topic.default_name() == bare)
    }
}

/// Kafka's own rule for topic names: 1 to 249 of `[A-Za-z0-9._-]`, and not `.` or `..`.
pub fn is_valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 249
        && name != "."
        && name != ".."
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_sets_two_clusters_apart_and_roles_are_found_again() {
        let names = Names::with_prefix("blue.");
        assert_eq!(names.topic(Topic::Messages), "blue.message.all");
        assert_eq!(names.role("blue.message.all"), Some(Topic::Messages));
        assert_eq!(names.role("message.all"), None);
        assert_eq!(names.dead_letters(Topic::Ingest), "blue.message.ingest.dlq");
        for topic in Topic::ALL {
            assert!(is_valid_name(&names.topic(topic)));
            assert!(topic.segment() <= topic.retention());
        }
    }
}
