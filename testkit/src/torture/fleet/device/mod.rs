//! One client: comes back whenever its connection ends, resumes where it left off, and sends again what was not answered.

mod login;
mod sends;
mod slow;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;

use self::login::Login;
use self::sends::{Outgoing, Pending};
use super::Common;
use super::cast::{Part, Role};
use super::dialect::{Dialect, Heard, Resume};
use crate::torture::history::{Conduct, EndedBy, Ms, Name, Session, What};
use crate::torture::socket::{self, Rate, Socket};

pub(super) const CONNECTED_WITHIN: Duration = Duration::from_secs(12);
/// A sign-out that was not answered is made again after this pause.
const AGAIN_IN: Duration = Duration::from_secs(1);
pub(super) const LONG_TOKEN: Duration = Duration::from_hours(1);
/// Bytes a second.
const TRICKLE: u32 = 1024;
/// How many of the clients leave a connection open behind them when asked to.
pub(super) const ABANDON_PERCENT: u64 = 33;

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
    /// Writes a message of the load down and hands it to the device.
    pub(super) fn send(&self, common: &Common, conversation: &Name, client_msg_id: String, content: String) {
        self.hand(common, conversation, client_msg_id, content, true);
    }

    /// The same for one that is sent because something else was answered.
    pub(super) fn whisper(&self, common: &Common, conversation: &Name, client_msg_id: String) {
        self.hand(common, conversation, client_msg_id, "psst".to_owned(), false);
    }

    fn hand(&self, common: &Common, conversation: &Name, client_msg_id: String, content: String, open_loop: bool) {
        let sending = common.recorder.sending(&self.user, conversation, &client_msg_id, open_loop);
        let twice = common.chance(3);
        let message = Outgoing { sending, client_msg_id, conversation: conversation.clone(), content, twice };
        // a device lives as long as the run
        let _ = self.orders.send(Order::Send(message));
    }
}

pub(super) struct Device {
    id: u32,
    user: Name,
    username: Name,
    role: Role,
    dialect: Dialect,
    /// Of those who sign in themselves.
    login: Option<Login>,
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
pub(super) async fn said(what: &mut watch::Receiver<bool>) {
    // an error means that the run is gone
    let _ = what.wait_for(|said| *said).await;
}

/// What a device connects with.
struct Token {
    text: String,
    expires: Option<Ms>,
    /// Its login was ended then: it is good no more.
    signed_out: Option<Ms>,
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
            username: part.username,
            login: None,
            role: part.role,
            dialect: part.dialect,
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
            let late = self.common.within_ms(self.common.size.late_ms());
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

    /// What the next CONNECT says of the past: the words, what they claim, and whether they claim just that. A position
    /// of a native client may stand before what it has seen since.
    fn past(&self) -> (Option<Resume<'_>>, BTreeMap<Name, u64>, bool) {
        let position = self.position.as_ref().map(|(position, places)| (Resume::Position(position), places.clone()));
        match (self.dialect, position) {
            (Dialect::Stomp, Some((position, places))) => (Some(position), places, true),
            (Dialect::Stomp, None) => (None, BTreeMap::new(), true),
            (Dialect::Native, Some((position, places))) if self.common.chance(30) => (Some(position), places, false),
            (Dialect::Native, _) => (Some(Resume::Places(&self.places)), self.places.clone(), true),
        }
    }

    /// Connects, says who it is and where it left off, and waits for CONNECTED.
    async fn open(&mut self) -> Result<(Socket, usize)> {
        let gateway = self.common.index(self.common.gateways.len());
        let Token { text: token, expires, signed_out } = self.token().await?;
        let (resume, claims, exact) = self.past();
        let connect = self.dialect.connect(&token, resume.as_ref());
        let url = self.common.gateways[gateway].clone();
        let mut reset = self.common.reset.subscribe();
        reset.borrow_and_update();
        let connecting = async {
            let slow = self.conduct == Conduct::Slow;
            let mut socket = socket::open(&url, self.dialect.subprotocol(), &self.rate, slow).await?;
            socket.send(Message::text(connect)).await.context("CONNECT was not sent")?;
            while let Some(message) = socket.next().await {
                let Message::Text(text) = message.context("no answer")? else { continue };
                match self.dialect.hear(&text).first() {
                    Some(Heard::Connected) => {
                        for words in self.dialect.greeting() {
                            socket.send(Message::text(words)).await.context("nothing can be said")?;
                        }
                        return Ok(Ok(socket));
                    }
                    Some(Heard::Refused { code, .. }) => return Ok(Err(code.clone())),
                    _ => {}
                }
            }
            bail!("closed before CONNECTED")
        };
        let socket = tokio::select! {
            connected = tokio::time::timeout(CONNECTED_WITHIN, connecting) => connected.context("no CONNECTED in time")??,
            _ = reset.changed() => bail!("cut off"),
        };
        let socket = match socket {
            Ok(socket) => socket,
            Err(code) => {
                self.turned_away(&code);
                bail!("refused: {code}");
            }
        };
        let session = self.common.recorder.connected(Session {
            device: self.id,
            user: self.user.clone(),
            gateway,
            conduct: self.conduct,
            visit: None,
            ready: self.common.recorder.now(),
            end: None,
            claims,
            exact,
            expires,
            signed_out,
            seen: Vec::new(),
        });
        Ok((socket, session))
    }

