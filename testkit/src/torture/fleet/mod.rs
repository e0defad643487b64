//! The clients of a run: who they are, what they do, and how they are stopped.
//!
//! Rooms: `cast` makes users and conversations, `size` says how many, `device` is one client with all its connections, `guest`
//! one that visits open rooms, `dialect` is what they say and hear, `load` sends at a steady rate, `whispers` lets quiet
//! conversations speak once, `churn` lets members come and go, `outside` are services that produce to Kafka, `named` those who
//! publish user events and listen to them.

mod cast;
mod churn;
mod device;
mod dialect;
mod guest;
mod load;
mod named;
mod outside;
mod size;
mod whispers;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(super) use cast::Cast;
use device::Device;
use dialect::Dialect;
use guest::Guest;
pub use size::Size;

use super::history::Name;
use super::recorder::Recorder;
use super::schedule::Dice;
use super::socket::Socket;
use super::tokens::Tokens;
use crate::Api;
use crate::client::Outside;
use crate::servers::Servers;

/// What all clients share.
pub(super) struct Common {
    pub(super) recorder: Recorder,
    pub(super) tokens: Tokens,
    pub(super) gateways: Vec<String>,
    /// Where user events are listened to.
    user_events: Vec<String>,
    pub(super) cores: Vec<Api>,
    pub(super) dice: Mutex<Dice>,
    /// Nothing new is sent or changed; who hardly read reads on.
    load_over: watch::Sender<bool>,
    over: watch::Sender<bool>,
    /// Counts how often everybody was cut off.
    reset: watch::Sender<u64>,
    /// Counts how often some were told to go and leave their connections open.
    abandon: watch::Sender<u64>,
    /// Those connections.
    left_open: Mutex<Vec<Socket>>,
    size: Size,
}

impl Common {
    pub(super) fn new(
        recorder: Recorder,
        tokens: Tokens,
        [gateways, user_events]: [Vec<String>; 2],
        cores: Vec<Api>,
        seed: u64,
        size: &Size,
    ) -> Self {
        Self {
            recorder,
            tokens,
            gateways,
            user_events,
            cores,
            dice: Mutex::new(Dice::new(seed ^ 0x00f1_ee70)),
            load_over: watch::Sender::new(false),
            over: watch::Sender::new(false),
            reset: watch::Sender::new(0),
            abandon: watch::Sender::new(0),
            left_open: Mutex::default(),
            size: size.clone(),
        }
    }

    pub(super) fn chance(&self, percent: u64) -> bool {
        self.dice.lock().chance(percent)
    }

    pub(super) fn within_ms(&self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.dice.lock().within(range))
    }

    fn index(&self, len: usize) -> usize {
        self.dice.lock().index(len)
    }

    /// All clients lose their connections at this moment, and come back.
    pub(super) fn reset_all(&self) {
        self.reset.send_modify(|count| *count += 1);
    }

    /// Some clients go at this moment without closing their connections, and come back on new ones.
    pub(super) fn abandon_some(&self) {
        self.abandon.send_modify(|count| *count += 1);
    }

    /// A core, as somebody.
    fn api_of(&self, user: &str) -> Result<Api> {
        let token = self.tokens.issue(user, Duration::from_mins(30))?;
        let index = self.index(self.cores.len());
        Ok(self.cores[index].with_token(&token))
    }
}

/// All clients of a run at work.
pub(super) struct Fleet {
    common: Arc<Common>,
    load: JoinSet<()>,
    devices: JoinSet<()>,
    pub(super) size: usize,
}

