//! A guest of the open rooms: no member of anything, it listens to one room for a while, leaves it, and comes back to it or
//! to the other one, behind what it has heard or at the present.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

use super::Common;
use super::device::{ABANDON_PERCENT, CONNECTED_WITHIN, LONG_TOKEN, said};
use super::dialect::{Dialect, Heard};
use crate::torture::history::{Conduct, EndedBy, Name, Session, Visit, What};
use crate::torture::socket::{self, Rate, Socket};

/// JOIN and LEAVE are answered by then, or the connection is given up.
const ANSWER_WITHIN: Duration = Duration::from_secs(12);

pub(super) struct Guest {
    pub(super) id: u32,
    pub(super) user: Name,
    pub(super) dialect: Dialect,
    pub(super) rooms: Vec<Name>,
    pub(super) common: Arc<Common>,
    pub(super) places: HashMap<Name, Place>,
}

/// What a guest has heard of a room.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    seq: Option<u64>,
    record: Option<Name>,
}

#[derive(Clone, Debug)]
struct Wish {
    room: Name,
    after: Option<u64>,
    since: Option<Name>,
}

enum Stage {
    /// In no room: nothing may come.
    Waiting,
    Asked(Wish),
    Inside,
    Leaving,
}

/// One connection.
struct Connection {
    socket: Socket,
    gateway: usize,
    /// Where what comes is written down.
    session: usize,
    stage: Stage,
    /// When the stage is over.
    until: Instant,
}

impl Guest {
    pub(super) async fn run(mut self) {
        let mut over = self.common.over.subscribe();
        while !*over.borrow() {
            let life = async {
                if let Ok(connection) = self.connect().await {
                    self.listen(connection).await;
                }
                let pause = self.common.within_ms(50..400);
                tokio::time::sleep(pause).await;
            };
            tokio::select! {
                () = life => {}
                // what is still open when the recording ends has no end
                () = said(&mut over) => return,
            }
        }
    }

    async fn connect(&self) -> Result<Connection> {
        let gateway = self.common.index(self.common.gateways.len());
        let token = self.common.tokens.issue(&self.user, LONG_TOKEN)?;
        let url = &self.common.gateways[gateway];
        let connecting = async {
            let mut socket = socket::open(url, self.dialect.subprotocol(), &Rate::default(), false).await?;
            socket.send(Message::text(self.dialect.connect(&token, None))).await.context("CONNECT was not sent")?;
            while let Some(message) = socket.next().await {
                let Message::Text(text) = message.context("no answer")? else { continue };
                match self.dialect.hear(&text).first() {
                    Some(Heard::Connected) => return Ok(socket),
                    Some(Heard::Refused { code, .. }) => bail!("refused: {code}"),
                    _ => {}
                }
            }
            bail!("closed before CONNECTED")
        };
        let mut socket = tokio::time::timeout(CONNECTED_WITHIN, connecting).await.context("no CONNECTED in time")??;
        for words in self.dialect.greeting() {
            socket.send(Message::text(words)).await.context("nothing can be said")?;
        }
        let session = self.begins(gateway, None, None);
        Ok(Connection { socket, gateway, session, stage: Stage::Waiting, until: Instant::now() })
    }

    /// Writes down that a stay begins, behind `after`, or a time between two of them.
    fn begins(&self, gateway: usize, visit: Option<Visit>, after: Option<u64>) -> usize {
        let claims = visit.iter().map(|visit| (visit.room.clone(), after.unwrap_or_default()));
        self.common.recorder.connected(Session {
            device: self.id,
            user: self.user.clone(),
            gateway,
            conduct: if visit.is_some() { Conduct::Reading } else { Conduct::Waiting },
            claims: claims.collect::<BTreeMap<_, _>>(),
            visit,
            ready: self.common.recorder.now(),
            end: None,
            exact: true,
            expires: None,
            signed_out: None,
            seen: Vec::new(),
        })
    }

