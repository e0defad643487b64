//! What the platform does with a client's frames.

use std::{future::ready, sync::Arc};

use chatcluster_contracts::{
    close::CloseReason,
    frame::{ClientFrame, Receipt},
    ids::ConversationId,
    problem::{Code, Problem},
    seq::Seq,
};
use chatcluster_service::tokens::Claims;
use futures_util::future::try_join_all;

use super::{
    Here, Sent, State, Stomp,
    answers::CommitKey,
    behind::{Behind, Done, Waited},
    body,
    connect::connect,
    cover::subscribe,
    room::subscribe_to_room,
};
use crate::{
    protocol::stomp::{
        connect::Connect,
        destination::{SendTo, SubscribeTo},
        request::{Send, Settle, Subscribe, SubscriptionName, Verdict},
    },
    session::{
        commands::{self, Memory},
        connect::in_time,
        speech::Heard,
    },
    shared::Shared,
};

#[derive(Debug)]
pub(crate) struct Platform {
    /// Who the upgrade request said it is.
    upgrade: Option<Box<Claims>>,
    memory: Option<Box<Memory>>,
}

impl Platform {
    pub(crate) fn new(upgrade: Option<Claims>) -> Self {
        Self { upgrade: upgrade.map(Box::new), memory: None }
    }
}

impl Behind for Platform {
    type Message = ClientFrame;

    fn body_limit(shared: &Shared) -> usize {
        shared.options.max_frame
    }

    fn connect(&mut self, here: Here<'_>, frame: Connect) -> Heard {
        let claims = self.upgrade.take().map(|claims| *claims);
        Heard::Working(Box::pin(connect(Arc::clone(here.shared), Arc::clone(here.session), claims, frame)))
    }

    fn read(send: Send) -> Result<ClientFrame, Problem> {
        let to = SendTo::parse(&send.destination).map_err(|error| Problem::new(error.code(), error.to_string()))?;
        body::read(to, &send)
    }

    fn send(
        &mut self,
        here: Here<'_>,
        message: ClientFrame,
        receipt: Option<&str>,
        commit: Option<CommitKey>,
    ) -> Result<Done, Problem> {
        let done = if let ClientFrame::Send(send) = &message {
            here.stomp.state.lock().answers.open(send.client_msg_id.as_str(), receipt, commit);
            Done::Later
        } else {
            Done::Now
        };
        commands::perform(here.shared, here.session, memory(&mut self.memory, here), message);
        Ok(done)
    }

    /// An acknowledgement of what is unknown may have crossed the end of its subscription: it is passed over.
    fn settle(&mut self, here: Here<'_>, settle: Settle, receipt: Option<&str>) -> Result<Done, Problem> {
        let Some(identity) = here.session.identity() else { return Ok(Done::Now) };
        let risen = here.stomp.state.lock().settled(&settle);
        here.session.wake_those_waiting();
        if receipt.is_some() && !risen.is_empty() {
            return Ok(Done::When(stored(here, risen)));
        }
        for (conversation_id, seq) in risen {
            let receipt = Receipt { conversation_id, delivered_seq: Some(seq), read_seq: None };
            // a watermark that cannot be taken now is in the next one
            let _ = here.shared.receipts.submit(None, &identity.user, &identity.workspace, receipt);
        }
        Ok(Done::Now)
    }

    /// Who comes back after a goodbye in order begins after what it acknowledged.
    fn leave(&mut self, here: Here<'_>) -> Option<Waited> {
        let told: Vec<_> = here.stomp.state.lock().watermarks.told().map(|(id, seq)| (id.clone(), seq)).collect();
        (!told.is_empty()).then(|| stored(here, told))
    }

    fn subscribe(&mut self, here: Here<'_>, request: Subscribe, receipt: Option<&str>) -> Result<Done, Problem> {
        let Some(identity) = here.session.identity() else {
            return Err(Problem::new(Code::NotConnected, "this session is not connected"));
        };
        let to = SubscribeTo::parse(&request.destination, &identity.user)
            .map_err(|error| Problem::new(error.code(), error.to_string()))?;
        // core is asked for the user's conversations
        memory(&mut self.memory, here).admits(here.shared)?;
        if let SubscribeTo::Room(id) = to {
            return subscribe_to_room(here, &request, &id, receipt);
        }
        subscribe(here, &request, to, receipt).map_err(|error| Problem::new(error.code(), error.to_string()))
    }

    /// Nothing is delivered to it any more. What it has not acknowledged never will be.
    fn unsubscribe(&mut self, here: Here<'_>, name: SubscriptionName) {
        if !here.stomp.state.lock().unsubscribe(&name) {
            return;
        }
        here.shared.delivery.leave_uncovered(here.session);
        here.shared.delivery.leave_rooms_not_shown(here.session);
        here.session.wake_those_waiting();
        // what it still waited for does not concern it any more
        here.stomp.settle(here.session);
    }
}

/// Done when core has stored the watermarks. Where it does not in time, the client is to try again.
fn stored(here: Here<'_>, watermarks: Vec<(ConversationId, Seq)>) -> Waited {
    let Some(identity) = here.session.identity() else { return Box::pin(ready(Ok(()))) };
    let ask = |(conversation, seq)| {
        here.shared.receipts.submit_and_ask(&identity.user, &identity.workspace, conversation, seq)
    };
    let all = try_join_all(watermarks.into_iter().map(ask).collect::<Vec<_>>());
    let shared = Arc::clone(here.shared);
    Box::pin(async move {
        match in_time(&shared, all).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(CloseReason::TryAgainLater),
        }
    })
}

fn memory<'a>(kept: &'a mut Option<Box<Memory>>, here: Here<'_>) -> &'a mut Memory {
    kept.get_or_insert_with(|| Box::new(Memory::new(here.shared)))
}

impl State {
    /// An acknowledgement came. Returns the watermarks that rise by it.
    fn settled(&mut self, settle: &Settle) -> Vec<(ConversationId, Seq)> {
        let Ok(settled) = self.ledger.settle(&settle.what, &self.subscriptions, Sent::is) else { return Vec::new() };
        let events: Vec<_> = settled.into_iter().filter_map(Sent::event).collect();
        match settle.verdict {
            Verdict::Ack => {
                let waiting: Vec<_> = self.ledger.iter().cloned().filter_map(Sent::event).collect();
                self.watermarks.acknowledge(&events, &waiting)
            }
            Verdict::Nack => {
                self.watermarks.refuse(&events);
                Vec::new()
            }
        }
    }

    /// False: there was no such subscription.
    fn unsubscribe(&mut self, name: &SubscriptionName) -> bool {
        let Some(gone) = self.subscriptions.remove(name) else { return false };
        let open: Vec<_> = self.ledger.forget(gone.key).into_iter().filter_map(Sent::event).collect();
        self.watermarks.refuse(&open);
        true
    }
}

const _: () = assert!(size_of::<Stomp>() <= 160, "there is one for every session that speaks STOMP");
