//! Events and notices to the subscriptions they are for.

use bytes::Bytes;
use chatcluster_contracts::{close::CloseReason, ids::ConversationId};

use super::{
    MAX_UNACKNOWLEDGED, Notice, Sent, State, Stomp,
    frames::{Frames, Reader, Run},
    shows,
};
use crate::{
    delivery::cursor::Arrived,
    protocol::stomp::{
        Version,
        destination::SubscribeTo,
        ledger::{AckId, Ledger, LedgerFull},
        request::AckMode,
        subscriptions::Subscription,
    },
    session::{Carrier, Session},
};

impl Stomp {
    /// Hands a run of a conversation's events to the subscriptions that it is for. False: there are none, and the client does
    /// not have these events.
    pub(crate) fn deliver(
        &self,
        session: &Session,
        conversation: &ConversationId,
        events: &[Arrived],
        as_guest: bool,
        frames: &mut Frames,
        mut enqueue: impl FnMut(Bytes),
    ) -> bool {
        let mut state = self.state.lock();
        let State { version, over, subscriptions, ledger, .. } = &mut *state;
        let (carrier, version) = (session.form().carrier, *version);
        let covering = || subscriptions.iter().filter(|it| shows(&it.destination, conversation, as_guest));
        let (Some(last), Some(positions)) = (events.last(), session.positions()) else { return true };
        if *over {
            return true;
        }
        if covering().next().is_none() {
            return false;
        }
        let run = Run { conversation, events };
        let shares = covering().all(|to| to.ack == AckMode::Auto);
        if shares && positions.has_only(conversation) {
            positions.set(conversation, last.seq);
            covering().for_each(|to| enqueue(frames.run(run, &to.destination, reader(to, carrier, version))));
            return true;
        }
        for (at, event) in events.iter().enumerate() {
            let position = positions.after(conversation, event.seq).text;
            for to in covering() {
                let sent = || Sent::Event(conversation.clone(), event.seq);
                let Ok(ack) = to_acknowledge(ledger, to, sent) else {
                    *over = true;
                    session.close(CloseReason::SlowConsumer);
                    return true;
                };
                enqueue(frames.event(run, at, &to.destination, reader(to, carrier, version), ack, &position));
            }
        }
        true
    }

    /// Hands a notice to the subscriptions of its queue.
    pub(crate) fn tell(&self, session: &Session, notice: &mut Notice, enqueue: impl FnMut(Bytes)) {
        self.state.lock().tell(session, notice, enqueue);
    }
}

impl State {
    pub(super) fn tell(&mut self, session: &Session, notice: &mut Notice, mut enqueue: impl FnMut(Bytes)) {
        let Self { version, over, subscriptions, ledger, .. } = self;
        if *over {
            return;
        }
        for to in subscriptions.iter() {
            if to.destination != notice.to {
                continue;
            }
            let Ok(ack) = to_acknowledge(ledger, to, || Sent::Notice(notice.number)) else {
                *over = true;
                return session.close(CloseReason::SlowConsumer);
            };
            enqueue(notice.frame(reader(to, session.form().carrier, *version), ack));
        }
    }
}

fn reader(to: &Subscription<SubscribeTo>, carrier: Carrier, version: Version) -> Reader<'_> {
    Reader { carrier, version, subscription: to.id() }
}

/// Notes what is about to be sent to a subscription that acknowledges. An error: the client has too much to acknowledge.
fn to_acknowledge(
    ledger: &mut Ledger<Sent>,
    to: &Subscription<SubscribeTo>,
    sent: impl FnOnce() -> Sent,
) -> Result<Option<AckId>, LedgerFull> {
    match to.ack {
        AckMode::Auto => Ok(None),
        mode => ledger.deliver(to.key, mode, sent(), MAX_UNACKNOWLEDGED).map(Some),
    }
}
