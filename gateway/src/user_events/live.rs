//! What is published, on its way to the sockets: one loop, that waits for nobody.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use chatcluster_transport::{channels::Ear, gateway_streams::Signal};

use super::UserEvents;
use crate::delivery::Touched;

/// Messages taken at once; what belongs to one socket is written together.
const BATCH: usize = 256;

impl UserEvents {
    /// Listens until dropped.
    pub(crate) async fn run(self: Arc<Self>, mut ear: Box<dyn Ear>) {
        let mut signals = Vec::with_capacity(BATCH);
        loop {
            ear.hear(BATCH, &mut signals).await;
            let since = Instant::now();
            let mut touched = Touched::default();
            for signal in signals.drain(..) {
                match signal {
                    Signal::Message { channel, payload } => self.heard(&channel, &payload, &mut touched),
                    Signal::Gap => self.missed_something(),
                }
            }
            touched.flush(since);
            self.metrics.user_event_to_socket.observe(since.elapsed().as_secs_f64());
        }
    }

    fn heard(&self, channel: &str, payload: &Bytes, touched: &mut Touched) {
        let [events, notices] = &self.prefixes;
        if let Some(audience) = channel.strip_prefix(events.as_str()).and_then(|name| self.audience(name)) {
            self.metrics.user_event_messages.inc();
            if !self.passes(&mut audience.state.lock().buckets[0]) {
                self.metrics.user_events_limited.inc();
                return;
            }
            #[cfg(feature = "plants")]
            if chatcluster_service::plants::planted_once_in("event-to-foreign-name", 20) {
                let others: Vec<_> = self.audiences.read().values().cloned().collect();
                for other in others {
                    other.publish(payload, self.queue_limit, touched);
                }
            }
            let deliveries = audience.publish(payload, self.queue_limit, touched);
            self.metrics.user_event_deliveries.inc_by(deliveries as u64);
        } else if let Some(audience) = channel.strip_prefix(notices.as_str()).and_then(|name| self.audience(name)) {
            if let Some(entry) = std::str::from_utf8(payload).ok().and_then(|id| id.parse().ok()) {
                audience.state.lock().notice(entry);
            }
            audience.news.notify_one();
        }
    }

    /// The connection was lost and is back. Whoever follows a log reads on there; for the others it is as if nothing had
    /// been published.
    fn missed_something(&self) {
        self.metrics.user_event_gaps.inc();
        for audience in self.audiences.read().values() {
            let mut state = audience.state.lock();
            if !state.followers.is_empty() {
                state.unsure = true;
                audience.news.notify_one();
            }
        }
    }
}
