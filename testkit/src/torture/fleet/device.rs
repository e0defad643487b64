//! One client: comes back whenever its connection ends, resumes where it left off, and sends again what was not answered.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use super::Common;
use super::cast::{Part, Role};
use crate::torture::history::{Conduct, EndedBy, Event, Name, Session, What};
use crate::torture::socket::{self, Rate, Socket};

/// An attempt that is not answered by then is made again.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);
/// After so many attempts on one connection, another gateway may know better.
const ATTEMPTS: u32 = 3;
const CONNECTED_WITHIN: Duration = Duration::from_secs(12);
const SHORT_TOKEN: Duration = Duration::from_secs(20);
const LONG_TOKEN: Duration = Duration::from_hours(1);
const TRICKLE: u32 = 1024;
/// How long one that hardly read may take to read the rest.
const READ_ON: Duration = Duration::from_secs(20);

/// A message on its way.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    /// Its place in the history.
    pub(super) sending: usize,
    pub(super) client_msg_id: String,
    pub(super) conversation: Name,
    pub(super) content: String,
    /// It is said twice at once, as a nervous client does.
    pub(super) twice: bool,
}

#[derive(Debug)]
pub(super) enum Order {
    Send(Outgoing),
    /// Leave without a word and come back.
    Reconnect,
}

/// How others reach a device.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub(super) user: Name,
    pub(super) orders: UnboundedSender<Order>,
}

impl Handle {
    /// Writes the message down and hands it to the device.
    pub(super) fn send(&self, common: &Common, conversation: &Name, client_msg_id: String, content: String) {
        let sending = common.recorder.sending(&self.user, conversation, &client_msg_id);
        let twice = common.chance(3);
        let message = Outgoing { sending, client_msg_id, conversation: conversation.clone(), content, twice };
        // a device lives as long as the run
        let _ = self.orders.send(Order::Send(message));
    }
}

struct Pending {
    message: Outgoing,
    last: Instant,
    attempts: u32,
}

pub(super) struct Device {
    id: u32,
    user: Name,
    role: Role,
    common: Arc<Common>,
    orders: UnboundedReceiver<Order>,
    pending: HashMap<String, Pending>,
    /// The highest seq seen of each conversation.
    places: BTreeMap<Name, u64>,
    /// The last `position`, and the places when it came.
    position: Option<(String, BTreeMap<Name, u64>)>,
    rate: Rate,
    conduct: Conduct,
}

/// Waits until it is true.
async fn said(what: &mut watch::Receiver<bool>) {
    // an error means that the run is gone
    let _ = what.wait_for(|said| *said).await;
}

/// Why a session ended.
enum Left {
    /// Go on with the next one.
    Again,
    Over,
}

impl Device {
    pub(super) fn new(id: u32, part: Part, common: Arc<Common>, orders: UnboundedReceiver<Order>) -> Self {
        let (conduct, rate) = match part.role {
            Role::Never => (Conduct::Slow, 0),
            Role::Trickle => (Conduct::Slow, TRICKLE),
            _ => (Conduct::Reading, 0),
        };
        Self {
            id,
            user: part.user,
            role: part.role,
            common,
            orders,
            pending: HashMap::new(),
            places: BTreeMap::new(),
            position: None,
            rate: Arc::new(AtomicU32::new(rate)),
            conduct,
        }
    }

    pub(super) async fn run(mut self) {
        let mut over = self.common.over.subscribe();
        if self.role == Role::LateJoiner {
            let late = self.common.within_ms(20_000..50_000);
            tokio::select! {
                () = tokio::time::sleep(late) => {}
                () = said(&mut over) => return,
            }
        }
        while !*over.borrow() {
            let life = async {
                if let Ok((socket, session)) = self.open().await {
                    return self.session(socket, session).await;
                }
                let pause = self.common.within_ms(50..400);
                tokio::time::sleep(pause).await;
                Left::Again
            };
            tokio::select! {
                left = life => if matches!(left, Left::Over) { return },
                () = said(&mut over) => return,
            }
        }
    }

