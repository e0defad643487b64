//! The end of a run: everything that is owed is waited for.

use std::time::{Duration, Instant};

use super::fleet::Common;
use super::gather;
use super::platform::Platform;
use crate::install::Progress;

/// However long things take after the last heal, this is the end of it.
const QUIET_WITHIN: Duration = Duration::from_secs(200);

/// The last event of a name may be lost for good: Pub/Sub keeps nothing.
const LAST_USER_EVENT: Duration = Duration::from_secs(5);

/// What is still to come.
#[derive(Debug)]
struct Left {
    /// Sends without an answer and clients without a session.
    open: usize,
    /// Sessions that lack events.
    lacking: usize,
    /// Records that guests lack.
    records: usize,
    /// Listeners who lack the last event of their name.
    user_events: usize,
    /// Messages that Kafka has taken and that are not stored.
    missing: usize,
    /// In the outbox.
    rows: u64,
}

impl Left {
    fn is_nothing(&self) -> bool {
        let Self { open, lacking, records, user_events, missing, rows } = self;
        [*open, *lacking, *records, *user_events, *missing].iter().all(|left| *left == 0) && *rows == 0
    }
}

/// Until everybody is online, every send is answered, every online session has everything and the outbox is empty; or until it is clear that
/// this will not be.
pub(super) async fn quiet(platform: &Platform, common: &Common, size: usize, within: Duration, say: Progress) {
    let start = Instant::now();
    let limit = QUIET_WITHIN.min(within + Duration::from_secs(5));
    loop {
        let look = async {
            let (now, recorder) = (common.recorder.progress(), &common.recorder);
            let missing = recorder.ingested().saturating_sub(gather::ingested(platform).await?);
            let left = Left {
                open: now.open + size.saturating_sub(now.online),
                lacking: recorder.lacking(&gather::heads(platform, recorder.clock).await?),
                records: recorder.lacking_records(),
                user_events: if start.elapsed() < LAST_USER_EVENT { recorder.lacking_user_events() } else { 0 },
                missing,
                rows: gather::outbox_rows(platform).await?,
            };
            anyhow::Ok(left)
        };
        let looked = look.await;
        if matches!(&looked, Ok(left) if left.is_nothing()) {
            say(&format!("all is seen after {:.1} s", start.elapsed().as_secs_f64()));
            return;
        }
        if start.elapsed() > limit {
            match looked {
                Ok(left) => say(&format!("gave up: {left:?}")),
                Err(error) => say(&format!("gave up: {error:#}")),
            }
            return;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