    async fn listen(&mut self, mut connection: Connection) {
        let (mut reset, mut abandon) = (self.common.reset.subscribe(), self.common.abandon.subscribe());
        let mut load_over = self.common.load_over.subscribe();
        reset.borrow_and_update();
        abandon.borrow_and_update();
        let (code, by) = loop {
            let stays = matches!(connection.stage, Stage::Inside) && *load_over.borrow_and_update();
            tokio::select! {
                _ = reset.changed() => break (None, EndedBy::Client),
                _ = abandon.changed() => {
                    if self.common.chance(ABANDON_PERCENT) {
                        self.common.recorder.ended(connection.session, None, EndedBy::Client);
                        self.common.left_open.lock().push(connection.socket);
                        return;
                    }
                }
                () = tokio::time::sleep_until(connection.until), if !stays => {
                    if self.go_on(&mut connection).await.is_err() {
                        break (None, EndedBy::Client);
                    }
                }
                message = connection.socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        for heard in self.dialect.hear(&text) {
                            self.hear(&mut connection, heard);
                        }
                    }
                    Some(Ok(Message::Close(close))) => break (close.map(|close| u16::from(close.code)), EndedBy::Server),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break (None, EndedBy::Server),
                },
            }
        };
        self.common.recorder.ended(connection.session, code, by);
    }

    /// The time of a stage is over; an error ends the connection.
    async fn go_on(&mut self, connection: &mut Connection) -> Result<()> {
        let words = match &connection.stage {
            Stage::Waiting => {
                let wish = self.wish();
                let words = self.dialect.join(&wish.room, wish.after, wish.since.as_deref());
                if self.dialect == Dialect::Stomp {
                    // its receipt comes when the past is told
                    self.enters(connection, &wish, None);
                }
                connection.stage = Stage::Asked(wish);
                words
            }
            Stage::Inside if self.common.chance(40) => bail!("it goes without a word"),
            Stage::Inside => {
                connection.stage = Stage::Leaving;
                let room = self.common.recorder.visited(connection.session).context("in no room")?;
                self.dialect.leave(&room)
            }
            Stage::Asked(_) | Stage::Leaving => bail!("no answer"),
        };
        connection.until = Instant::now() + ANSWER_WITHIN;
        let sending = tokio::time::timeout(ANSWER_WITHIN, connection.socket.send(Message::text(words)));
        sending.await.context("not sent in time")?.context("not sent")
    }

    fn wish(&self) -> Wish {
        let room = self.rooms[if self.common.chance(75) {
            self.id as usize % self.rooms.len()
        } else {
            self.common.index(self.rooms.len())
        }]
        .clone();
        let Place { seq, record } = self.places.get(&room).cloned().unwrap_or_default();
        let after = match self.dialect {
            Dialect::Native => seq.filter(|_| self.common.chance(75)),
            // which is not told where it stands
            Dialect::Stomp => Some(seq.unwrap_or_default()),
        };
        Wish { room, after, since: record.filter(|_| self.common.chance(75)) }
    }

    /// What comes from here on is of the room.
    fn enters(&self, connection: &mut Connection, wish: &Wish, seq: Option<u64>) {
        self.common.recorder.ended(connection.session, None, EndedBy::Client);
        let live = seq.map(|_| self.common.recorder.now());
        let visit = Visit { room: wish.room.clone(), since: wish.since.clone(), live };
        connection.session = self.begins(connection.gateway, Some(visit), wish.after.or(seq));
    }

    fn waits(&self, connection: &mut Connection, pause: std::ops::Range<u64>) {
        connection.stage = Stage::Waiting;
        connection.until = Instant::now() + self.common.within_ms(pause);
    }

    fn hear(&mut self, connection: &mut Connection, heard: Heard) {
        let recorder = &self.common.recorder;
        let session = connection.session;
        match heard {
            Heard::Joined { room, seq } => {
                let Stage::Asked(wish) = &connection.stage else { return };
                let wish = wish.clone();
                if wish.room == room {
                    match self.dialect {
                        Dialect::Native => self.enters(connection, &wish, seq),
                        Dialect::Stomp => recorder.live(session),
                    }
                    connection.stage = Stage::Inside;
                    let stay = self.common.size.stay_ms;
                    connection.until = Instant::now() + self.common.within_ms(stay / 4..stay * 7 / 4);
                }
            }
            Heard::Left { .. } => {
                recorder.ended(session, None, EndedBy::Client);
                connection.session = self.begins(connection.gateway, None, None);
                self.waits(connection, 0..600);
            }
            Heard::Refused { .. } if matches!(connection.stage, Stage::Asked(_)) && self.dialect == Dialect::Native => {
                self.waits(connection, 200..600);
            }
            Heard::Said(what) => {
                match &what {
                    What::Event(event) => self.place(&event.conversation).seq = Some(event.seq),
                    What::Resync { conversation, head, .. } => self.place(conversation).seq = Some(*head),
                    What::Record { room, id, .. } => self.place(room).record = Some(id.clone()),
                    What::Gap { .. } | What::Other { .. } => {}
                }
                self.common.recorder.saw(session, what);
            }
            Heard::Connected | Heard::Stored { .. } | Heard::Refused { .. } | Heard::Position(_) => {}
        }
    }

    fn place(&mut self, room: &Name) -> &mut Place {
        self.places.entry(room.clone()).or_default()
    }
}
