//! Figures for people: who listens here, how much passes, what it costs; and how many listen at the other gateways.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_contracts::ids::Node;
use serde_json::{Map, Value, json};

use super::UserEvents;

/// How often a gateway says how many listen to it…
const TELL_EVERY: Duration = Duration::from_secs(5);
/// …and how long it is believed.
const FRESH: Duration = Duration::from_secs(15);

/// Counts at the last two looks.
#[derive(Debug, Default)]
pub(super) struct Samples {
    last: Option<Sample>,
    rates: Rates,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    messages: u64,
    deliveries: u64,
}

/// A second.
#[derive(Debug, Clone, Copy, Default)]
struct Rates {
    messages: f64,
    deliveries: f64,
}

impl Samples {
    fn look(&mut self, now: Sample) {
        if let Some(last) = self.last.replace(now) {
            let seconds = now.at.duration_since(last.at).as_secs_f64().max(0.001);
            let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
            self.rates = Rates {
                messages: rate(now.messages, last.messages),
                deliveries: rate(now.deliveries, last.deliveries),
            };
        }
    }
}

impl UserEvents {
    /// Tells the other gateways how many listen here, until dropped.
    pub(crate) async fn tell(self: Arc<Self>, node: Node) {
        loop {
            let (messages, deliveries) =
                (self.metrics.user_event_messages.get(), self.metrics.user_event_deliveries.get());
            self.stats.lock().look(Sample { at: Instant::now(), messages, deliveries });
            if let Err(error) = self.logs.note(node.as_str(), &self.summary().to_string(), FRESH).await {
                tracing::debug!(%error, "the other gateways were not told who listens here");
            }
            tokio::time::sleep(TELL_EVERY).await;
        }
    }

    fn summary(&self) -> Value {
        let audiences = self.audiences.read();
        let connections: usize = audiences.values().map(|audience| audience.state.lock().count()).sum();
        let rates = self.stats.lock().rates;
        json!({
            "connections": connections,
            "users": audiences.len(),
            "messagesPerSecond": rounded(rates.messages),
            "deliveriesPerSecond": rounded(rates.deliveries),
        })
    }

    /// `most`: users that are named, those with the most connections first.
    pub(super) async fn stats(&self, node: &Node, most: usize) -> Value {
        let here = self.summary();
        let mut users: Vec<(usize, String)> = {
            let audiences = self.audiences.read();
            audiences.values().map(|it| (it.state.lock().count(), it.name.to_string())).collect()
        };
        users.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(&other.1)));
        let by_user: Map<String, Value> =
            users.into_iter().take(most).map(|(connections, name)| (name, connections.into())).collect();
        let nodes = match self.logs.note(node.as_str(), &here.to_string(), FRESH).await {
            Ok(notes) => notes
                .into_iter()
                .map(|(node, text)| (node, serde_json::from_str(&text).unwrap_or(Value::Null)))
                .collect::<Map<_, _>>()
                .into(),
            // what the others said is not known
            Err(_) => Value::Null,
        };
        let (resident, connections) = (resident_bytes(), here["connections"].as_u64().unwrap_or_default());
        json!({
            "node": node.as_str(),
            "here": here,
            "connectionsByUser": by_user,
            "nodes": nodes,
            "memory": {
                "residentBytes": resident,
                "queuedBytes": self.metrics.session.queue_bytes.get(),
                "residentBytesPerConnection": resident.and_then(|bytes| bytes.checked_div(connections)),
            },
        })
    }
}

fn rounded(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

/// Of the whole process.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}
