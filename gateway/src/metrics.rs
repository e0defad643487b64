//! The figures of a gateway. Labels never carry a user, a conversation or a connection.

use std::sync::atomic::AtomicU64;

use chatcluster_contracts::close::CloseReason;
use chatcluster_service::metrics::{Metrics, latency_histogram};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Reason {
    pub(crate) reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Outcome {
    pub(crate) outcome: &'static str,
}

/// What every session counts; one for all of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct SessionMetrics {
    pub(crate) dropped: Counter,
    pub(crate) queue_bytes: Gauge,
}

#[derive(Debug)]
pub(crate) struct GatewayMetrics {
    pub(crate) session: SessionMetrics,
    pub(crate) connections: Gauge,
    pub(crate) opened: Counter,
    pub(crate) refused_connections: Counter,
    closed: Family<Reason, Counter>,
    sends: Family<Outcome, Counter>,
    pub(crate) refused_frames: Counter,
    pub(crate) deliveries: Counter,
    pub(crate) backfilled: Counter,
    pub(crate) fetches: Counter,
    pub(crate) resyncs: Counter,
    pub(crate) stream_entries: Counter,
    pub(crate) stream_undecodable: Counter,
    pub(crate) stream_gaps: Counter,
    pub(crate) stream_length: Gauge<u64, AtomicU64>,
    pub(crate) entry_to_socket: Histogram,
    pub(crate) send_to_ack: Histogram,
    pub(crate) user_event_connections: Gauge,
    pub(crate) user_event_messages: Counter,
    pub(crate) user_event_deliveries: Counter,
    pub(crate) user_event_replayed: Counter,
    pub(crate) user_events_limited: Counter,
    pub(crate) user_event_gaps: Counter,
    pub(crate) user_event_to_socket: Histogram,
    pub(crate) rooms: Gauge,
    pub(crate) room_listeners: Gauge,
    pub(crate) room_messages: Counter,
    pub(crate) room_deliveries: Counter,
    pub(crate) room_replayed: Counter,
    pub(crate) room_undecodable: Counter,
    pub(crate) room_gaps: Counter,
    pub(crate) room_to_socket: Histogram,
}

impl GatewayMetrics {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let ours = Self {
            session: SessionMetrics::default(),
            connections: Gauge::default(),
            opened: Counter::default(),
            refused_connections: Counter::default(),
            closed: Family::default(),
            sends: Family::default(),
            refused_frames: Counter::default(),
            deliveries: Counter::default(),
            backfilled: Counter::default(),
            fetches: Counter::default(),
            resyncs: Counter::default(),
            stream_entries: Counter::default(),
            stream_undecodable: Counter::default(),
            stream_gaps: Counter::default(),
            stream_length: Gauge::default(),
            entry_to_socket: latency_histogram(),
            send_to_ack: latency_histogram(),
            user_event_connections: Gauge::default(),
            user_event_messages: Counter::default(),
            user_event_deliveries: Counter::default(),
            user_event_replayed: Counter::default(),
            user_events_limited: Counter::default(),
            user_event_gaps: Counter::default(),
            user_event_to_socket: latency_histogram(),
            rooms: Gauge::default(),
            room_listeners: Gauge::default(),
            room_messages: Counter::default(),
            room_deliveries: Counter::default(),
            room_replayed: Counter::default(),
            room_undecodable: Counter::default(),
            room_gaps: Counter::default(),
            room_to_socket: latency_histogram(),
        };
        metrics.register(|registry| {
            let mut counter =
                |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
            counter("connections_opened", "Client connections accepted", &ours.opened);
            counter("connections_refused", "Connections told to come back later", &ours.refused_connections);
            counter("frames_dropped", "Typing and presence frames not sent to slow clients", &ours.session.dropped);
            counter("frames_refused", "Client frames answered by an ERROR", &ours.refused_frames);
            counter("deliveries", "Frames of events handed to sessions", &ours.deliveries);
            counter("backfilled", "Events sent again to sessions that attached", &ours.backfilled);
            counter("fetches", "Reads of missing events from core", &ours.fetches);
            counter("resyncs", "RESYNC frames: ranges given up explicitly", &ours.resyncs);
            counter("stream_entries", "Entries read of the own stream", &ours.stream_entries);
            counter("stream_undecodable", "Entries that could not be decoded", &ours.stream_undecodable);
            counter("stream_gaps", "Times that entries may have been lost unread", &ours.stream_gaps);
            counter("user_event_messages", "User events for listeners here", &ours.user_event_messages);
            counter("user_event_deliveries", "User events handed to listeners", &ours.user_event_deliveries);
            counter("user_event_replayed", "User events of the past handed to listeners", &ours.user_event_replayed);
            counter("user_events_limited", "User events dropped by the rate of their name", &ours.user_events_limited);
            counter("user_event_gaps", "Times that user events may have been missed", &ours.user_event_gaps);
            counter("room_messages", "Messages heard of rooms", &ours.room_messages);
            counter("room_deliveries", "Records of rooms handed to sessions", &ours.room_deliveries);
            counter("room_replayed", "Records read again in the logs of rooms", &ours.room_replayed);
            counter("room_undecodable", "Messages of rooms that could not be read", &ours.room_undecodable);
            counter("room_gaps", "Times that messages of rooms may have been missed", &ours.room_gaps);
            registry.register("rooms", "Rooms listened to", ours.rooms.clone());
            registry.register("room_listeners", "Sessions that visit rooms", ours.room_listeners.clone());
            let written = "From hearing messages of rooms to having written their frames";
            registry.register("room_to_socket_seconds", written, ours.room_to_socket.clone());
            let listeners = "Connections that listen to user events";
            registry.register("user_event_connections", listeners, ours.user_event_connections.clone());
            let written = "From hearing user events to having written their frames";
            registry.register("user_event_to_socket_seconds", written, ours.user_event_to_socket.clone());
            registry.register("connections", "Client connections now", ours.connections.clone());
            registry.register("queue_bytes", "Bytes waiting for slow clients", ours.session.queue_bytes.clone());
            registry.register("stream_length", "Entries waiting in the own stream", ours.stream_length.clone());
            registry.register("connections_closed", "Client connections ended, by reason", ours.closed.clone());
            registry.register("sends", "Messages sent by clients, by outcome", ours.sends.clone());
            let latency = "From reading a stream entry to having written its frames";
            registry.register("entry_to_socket_seconds", latency, ours.entry_to_socket.clone());
            registry.register("send_to_ack_seconds", "From a SEND frame to its ACK", ours.send_to_ack.clone());
        });
        ours
    }

    /// What has come in so far for those who are here, by whatever road.
    pub(crate) fn messages(&self) -> u64 {
        self.stream_entries.get() + self.room_messages.get() + self.user_event_messages.get()
    }

    /// `None`: the client left, or its connection was lost.
    pub(crate) fn closed(&self, reason: Option<CloseReason>) {
        let reason = reason.map_or("client", CloseReason::as_str);
        self.closed.get_or_create(&Reason { reason }).inc();
    }

    /// `outcome`: `acked`, or the code of the refusal.
    pub(crate) fn send(&self, outcome: &'static str) {
        self.sends.get_or_create(&Outcome { outcome }).inc();
    }
}