    /// Connects, says who it is and where it left off, and waits for CONNECTED.
    async fn open(&mut self) -> Result<(Socket, usize)> {
        let gateway = self.common.index(self.common.gateways.len());
        let lifetime = if self.role == Role::ShortToken { SHORT_TOKEN } else { LONG_TOKEN };
        let expires = self.common.recorder.now() + u64::try_from(lifetime.as_millis()).unwrap_or_default();
        let mut connect = json!({"type": "CONNECT", "token": self.common.tokens.issue(&self.user, lifetime)?});
        let by_position = self.position.clone().filter(|_| self.common.chance(30));
        let (claims, exact) = if let Some((position, places)) = by_position {
            connect["position"] = json!(position);
            (places, false)
        } else {
            let seqs: BTreeMap<&str, u64> = self.places.iter().map(|(id, seq)| (&**id, *seq)).collect();
            connect["resume"] = json!(seqs);
            (self.places.clone(), true)
        };
        let url = self.common.gateways[gateway].clone();
        let mut reset = self.common.reset.subscribe();
        reset.borrow_and_update();
        let connecting = async {
            let mut socket = socket::open(&url, &self.rate, self.conduct == Conduct::Slow).await?;
            socket.send(Message::text(connect.to_string())).await.context("CONNECT was not sent")?;
            while let Some(message) = socket.next().await {
                let Message::Text(text) = message.context("no answer")? else { continue };
                let frame: Value = serde_json::from_str(&text).context("not JSON")?;
                match frame["type"].as_str() {
                    Some("CONNECTED") => return Ok(socket),
                    Some("ERROR") => bail!("refused: {frame}"),
                    _ => {}
                }
            }
            bail!("closed before CONNECTED")
        };
        let socket = tokio::select! {
            connected = tokio::time::timeout(CONNECTED_WITHIN, connecting) => connected.context("no CONNECTED in time")??,
            _ = reset.changed() => bail!("cut off"),
        };
        let session = self.common.recorder.connected(Session {
            device: self.id,
            user: self.user.clone(),
            gateway,
            conduct: self.conduct,
            ready: self.common.recorder.now(),
            end: None,
            claims,
            exact,
            expires: (self.role == Role::ShortToken).then_some(expires),
            seen: Vec::new(),
        });
        Ok((socket, session))
    }