impl Fleet {
    /// Starts every client; those that come late come late. No load yet.
    pub(super) fn start(common: &Arc<Common>, cast: &Cast) -> (Self, Load) {
        let mut devices = JoinSet::new();
        let (mut senders, mut whisper_readers, mut whisperers) = (Vec::new(), Vec::new(), Vec::new());
        let mut loud = None;
        let size = cast.devices.len() + cast.guests.len();
        for (id, part) in (0_u32..).zip(&cast.devices) {
            let (orders, inbox) = tokio::sync::mpsc::unbounded_channel();
            let device = Device::new(id, part.clone(), common.clone(), inbox);
            devices.spawn(device.run());
            let handle = device::Handle { user: part.user.clone(), orders };
            match part.role {
                cast::Role::Sender => senders.push(handle),
                cast::Role::Loud => loud = Some(handle),
                cast::Role::Whisperer => whisperers.push(handle),
                cast::Role::WhisperReader => whisper_readers.push(handle),
                _ => {}
            }
        }
        let rooms: Vec<Name> = cast.open_rooms().iter().map(|room| room.id.clone()).collect();
        for (id, user) in (0_u32..).skip(cast.devices.len()).zip(&cast.guests) {
            let dialect = if id % 3 == 1 { Dialect::Stomp } else { Dialect::Native };
            let (user, rooms, common) = (user.clone(), rooms.clone(), common.clone());
            devices.spawn(Guest { id, user, dialect, rooms, common, places: HashMap::new() }.run());
        }
        let listeners = cast.names.iter().flat_map(|name| named::ROADS.iter().map(move |numbered| (name, *numbered)));
        for (id, (name, numbered)) in (0_u32..).skip(size).zip(listeners) {
            devices.spawn(named::listen(id, name.clone(), numbered, common.clone()));
        }
        let fleet = Self { common: common.clone(), load: JoinSet::new(), devices, size };
        (fleet, Load { senders, loud, whisperers, whisper_readers })
    }

    /// Something happens in every conversation. Once all have heard of it, events arrive.
    pub(super) async fn rouse(&self, cast: &Cast) -> Result<()> {
        let Some(churner) = cast.churners.first() else { return Ok(()) };
        churn::once(&self.common, &cast.conversations, churner).await
    }

    /// From here on messages are sent: `rate` a second, whatever becomes of them.
    pub(super) fn begin(
        &mut self,
        cast: &Cast,
        load: Load,
        rate: u32,
        servers: &Arc<Servers>,
        outside: Outside,
        prefix: &str,
    ) {
        self.common.recorder.load_began();
        let Load { senders, loud, whisperers, whisper_readers } = load;
        let common = || self.common.clone();
        self.load.spawn(load::steady(common(), senders, cast.conversations.clone(), rate));
        if let Some(loud) = loud {
            self.load.spawn(load::loud(common(), loud, cast.loud.clone()));
        }
        self.load.spawn(whispers::whisper(common(), whisperers, whisper_readers));
        let outside = Arc::new(outside);
        self.load.spawn(outside::records(common(), outside.clone(), cast.open_rooms().to_vec()));
        let (conversations, outsiders) = (cast.conversations.clone(), cast.outsiders.clone());
        self.load.spawn(outside::messages(common(), outside, conversations, outsiders));
        for name in &cast.names {
            let channel = format!("{prefix}workflow:events:{name}");
            self.load.spawn(named::publish(common(), servers.clone(), name.clone(), channel));
        }
        self.load.spawn(churn::churn(common(), cast.conversations.clone(), cast.churners.clone()));
    }

    /// Ends the load; everybody stays online.
    pub(super) async fn calm(&mut self) {
        self.common.load_over.send_replace(true);
        while self.load.join_next().await.is_some() {}
        self.common.recorder.load_ended();
    }

    /// Ends everything.
    pub(super) async fn stop(mut self) {
        self.common.over.send_replace(true);
        let ended = async { while self.devices.join_next().await.is_some() {} };
        // one that hangs is dropped with the set
        let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
    }
}

/// The clients that the load goes through.
pub(super) struct Load {
    senders: Vec<device::Handle>,
    loud: Option<device::Handle>,
    whisperers: Vec<device::Handle>,
    whisper_readers: Vec<device::Handle>,
}
