//! One id follows a message through every process: started at the gateway, carried by the contracts, named in each
//! service's log line and, when OTLP is configured, in a span.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use chatcluster_contracts::trace::TraceParent;
use opentelemetry::{
    Context, SpanId, TraceFlags, TraceId,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Spans of this target, and no others, go to the collector.
pub const TARGET: &str = "chatcluster::hop";

/// Decides which messages are traced: those whose client asked for it, and at most so many a second of the rest.
#[derive(Debug)]
pub struct TraceSource {
    per_second: u32,
    /// The current second in the upper half, how many were traced in it in the lower.
    window: AtomicU64,
}

impl TraceSource {
    pub fn new(per_second: u32) -> Self {
        Self { per_second, window: AtomicU64::new(0) }
    }

    /// The context a message travels with. A client's own is kept, id and all.
    pub fn start(&self, client: Option<TraceParent>) -> TraceParent {
        if let Some(client) = client {
            return client;
        }
        let mut context = TraceParent { trace_id: rand::random(), parent_id: rand::random(), sampled: self.admit() };
        // zero is the one value the recommendation forbids
        context.trace_id = context.trace_id.max(1);
        context.parent_id = context.parent_id.max(1);
        context
    }

    fn admit(&self) -> bool {
        let second = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() << 32;
        let update = |window: u64| {
            let (start, count) = (window & !0xffff_ffff, window & 0xffff_ffff);
            if start == second {
                (count < u64::from(self.per_second)).then_some(window + 1)
            } else {
                (self.per_second > 0).then_some(second | 1)
            }
        };
        self.window.fetch_update(Ordering::Relaxed, Ordering::Relaxed, update).is_ok()
    }
}

/// A span of one hop under the message's context. Disabled (and free) for messages that are not traced.
pub fn hop(name: &'static str, trace: &TraceParent) -> Span {
    if !trace.sampled {
        return Span::none();
    }
    let span = tracing::info_span!(target: TARGET, "hop", otel.name = name);
    let context = SpanContext::new(
        TraceId::from_bytes(trace.trace_id.to_be_bytes()),
        SpanId::from_bytes(trace.parent_id.to_be_bytes()),
        TraceFlags::SAMPLED,
        true,
        TraceState::default(),
    );
    // fails only when no collector is configured; the log line carries the id then
    let _ = span.set_parent(Context::new().with_remote_span_context(context));
    span
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_own_context_is_kept_and_others_are_bounded() {
        let source = TraceSource::new(3);
        let own = TraceParent { trace_id: 7, parent_id: 9, sampled: true };
        assert_eq!(source.start(Some(own)), own);
        let sampled = (0..1000).filter(|_| source.start(None).sampled).count();
        // the thousand may straddle one second's end
        assert!((3..=6).contains(&sampled), "{sampled}");
        assert!(!TraceSource::new(0).start(None).sampled);
    }
}
