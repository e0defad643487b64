//! `/stomp` and the plain TCP port of conformance mode: a message broker in memory, as stock STOMP clients' own tests and
//! load generators know them. One login, known to everybody.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use chatcluster_contracts::{
    ids::{UserId, WorkspaceId},
    problem::{Code, Problem},
};
use parking_lot::Mutex;

use crate::{
    delivery::Touched,
    protocol::stomp::{
        Version,
        broker::{Broker, BrokerError, BrokerLimits, Delivery, Subscriber},
        connect::Connect,
        encoder::MessageBody,
        ledger::AckId,
        request::{Send, Settle, Subscribe, SubscriptionName},
        subscriptions::Subscriptions,
    },
    session::{
        Identity, Priority, Session,
        speech::Heard,
        stomp::{Behind, CommitKey, Done, Here, Reader, SharedFrames, welcome},
        ticks,
    },
    shared::Shared,
};

/// User name and password.
const LOGIN: &str = "guest";
/// Longest body of a message, in bytes.
const MAX_BODY: usize = 4 << 20;
const MAX_SUBSCRIPTIONS: usize = 1000;
/// Frames that are queued before those they are for are written to, whatever else came with them.
const MAX_QUEUED: usize = 20_000;

/// The broker and who is connected to it.
#[derive(Debug)]
pub(crate) struct Brokerage(Mutex<State>);

#[derive(Debug)]
struct State {
    broker: Broker,
    members: HashMap<u64, Member>,
}

#[derive(Debug)]
struct Member {
    session: Arc<Session>,
    version: Version,
    /// What their ids are; the broker knows the destinations.
    subscriptions: Subscriptions<()>,
}

impl Default for Brokerage {
    fn default() -> Self {
        Self(Mutex::new(State { broker: Broker::new(BrokerLimits::default()), members: HashMap::new() }))
    }
}

impl Brokerage {
    fn enter(&self, session: &Arc<Session>, version: Version) {
        let member = Member { session: session.clone(), version, subscriptions: Subscriptions::new() };
        self.0.lock().members.insert(session.key, member);
    }

    /// The session is over: what it did not acknowledge goes to others.
    pub(crate) fn leave(&self, session: &Session) {
        let mut touched = Touched::default();
        let mut state = self.0.lock();
        let deliveries = state.broker.gone(session.key);
        state.members.remove(&session.key);
        state.hand_out(&deliveries, &mut touched);
        drop(state);
        touched.flush_to_the_slow();
    }
}

impl State {
    fn subscribe(&mut self, session: u64, request: &Subscribe) -> Result<Vec<Delivery>, Problem> {
        let Some(member) = self.members.get_mut(&session) else { return Err(not_connected()) };
        let key = member
            .subscriptions
            .add(&request.name, (), request.ack, MAX_SUBSCRIPTIONS)
            .map_err(|error| Problem::new(error.code(), error.to_string()))?;
        let to = Subscriber { session, subscription: key };
        self.broker.subscribe(to, &request.destination, request.ack, request.prefetch).map_err(refused)
    }

    fn unsubscribe(&mut self, session: u64, name: &SubscriptionName) -> Vec<Delivery> {
        let member = self.members.get_mut(&session);
        let Some(gone) = member.and_then(|member| member.subscriptions.remove(name)) else { return Vec::new() };
        self.broker.unsubscribe(Subscriber { session, subscription: gone.key })
    }

    /// Queues deliveries, and returns how many there are.
    fn hand_out(&self, deliveries: &[Delivery], touched: &mut Touched) -> usize {
        let mut frames = Frames::default();
        for delivery in deliveries {
            let Some(member) = self.members.get(&delivery.to.session) else { continue };
            let Some(subscription) = member.subscriptions.get(delivery.to.subscription) else { continue };
            let reader = Reader {
                carrier: member.session.form().carrier,
                version: member.version,
                subscription: subscription.id(),
            };
            touched.enqueue(&member.session, frames.of(delivery, reader), Priority::Needed);
        }
        deliveries.len()
    }
}

/// The frames of the message delivered last.
#[derive(Debug, Default)]
struct Frames {
    last: Option<Last>,
    shared: SharedFrames,
}

#[derive(Debug)]
struct Last {
    message: Arc<Send>,
    redelivered: bool,
    body: MessageBody,
    is_text: bool,
    /// Names the message to all who acknowledge nothing.
    tag: AckId,
}

