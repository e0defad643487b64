//! Pages of missed events, for sessions on their way in. Half of those who come back when a gateway is gone were served the
//! same conversations up to the same event: who waits for a page that somebody else waits for already takes it along.

use std::sync::Arc;

use chatcluster_contracts::seq::Seq;
use futures_util::{
    FutureExt,
    future::{BoxFuture, Shared, WeakShared},
};

use super::{Conversation, Delivery};
use crate::upstream::{CoreError, Page};

type Outcome = Result<Arc<Page>, Arc<CoreError>>;
type Reading = BoxFuture<'static, Outcome>;

/// The pages of one conversation that somebody waits for, by the seq after which they begin.
#[derive(Debug, Default)]
pub(super) struct Readings(Vec<(Seq, WeakShared<Reading>)>);

impl Readings {
    /// The one that is under way, or a new one.
    fn join_or(&mut self, after: Seq, begin: impl FnOnce() -> Reading) -> Shared<Reading> {
        // a page that was read, or that nobody waits for any more, may lack what whoever comes now was told of
        self.0.retain(|(_, reading)| reading.upgrade().is_some_and(|reading| reading.peek().is_none()));
        let known = self.0.iter().find(|(begins, _)| *begins == after);
        if let Some(reading) = known.and_then(|(_, reading)| reading.upgrade()) {
            return reading;
        }
        let reading = begin().shared();
        self.0.extend(reading.downgrade().map(|reading| (after, reading)));
        reading
    }
}

impl Delivery {
    /// Events from `after` on, up to `until` if there are so many, and those that came by the time that it was read.
    pub(super) async fn page_for_arrivals(&self, conversation: &Arc<Conversation>, after: Seq, until: Seq) -> Outcome {
        let begin = || {
            let (core, conversation) = (self.core_for_arrivals.clone(), conversation.clone());
            let reading = async move {
                let by_now = || until.max(conversation.state.lock().cursor.known_head());
                core.events(&conversation.id, after, by_now).await.map(Arc::new).map_err(Arc::new)
            };
            reading.boxed()
        };
        let reading = conversation.state.lock().readings.join_or(after, begin);
        reading.await
    }
}

#[cfg(test)]
mod tests {
    use chatcluster_contracts::seq::Seq;
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_page_is_shared_while_it_is_read_and_not_after() {
        let (mut readings, after) = (Readings::default(), Seq::new(7));
        let page = |head: u64| {
            let page = Page { events: Vec::new(), head: Seq::new(head), oldest: Seq::ZERO, until: Seq::new(head) };
            std::future::ready(Ok(Arc::new(page))).boxed()
        };
        let head = |reading: Shared<Reading>| reading.now_or_never().unwrap().unwrap().head.get();
        let first = readings.join_or(after, || page(8));
        let beside = readings.join_or(after, || page(9));
        assert_eq!(head(beside), 8);
        // somebody has not looked yet at what was read
        let late = readings.join_or(after, || page(9));
        assert_eq!((head(late), head(first)), (9, 8));
    }
}
