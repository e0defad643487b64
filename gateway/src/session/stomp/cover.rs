//! From a subscription to the conversations it covers: read the list, send what was missed, and go on live.
//!
//! New subscriptions that come while the list is read wait for the next reading, so that whatever was committed before a
//! subscription was noted is in the list that is read for it, and whatever comes after it is noted.

use std::sync::Arc;

use chatcluster_contracts::{
    ids::ConversationId,
    problem::{Code, Problem},
};

use super::{Asked, Done, Here, MAX_SUBSCRIPTIONS, State, Stomp, covers};
use crate::{
    protocol::stomp::{
        destination::SubscribeTo,
        request::Subscribe,
        subscriptions::{Key, SubscribeError},
    },
    session::{
        Positions, Session,
        connect::{in_time, list},
    },
    shared::Shared,
};

/// Notes a subscription and, if it covers conversations, starts bringing the session into them. Its receipt is due when it
/// is live.
pub(super) fn subscribe(
    here: Here<'_>,
    subscribe: &Subscribe,
    to: SubscribeTo,
    receipt: Option<&str>,
) -> Result<Done, SubscribeError> {
    let Here { shared, session, stomp } = here;
    let is_covering = matches!(to, SubscribeTo::Messages | SubscribeTo::Conversation(_));
    let mut places = session.places.lock();
    let is_live = matches!(&to, SubscribeTo::Conversation(id) if places.is_in(id));
    let mut state = stomp.state.lock();
    let key = state.subscriptions.add(&subscribe.name, to, subscribe.ack, MAX_SUBSCRIPTIONS)?;
    if !is_covering || is_live {
        return Ok(Done::Now);
    }
    // from here on what comes in of the conversations it covers is noted
    places.attaching = true;
    state.asked.get_or_insert_default().push(Asked { key, receipt: receipt.map(Into::into), listed: false });
    if !std::mem::replace(&mut state.covering, true) {
        tokio::spawn(cover(shared.clone(), session.clone()));
    }
    Ok(Done::Later)
}

impl Stomp {
    /// Sends the receipts of subscriptions that are live now: nothing that they cover is on its way in any more.
    pub(in crate::session) fn settle(&self, session: &Session) {
        let places = session.places.lock();
        let mut state = self.state.lock();
        let State { subscriptions, asked, .. } = &mut *state;
        let Some(waiting) = asked else { return };
        let is_live = |asked: &mut Asked| {
            asked.listed
                && subscriptions.get(asked.key).is_none_or(|to| {
                    !places.pending.iter().any(|(conversation, _)| covers(&to.destination, &conversation.id))
                })
        };
        let live: Vec<_> = waiting.extract_if(.., is_live).collect();
        if waiting.is_empty() {
            *asked = None;
        }
        for id in live.into_iter().filter_map(|asked| asked.receipt) {
            state.receipt(session, &id, &[]);
        }
    }
}

/// The subscriptions that one reading of the list is for.
#[derive(Debug, Default)]
struct Round {
    keys: Vec<Key>,
    destinations: Vec<SubscribeTo>,
}

impl Round {
    fn covers(&self, conversation: &ConversationId) -> bool {
        self.destinations.iter().any(|to| covers(to, conversation))
    }
}

/// Brings the session into what its new subscriptions cover, until there are none.
async fn cover(shared: Arc<Shared>, session: Arc<Session>) {
    let Some(stomp) = session.stomp() else { return };
    loop {
        let round = stomp.state.lock().next_round();
        let resume = session.positions().map(Positions::all).unwrap_or_default();
        let listing = in_time(&shared, list(&shared, &session, &resume, |id| round.covers(id)));
        let held = match listing.await {
            Ok(Some(held)) => held,
            Ok(None) => return,
            Err(problem) => return session.close(stomp.fail(&session, &problem, None)),
        };
        let is_last = {
            let mut places = session.places.lock();
            let mut state = stomp.state.lock();
            if let Some((id, receipt)) = state.foreign(|id| places.is_in(id) || places.is_pending(id), &round) {
                let problem = Problem::new(Code::NotAMember, format!("you are no member of a conversation {id}"));
                let reason = state.fail(&session, &problem, receipt.as_deref());
                return session.close(reason);
            }
            state.listed(&round);
            let is_last = !state.asked.iter().flat_map(|asked| asked.iter()).any(|asked| !asked.listed);
            if is_last {
                places.attaching = false;
                state.covering = false;
            }
            is_last
        };
        if is_last {
            shared.delivery.look_again(&session);
            shared.delivery.attach(&session, held).await;
            return stomp.settle(&session);
        }
        let (delivery, going_on) = (shared.delivery.clone(), session.clone());
        tokio::spawn(async move { delivery.attach(&going_on, held).await });
        stomp.settle(&session);
    }
}

impl State {
    fn next_round(&self) -> Round {
        let mut round = Round::default();
        for asked in self.asked.iter().flat_map(|asked| asked.iter()).filter(|asked| !asked.listed) {
            round.keys.push(asked.key);
            // one that has ended in the meantime covers nothing
            round.destinations.extend(self.subscriptions.get(asked.key).map(|to| to.destination.clone()));
        }
        round
    }

    /// A conversation that was subscribed to by name and is not the user's, and the receipt asked for. `is_here`: the session
    /// is in it, or on its way.
    fn foreign(
        &self,
        is_here: impl Fn(&ConversationId) -> bool,
        round: &Round,
    ) -> Option<(ConversationId, Option<Box<str>>)> {
        let asked = self.asked.iter().flat_map(|asked| asked.iter()).filter(|asked| round.keys.contains(&asked.key));
        asked.into_iter().find_map(|asked| match &self.subscriptions.get(asked.key)?.destination {
            SubscribeTo::Conversation(id) if !is_here(id) => Some((id.clone(), asked.receipt.clone())),
            _ => None,
        })
    }

    fn listed(&mut self, round: &Round) {
        for asked in self.asked.iter_mut().flat_map(|asked| asked.iter_mut()) {
            asked.listed |= round.keys.contains(&asked.key);
        }
    }
}
