//! Hundreds of clients that chat all the time, come back as real ones do whenever their connection ends, and write down
//! what they see. What happens to the platform meanwhile is a chapter; after each, what the clients saw is held against
//! the conversations' logs, with the same checks as after a torture run.
//!
//! Rooms: `cast` makes users and conversations, `client` is one client with all its connections, `load` sends, `log`
//! reads the record by REST, `tally` counts.

mod cast;
mod client;
mod load;
mod log;
mod tally;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use cast::Size;
pub use tally::Tally;

use self::cast::Cast;
use self::client::Client;
use super::Entrance;
use crate::await_condition;
use crate::install::Progress;
use crate::torture::check::{self, Case};
use crate::torture::clock::Clock;
use crate::torture::recorder::Recorder;
use crate::torture::tokens::Tokens;
use crate::torture::truth::Truth;

/// How long everybody may take to be online.
const ONLINE_WITHIN: Duration = Duration::from_mins(2);
/// How long after its commit, or the start of a session, an event may be on its way while things are being changed.
const SEEN_WITHIN: Duration = Duration::from_mins(1);
/// At the end of a chapter, for everybody to be online and everything to be answered and seen.
const QUIET_WITHIN: Duration = Duration::from_mins(1);
/// After that, for what comes once too often.
const SETTLE: Duration = Duration::from_millis(700);

/// What all clients share.
struct Shared {
    recorder: Recorder,
    tokens: Tokens,
    entrance: Entrance,
    /// Messages a second of all clients together.
    rate: watch::Sender<u32>,
    /// Counts how often half of the clients were told to connect anew.
    moves: watch::Sender<u64>,
    over: watch::Sender<bool>,
    /// Names of the gateways that were met.
    gateways: Mutex<Vec<String>>,
}

/// All clients at work.
pub struct Fleet {
    shared: Arc<Shared>,
    cast: Cast,
    clients: JoinSet<()>,
    truth: Truth,
    /// What was found in earlier chapters: what is still so is not found again.
    known: HashSet<String>,
}

impl std::fmt::Debug for Fleet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fleet").field("clients", &self.clients.len()).finish_non_exhaustive()
    }
}

/// A view of a fleet at work.
#[derive(Clone)]
pub struct Watched {
    recorder: Recorder,
    size: usize,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.line())
    }
}

impl Watched {
    pub fn line(&self) -> String {
        let now = self.recorder.progress();
        let (sent, acknowledged, frames, online) = (now.sent, now.acknowledged, now.frames, now.online);
        format!("sent {sent} acknowledged {acknowledged} frames {frames} online {online}/{}", self.size)
    }
}

impl Fleet {
    /// Signs users up, makes their conversations, and connects everybody. Nobody sends yet. `signing_key`: core's, PEM.
    pub async fn start(entrance: Entrance, signing_key: &[u8], size: Size, say: Progress) -> Result<Self> {
        let api = crate::Api::new(&entrance.api)?;
        let tokens = Tokens::of_key(signing_key, &api).await?;
        say(&format!("signing up {} users of {} conversations", size.users, size.conversations));
        let cast = Cast::make(&api, &tokens, &size).await?;
        let shared = Arc::new(Shared {
            recorder: Recorder::new(Clock::start()),
            tokens,
            entrance,
            rate: watch::Sender::new(0),
            moves: watch::Sender::new(0),
            over: watch::Sender::new(false),
            gateways: Mutex::default(),
        });
        let mut clients = JoinSet::new();
        let mut orders = Vec::new();
        for (id, user) in (0_u32..).zip(cast.devices(&size)) {
            let (client, handle) = Client::new(id, user.clone(), shared.clone());
            clients.spawn(client.run());
            orders.push(handle);
        }
        let size = clients.len();
        clients.spawn(load::send(shared.clone(), orders, cast.rooms.clone()));
        let fleet = Self { shared, cast, clients, truth: Truth::default(), known: HashSet::new() };
        await_condition("all clients to be online", ONLINE_WITHIN, || async {
            let online = fleet.shared.recorder.progress().online;
            ensure!(online == size, "{online} of {size}");
            anyhow::Ok(())
        })
        .await?;
        fleet.shared.recorder.turn_page();
        say(&format!("{size} clients are online"));
        Ok(fleet)
    }

    /// How many clients there are.
    pub fn size(&self) -> usize {
        // one task is the load
        self.clients.len().saturating_sub(1)
    }

    /// From now on so many messages a second are sent; 0: none.
    pub fn send(&self, rate: u32) {
        self.shared.rate.send_replace(rate);
    }

    /// Half of the clients lose their connection now and come anew, as phones that change networks do.
    pub fn move_some(&self) {
        self.shared.moves.send_modify(|count| *count += 1);
    }

    /// One line for a person who waits.
    pub fn progress(&self) -> String {
        self.watched().line()
    }

    /// The same for somebody who has no fleet.
    pub fn watched(&self) -> Watched {
        Watched { recorder: self.shared.recorder.clone(), size: self.size() }
    }

    /// How many clients are online.
    pub fn online(&self) -> usize {
        self.shared.recorder.progress().online
    }

    /// Ends a chapter: nobody sends any more, everything is waited for, within bounds, and compared. What did not become
    /// quiet is in the tally too.
    pub async fn conclude(&mut self) -> Result<Tally> {
        self.send(0);
        let since = Instant::now();
        let calm = self.quiet().await;
        tokio::time::sleep(SETTLE).await;
        let page = self.shared.recorder.turn_page();
        // what was sent to the very end is on record by now
        self.read_logs().await.context("failed to read the conversations")?;
        let within = u64::try_from(SEEN_WITHIN.as_millis()).unwrap_or(u64::MAX);
        let case = Case { history: &page, truth: &self.truth, within, grace: within };
        let findings = check::of_clients(&case);
        let fresh: Vec<_> =
            findings.all().iter().filter(|finding| self.known.insert(finding.text.clone())).cloned().collect();
        let gateways = self.shared.gateways.lock().clone();
        let mut tally = Tally::of(&case, &fresh, &gateways);
        tally.quiet_s = since.elapsed().as_secs_f64();
        if let Err(error) = calm {
            tally.broken.push(format!("{error:#}"));
        }
        Ok(tally)
    }

    /// Everybody online, every send answered, everything seen.
    async fn quiet(&mut self) -> Result<()> {
        let (size, recorder) = (self.size(), self.shared.recorder.clone());
        await_condition("all clients to be online and all sends to be answered", QUIET_WITHIN, || async {
            let now = recorder.progress();
            ensure!(now.online == size && now.open == 0, "{} of {size} online, {} sends open", now.online, now.open);
            anyhow::Ok(())
        })
        .await?;
        self.read_logs().await?;
        let heads = self.cast.heads(&self.truth);
        await_condition("all clients to see everything", QUIET_WITHIN, || async {
            let lacking = recorder.lacking(&heads);
            ensure!(lacking == 0, "{lacking} clients lack something");
            anyhow::Ok(())
        })
        .await
    }

    async fn read_logs(&mut self) -> Result<()> {
        log::read(&self.shared, &self.cast, &mut self.truth).await
    }

    /// Ends everything.
    pub async fn stop(mut self) {
        self.shared.over.send_replace(true);
        let ended = async { while self.clients.join_next().await.is_some() {} };
        // one that hangs is dropped with the set
        let _ = tokio::time::timeout(Duration::from_secs(5), ended).await;
    }
}