    async fn session(&mut self, mut socket: Socket, session: usize) -> Left {
        if self.conduct == Conduct::Slow {
            self.dawdle(&mut socket, session).await;
            return Left::Again;
        }
        let by_client = |common: &Common| common.recorder.ended(session, None, EndedBy::Client);
        let (mut over, mut reset) = (self.common.over.subscribe(), self.common.reset.subscribe());
        let mut load_over = self.common.load_over.subscribe();
        reset.borrow_and_update();
        let lifetime = tokio::time::sleep(self.common.within_ms(15_000..60_000));
        tokio::pin!(lifetime);
        let mut look = tokio::time::interval(Duration::from_millis(300));
        for pending in self.pending.values_mut() {
            pending.attempts = 0;
            pending.last = Instant::now().checked_sub(ANSWER_WITHIN).unwrap_or_else(Instant::now);
        }
        loop {
            let sent = tokio::select! {
                // what is still open when the recording ends has no end
                () = said(&mut over) => return Left::Over,
                _ = reset.changed() => { by_client(&self.common); return Left::Again }
                () = &mut lifetime, if !*load_over.borrow_and_update() => { by_client(&self.common); return Left::Again }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => { self.frame(session, &text); Ok(()) }
                    Some(Ok(Message::Close(close))) => {
                        let code = close.map(|close| u16::from(close.code));
                        self.common.recorder.ended(session, code, EndedBy::Server);
                        return Left::Again;
                    }
                    Some(Ok(_)) => Ok(()),
                    Some(Err(_)) | None => {
                        self.common.recorder.ended(session, None, EndedBy::Server);
                        return Left::Again;
                    }
                },
                // most devices only read, and nobody has orders for them
                Some(order) = self.orders.recv() => match order {
                    Order::Send(message) => self.send(&mut socket, message).await,
                    Order::Reconnect => { by_client(&self.common); return Left::Again }
                },
                _ = look.tick() => self.send_again(&mut socket).await,
            };
            if sent.is_err() {
                by_client(&self.common);
                return Left::Again;
            }
        }
    }

    async fn send(&mut self, socket: &mut Socket, message: Outgoing) -> Result<()> {
        let (id, twice) = (message.client_msg_id.clone(), message.twice);
        self.pending.insert(id.clone(), Pending { message, last: Instant::now(), attempts: 0 });
        for _ in 0..=u8::from(twice) {
            self.attempt(socket, &id).await?;
        }
        Ok(())
    }

    async fn attempt(&mut self, socket: &mut Socket, id: &str) -> Result<()> {
        let Some(pending) = self.pending.get_mut(id) else { return Ok(()) };
        (pending.last, pending.attempts) = (Instant::now(), pending.attempts + 1);
        let message = &pending.message;
        self.common.recorder.attempt(message.sending);
        let frame = json!({"type": "SEND", "clientMsgId": id, "conversationId": &*message.conversation, "content": message.content});
        // a server that takes nothing must not hold up the rest
        let sending = tokio::time::timeout(Duration::from_secs(5), socket.send(Message::text(frame.to_string())));
        sending.await.context("not sent in time")?.context("not sent")
    }

    /// Attempts whose answer is overdue; an error when this connection has had its chances.
    async fn send_again(&mut self, socket: &mut Socket) -> Result<()> {
        let due = self.pending.iter().filter(|(_, pending)| pending.last.elapsed() >= ANSWER_WITHIN);
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            if self.pending.get(&id).is_some_and(|pending| pending.attempts >= ATTEMPTS) {
                bail!("no answer");
            }
            self.attempt(socket, &id).await?;
        }
        Ok(())
    }

    fn frame(&mut self, session: usize, text: &str) {
        let Ok(frame) = serde_json::from_str::<Value>(text) else { return };
        let field = |name: &str| frame[name].as_str().unwrap_or_default();
        let recorder = self.common.recorder.clone();
        match field("type") {
            "ACK" => {
                let Some(pending) = self.pending.get(field("clientMsgId")) else { return };
                let (sending, twice) = (pending.message.sending, pending.message.twice);
                let seq = frame["seq"].as_u64().unwrap_or_default();
                recorder.acknowledged(sending, field("conversationId"), field("messageId"), seq);
                if !twice || pending.attempts > 100 {
                    self.pending.remove(field("clientMsgId"));
                } else if let Some(pending) = self.pending.get_mut(field("clientMsgId")) {
                    // the second answer is wanted too
                    pending.message.twice = false;
                }
            }
            "ERROR" => {
                let (id, code) = (field("clientMsgId"), field("code"));
                let Some(pending) = self.pending.get_mut(id) else { return };
                if matches!(code, "unavailable" | "rate_limited" | "internal") {
                    // soon again, but not at once
                    pending.last = Instant::now().checked_sub(ANSWER_WITHIN * 9 / 10).unwrap_or(pending.last);
                    pending.attempts = 0;
                } else {
                    recorder.refused(pending.message.sending, code);
                    self.pending.remove(id);
                }
            }
            "POSITION" => self.position = Some((field("position").to_owned(), self.places.clone())),
            "RESYNC" => {
                let conversation = Name::from(field("conversationId"));
                let (from, head) =
                    (frame["from"].as_u64().unwrap_or_default(), frame["head"].as_u64().unwrap_or_default());
                self.reached(&conversation, head);
                recorder.saw(session, What::Resync { conversation, from, head });
            }
            _ => match Event::read(&frame) {
                Some(event) => {
                    recorder.saw(session, What::Event(event.clone()));
                    self.reached(&event.conversation, event.seq);
                }
                None if frame["conversationId"].is_string() => {
                    recorder.saw(session, What::Other { conversation: field("conversationId").into() });
                }
                None => {}
            },
        }
    }

    fn reached(&mut self, conversation: &Name, seq: u64) {
        let place = self.places.entry(conversation.clone()).or_default();
        *place = seq.max(*place);
    }

    /// Reads hardly anything until the load is over, then whatever is left: there must be an end to it.
    async fn dawdle(&mut self, socket: &mut Socket, session: usize) {
        let mut load_over = self.common.load_over.subscribe();
        if self.role == Role::Never {
            said(&mut load_over).await;
        }
        let mut deadline = None;
        let ended = loop {
            if *load_over.borrow_and_update() && deadline.is_none() {
                self.rate.store(0, Ordering::Relaxed);
                deadline = Some(tokio::time::Instant::now() + READ_ON);
            }
            let patience = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.frame(session, &text),
                    Some(Ok(Message::Close(close))) => break Some(close.map(|close| u16::from(close.code))),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break Some(None),
                },
                _ = load_over.changed() => {}
                () = patience => break None,
            }
        };
        if let Some(code) = ended {
            self.common.recorder.ended(session, code, EndedBy::Server);
        } else {
            self.common.recorder.ended(session, None, EndedBy::Client);
        }
        // from now on like everybody else
        self.rate.store(0, Ordering::Relaxed);
        self.conduct = Conduct::Reading;
    }
}
