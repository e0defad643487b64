//! Rooms: what is published once for all gateways, and who hears it here.
//!
//! A gateway listens to the channel of a room while somebody here needs it: the cursor of a conversation that goes by
//! broadcast, or a session that visits the room. Each of them holds a [`Seat`]; the first one subscribes, the last one
//! unsubscribes. Events of the conversation go to its cursor (`delivery`). What others put on `message.created` has no seq:
//! [`records`] brings it into the order of the room's log, `listeners` hears it.

mod frames;
mod listeners;
mod records;
mod road;

use std::{collections::HashMap, sync::Arc, time::Duration};

use chatcluster_contracts::{ids::ConversationId, redis_keys::Keys};
use chatcluster_transport::{
    channels::{ChannelLogs, Ear, Subscriptions},
    gateway_streams::GatewayStreams,
};
use parking_lot::Mutex;

pub(crate) use self::listeners::Past;
use self::{listeners::Listeners, records::Records};
use crate::{Options, metrics::GatewayMetrics};

/// Records read at once.
const PAGE: usize = 200;

/// One room that somebody here needs.
struct Room {
    id: ConversationId,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    seats: usize,
    records: Records,
    listeners: Listeners,
    /// Sessions that are about to listen.
    expecting: usize,
    /// Somebody reads the log: one at a time.
    reading: bool,
}

impl State {
    /// Does anybody hear records?
    fn is_heard(&self) -> bool {
        self.expecting > 0 || !self.listeners.is_empty()
    }

    /// Whoever comes next begins where the log ends then.
    fn rest_if_unheard(&mut self) {
        if !self.is_heard() {
            self.records.forget();
        }
    }
}

/// The rooms of this gateway.
pub(crate) struct Rooms {
    subscriptions: Arc<dyn Subscriptions>,
    logs: Arc<dyn ChannelLogs>,
    keys: Keys,
    /// What the names of the channels begin with.
    prefix: String,
    needed: Mutex<HashMap<ConversationId, Arc<Room>>>,
    /// Members that a routed conversation has at most.
    broadcast_above: u64,
    /// Rooms that no conversation has and that may be visited all the same; a star at the end stands for anything.
    open: Vec<String>,
    /// How long a visit waits until the channel is listened to.
    patience: Duration,
    metrics: Arc<GatewayMetrics>,
}

impl std::fmt::Debug for Rooms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rooms").field("rooms", &self.needed.lock().len()).finish_non_exhaustive()
    }
}

/// Somebody's need of a room; given up when dropped.
pub(crate) struct Seat {
    rooms: Arc<Rooms>,
    room: Arc<Room>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Seat").field(&self.room.id).finish()
    }
}

impl Rooms {
    /// The rooms, and what they are heard by.
    pub(crate) fn new(
        options: &Options,
        streams: &dyn GatewayStreams,
        metrics: Arc<GatewayMetrics>,
    ) -> (Arc<Self>, Box<dyn Ear>) {
        let (subscriptions, ear) = streams.rooms().open();
        let keys = streams.keys().clone();
        let rooms = Self {
            subscriptions,
            logs: streams.logs(),
            prefix: keys.rooms(),
            keys,
            needed: Mutex::default(),
            broadcast_above: options.fanout_broadcast_above,
            open: options.open_rooms.clone(),
            patience: options.connect_timeout,
            metrics,
        };
        (Arc::new(rooms), ear)
    }

    /// Members that a routed conversation has at most.
    pub(crate) const fn broadcast_above(&self) -> u64 {
        self.broadcast_above
    }

    pub(crate) const fn patience(&self) -> Duration {
        self.patience
    }

    /// May a room be visited that no conversation has?
    pub(crate) fn is_open_by_name(&self, id: &ConversationId) -> bool {
        self.open.iter().any(|name| match name.strip_suffix('*') {
            Some(beginning) => id.as_str().starts_with(beginning),
            None => name == id.as_str(),
        })
    }

    /// Listens to the room from now on, or as soon as Redis lets it.
    pub(crate) fn enter(self: &Arc<Self>, id: &ConversationId) -> Seat {
        let mut rooms = self.needed.lock();
        let fresh = || Arc::new(Room { id: id.clone(), state: Mutex::default() });
        let room = rooms.entry(id.clone()).or_insert_with(fresh).clone();
        let mut state = room.state.lock();
        state.seats += 1;
        if state.seats == 1 {
            self.subscriptions.subscribe(&self.keys.room(id));
            self.metrics.rooms.inc();
        }
        drop(state);
        drop(rooms);
        Seat { rooms: self.clone(), room }
    }

    /// Waits until the room, in which the caller has a seat, is listened to.
    pub(crate) async fn listening(&self, id: &ConversationId) {
        self.subscriptions.listening(&self.keys.room(id)).await;
    }

    fn find(&self, id: &str) -> Option<Arc<Room>> {
        self.needed.lock().get(id).cloned()
    }

    fn vacate(&self, room: &Arc<Room>) {
        let mut rooms = self.needed.lock();
        let mut state = room.state.lock();
        state.seats -= 1;
        if state.seats == 0 {
            self.subscriptions.unsubscribe(&self.keys.room(&room.id));
            self.metrics.rooms.dec();
            rooms.remove(&room.id);
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.rooms.vacate(&self.room);
    }
}
