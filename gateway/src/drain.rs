//! The end of a gateway: no new connections, the old ones told where they stand and to come back elsewhere, in slices,
//! so that the others are not stampeded.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use chatcluster_contracts::close::CloseReason;

use crate::session::{Session, Sessions};

const SLICES: u32 = 20;
/// Between two looks whether core has answered the last sends of a slice.
const LOOK: Duration = Duration::from_millis(10);

/// Closes all sessions within `limit` or a little more. Each is closed once its sends are answered.
pub(crate) async fn drain(sessions: &Sessions, limit: Duration) {
    #[cfg(feature = "plants")]
    if chatcluster_service::plants::planted("drain-cuts") {
        return;
    }
    let started = Instant::now();
    let pause = limit.mul_f64(0.8) / SLICES;
    let all = sessions.all();
    tracing::info!(sessions = all.len(), "draining");
    let size = all.len().div_ceil(SLICES as usize).max(1);
    for slice in all.chunks(size) {
        let next = Instant::now() + pause;
        close_slice(slice, limit.saturating_sub(started.elapsed())).await;
        tokio::time::sleep(next.saturating_duration_since(Instant::now())).await;
    }
    // those that came or lingered meanwhile
    let rest = started + limit;
    while sessions.count() > 0 && Instant::now() < rest {
        for session in sessions.all() {
            session.close(CloseReason::ServiceRestart);
        }
        tokio::time::sleep(LOOK).await;
    }
    tracing::info!(left = sessions.count(), took_ms = started.elapsed().as_millis(), "drained");
}

async fn close_slice(slice: &[Arc<Session>], limit: Duration) {
    for session in slice {
        session.stop_reading();
    }
    let deadline = Instant::now() + limit.min(Duration::from_secs(5));
    let answered = |session: &Arc<Session>| session.unanswered.load(Ordering::Relaxed) == 0;
    while !slice.iter().all(answered) && Instant::now() < deadline {
        tokio::time::sleep(LOOK).await;
    }
    for session in slice {
        session.close(CloseReason::ServiceRestart);
    }
}