    async fn token(&mut self) -> Result<Token> {
        let mut token = Token { text: String::new(), expires: None, signed_out: None };
        match self.role {
            Role::SignsOut => (token.text, token.signed_out) = self.signed_in().await?,
            Role::ShortToken => {
                let seconds = self.common.size.token_s;
                token.expires = Some(self.common.recorder.now() + seconds * 1000);
                token.text = self.common.tokens.issue(&self.user, Duration::from_secs(seconds))?;
            }
            _ => token.text = self.common.tokens.issue(&self.user, LONG_TOKEN)?,
        }
        Ok(token)
    }

    async fn session(&mut self, mut socket: Socket, session: usize) -> Left {
        if self.conduct == Conduct::Slow {
            self.dawdle(&mut socket, session).await;
            return Left::Again;
        }
        let by_client = |common: &Common| common.recorder.ended(session, None, EndedBy::Client);
        let (mut over, mut reset) = (self.common.over.subscribe(), self.common.reset.subscribe());
        let (mut load_over, mut abandon) = (self.common.load_over.subscribe(), self.common.abandon.subscribe());
        reset.borrow_and_update();
        abandon.borrow_and_update();
        let lifetime = tokio::time::sleep(self.common.within_ms(15_000..60_000));
        let signs_out = tokio::time::sleep(self.common.within_ms(self.common.size.sign_out_ms()));
        tokio::pin!(lifetime, signs_out);
        let mut look = tokio::time::interval(Duration::from_millis(300));
        self.all_is_due();
        loop {
            let sent = tokio::select! {
                // what is still open when the recording ends has no end
                () = said(&mut over) => return Left::Over,
                _ = reset.changed() => { by_client(&self.common); return Left::Again }
                _ = abandon.changed() => {
                    if !self.common.chance(ABANDON_PERCENT) {
                        continue;
                    }
                    by_client(&self.common);
                    self.common.left_open.lock().push(socket);
                    return Left::Again;
                }
                () = &mut lifetime, if !*load_over.borrow_and_update() && self.role != Role::SignsOut => { by_client(&self.common); return Left::Again }
                () = &mut signs_out, if self.is_signed_in() && !*load_over.borrow() => {
                    self.sign_out(session).await;
                    // when nobody answered
                    signs_out.as_mut().reset(tokio::time::Instant::now() + AGAIN_IN);
                    Ok(())
                }
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => { self.hear(session, &text); Ok(()) }
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

    fn hear(&mut self, session: usize, text: &str) {
        let recorder = self.common.recorder.clone();
        for heard in self.dialect.hear(text) {
            match heard {
                // no device is in an open room but as a member
                Heard::Connected | Heard::Joined { .. } | Heard::Left { .. } => {}
                Heard::Stored { client_msg_id, conversation, message_id, seq } => {
                    self.stored(&client_msg_id, &conversation, &message_id, seq);
                }
                Heard::Refused { client_msg_id, code } => self.refused(&client_msg_id, &code),
                Heard::Position(position) => self.position = Some((position, self.places.clone())),
                Heard::Said(what) => {
                    match &what {
                        What::Resync { conversation, head, .. } => self.reached(conversation, *head),
                        What::Event(event) => self.reached(&event.conversation, event.seq),
                        What::Other { .. } | What::Record { .. } | What::Gap { .. } => {}
                    }
                    recorder.saw(session, what);
                }
            }
        }
    }

    fn reached(&mut self, conversation: &Name, seq: u64) {
        let place = self.places.entry(conversation.clone()).or_default();
        *place = seq.max(*place);
    }
}