impl Frames {
    fn of(&mut self, delivery: &Delivery, reader: Reader<'_>) -> Bytes {
        let same =
            |last: &Last| Arc::ptr_eq(&last.message, &delivery.message) && last.redelivered == delivery.redelivered;
        if !self.last.as_ref().is_some_and(same) {
            self.last = None;
            self.shared.clear();
        }
        let last = self.last.get_or_insert_with(|| Last {
            message: delivery.message.clone(),
            redelivered: delivery.redelivered,
            body: delivery.body(),
            is_text: simdutf8::basic::from_utf8(&delivery.message.body).is_ok(),
            tag: delivery.tag,
        });
        let make = |tag| {
            let mut prefix = Vec::with_capacity(128);
            delivery.write_prefix(&mut prefix, reader.version, reader.subscription, tag);
            let parts: [&[u8]; 2] = [&prefix, last.body.tail(reader.version)];
            if last.is_text { reader.carrier.text_of(&parts) } else { reader.carrier.binary(&parts.concat()) }
        };
        if delivery.needs_ack { make(delivery.tag) } else { self.shared.get(reader, || make(last.tag)) }
    }
}

/// One client of the broker.
#[derive(Debug, Default)]
pub(crate) struct Customer {
    /// Sessions whose queues are to be written, and frames that were queued.
    touched: Touched,
    queued: usize,
}

impl Customer {
    fn with<T>(
        &mut self,
        here: Here<'_>,
        change: impl FnOnce(&mut State) -> Result<(T, Vec<Delivery>), Problem>,
    ) -> Result<T, Problem> {
        let Some(brokerage) = &here.shared.broker else { return Err(not_connected()) };
        let mut state = brokerage.0.lock();
        let (done, deliveries) = change(&mut state)?;
        // in the order in which the broker gave them
        self.queued += state.hand_out(&deliveries, &mut self.touched);
        drop(state);
        if self.queued >= MAX_QUEUED {
            self.flush();
        }
        Ok(done)
    }
}

impl Behind for Customer {
    type Message = Send;

    fn body_limit(_: &Shared) -> usize {
        MAX_BODY
    }

    fn connect(&mut self, here: Here<'_>, frame: Connect) -> Heard {
        let Here { shared, session, stomp } = here;
        if !frame.is_login(LOGIN, LOGIN) {
            return here.fail(&Problem::new(Code::BadCredentials, "access refused: guest may sign in, as guest"), None);
        }
        let workspace = shared.workspaces.same(WorkspaceId::default());
        let name = format!("{:x}", session.key);
        let identity =
            UserId::parse(&name).map(|user| Identity { user, workspace, expires: ticks::Tick::MAX, login: None });
        if identity.is_ok_and(|identity| session.identify(identity).is_err()) {
            return here.fail(&not_connected(), None);
        }
        if let Some(brokerage) = &shared.broker {
            brokerage.enter(session, frame.version);
        }
        welcome(shared, session, stomp, &frame, &name, Some(LOGIN));
        Heard::Nothing
    }

    fn read(send: Send) -> Result<Send, Problem> {
        Ok(send)
    }

    fn send(&mut self, here: Here<'_>, message: Send, _: Option<&str>, _: Option<CommitKey>) -> Result<Done, Problem> {
        self.with(here, |state| Ok((Done::Now, state.broker.send(message).map_err(refused)?)))
    }

    fn settle(&mut self, here: Here<'_>, settle: Settle, _: Option<&str>) -> Result<Done, Problem> {
        let Settle { what, verdict, requeue, .. } = settle;
        let session = here.session.key;
        self.with(here, |state| {
            Ok((Done::Now, state.broker.settle(session, &what, verdict, requeue).map_err(refused)?))
        })
    }

    fn subscribe(&mut self, here: Here<'_>, request: Subscribe, _: Option<&str>) -> Result<Done, Problem> {
        let session = here.session.key;
        self.with(here, |state| Ok((Done::Now, state.subscribe(session, &request)?)))
    }

    fn unsubscribe(&mut self, here: Here<'_>, name: SubscriptionName) {
        let session = here.session.key;
        // without a broker there is nothing to end
        let _ = self.with(here, |state| Ok(((), state.unsubscribe(session, &name))));
    }

    fn flush(&mut self) -> Vec<Arc<Session>> {
        self.queued = 0;
        self.touched.flush_to_the_slow()
    }
}

fn not_connected() -> Problem {
    Problem::new(Code::NotConnected, "this session is not connected to the broker")
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: BrokerError) -> Problem {
    Problem::new(error.code(), error.to_string())
}
