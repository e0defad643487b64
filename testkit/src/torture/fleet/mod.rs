//! The clients of a run: who they are, what they do, and how they are stopped.
//!
//! Rooms: `cast` makes users and conversations, `device` is one client with all its connections, `load` sends at a steady
//! rate, `whispers` lets quiet conversations speak once, `churn` lets members come and go.

mod cast;
mod churn;
mod device;
mod load;
mod whispers;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub(super) use cast::Cast;
use device::Device;

use super::recorder::Recorder;
use super::schedule::Dice;
use super::tokens::Tokens;
use crate::Api;

/// What all clients share.
pub(super) struct Common {
    pub(super) recorder: Recorder,
    pub(super) tokens: Tokens,
    pub(super) gateways: Vec<String>,
    pub(super) cores: Vec<Api>,
    pub(super) dice: Mutex<Dice>,
    /// Nothing new is sent or changed; who hardly read reads on.
    load_over: watch::Sender<bool>,
    over: watch::Sender<bool>,
    /// Counts how often everybody was cut off.
    reset: watch::Sender<u64>,
}

impl Common {
    pub(super) fn new(recorder: Recorder, tokens: Tokens, gateways: Vec<String>, cores: Vec<Api>, seed: u64) -> Self {
        Self {
            recorder,
            tokens,
            gateways,
            cores,
            dice: Mutex::new(Dice::new(seed ^ 0x00f1_ee70)),
            load_over: watch::Sender::new(false),
            over: watch::Sender::new(false),
            reset: watch::Sender::new(0),
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
        let size = cast.devices.len();
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
        let fleet = Self { common: common.clone(), load: JoinSet::new(), devices, size };
        (fleet, Load { senders, loud, whisperers, whisper_readers })
    }

    /// From here on messages are sent: `rate` a second, whatever becomes of them.
    pub(super) fn begin(&mut self, cast: &Cast, load: Load, rate: u32) {
        self.common.recorder.load_began();
        let Load { senders, loud, whisperers, whisper_readers } = load;
        let common = || self.common.clone();
        self.load.spawn(load::steady(common(), senders, cast.conversations.clone(), rate));
        if let Some(loud) = loud {
            self.load.spawn(load::loud(common(), loud, cast.loud.clone()));
        }
        self.load.spawn(whispers::whisper(common(), whisperers, whisper_readers));
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
