//! Kafka topics by role. Names are configuration (see [`Names`]); these are the defaults the operator and `chatcluster
//! topics apply` provision.

mod names;

use std::time::Duration;

pub use names::{InvalidNames, Names, Renamed, is_valid_name};

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

    /// What the topic is called in settings, whatever its name in Kafka.
    pub const fn role_name(self) -> &'static str {
        match self {
            Self::Messages => "messages",
            Self::Created => "created",
            Self::Ingest => "ingest",
            Self::Direct => "direct",
            Self::Status => "status",
            Self::Typing => "typing",
            Self::Notifications => "notifications",
            Self::ConnectionAdd => "connectionAdd",
            Self::ConnectionRemove => "connectionRemove",
            Self::Users => "users",
        }
    }

    pub fn from_role_name(role: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.role_name() == role)
    }

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
