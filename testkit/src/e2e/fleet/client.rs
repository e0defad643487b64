//! One client: comes back whenever its connection ends, resumes from what it has handled, and sends again what was not
//! answered. Its pauses are those of our own JavaScript client.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use rand::RngExt;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::tungstenite::Message;

use super::Shared;
use crate::e2e::entrance::Socket;
use crate::torture::history::{Conduct, EndedBy, Event, Name, Session, What};

/// The first connections are spread over so long.
const ARRIVAL: Duration = Duration::from_secs(3);
const CONNECTED_WITHIN: Duration = Duration::from_secs(10);
/// An attempt that is not answered by then is made again.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// Silence after which the server is asked whether it is there, and the time it has for its answer.
const QUIET: Duration = Duration::from_secs(10);
/// Pauses: anywhere below so much after the first failure, doubled with each further one, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(400);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// A restarting gateway names itself: no failure, but all of its clients come at once.
const SERVICE_RESTART: u16 = 1012;
const RESTART_SPREAD: Duration = Duration::from_secs(1);
const TOKEN: Duration = Duration::from_hours(6);

/// How the load reaches a client.
#[derive(Clone, Debug)]
pub(super) struct Handle {
    pub(super) user: Name,
    orders: UnboundedSender<Outgoing>,
}

impl Handle {
    /// Writes the message down and hands it to the client.
    pub(super) fn send(&self, shared: &Shared, conversation: &Name, client_msg_id: String, content: String) {
        let sending = shared.recorder.sending(&self.user, conversation, &client_msg_id, true);
        // a client lives as long as the fleet
        let _ = self.orders.send(Outgoing { sending, client_msg_id, conversation: conversation.clone(), content });
    }
}

#[derive(Debug)]
struct Outgoing {
    /// Its place in the history.
    sending: usize,
    client_msg_id: String,
    conversation: Name,
    content: String,
}

struct Pending {
    message: Outgoing,
    /// When it is sent again if nothing is heard of it.
    again: Instant,
}

pub(super) struct Client {
    id: u32,
    user: Name,
    shared: Arc<Shared>,
    orders: UnboundedReceiver<Outgoing>,
    pending: HashMap<String, Pending>,
    /// The highest seq handled of each conversation.
    places: BTreeMap<Name, u64>,
    failures: u32,
}

impl Client {
    pub(super) fn new(id: u32, user: Name, shared: Arc<Shared>) -> (Self, Handle) {
        let (orders, inbox) = unbounded_channel();
        let handle = Handle { user: user.clone(), orders };
        let (pending, places) = (HashMap::new(), BTreeMap::new());
        (Self { id, user, shared, orders: inbox, pending, places, failures: 0 }, handle)
    }

    pub(super) async fn run(mut self) {
        let mut over = self.shared.over.subscribe();
        tokio::select! {
            () = self.live() => {}
            // an error means that the fleet is gone
            _ = over.wait_for(|over| *over) => {}
        }
    }

    async fn live(&mut self) {
        tokio::time::sleep(below(ARRIVAL)).await;
        loop {
            let pause = match self.open().await {
                Ok((socket, session)) => match self.session(socket, session).await {
                    Some(SERVICE_RESTART) => below(RESTART_SPREAD),
                    _ => self.failed(),
                },
                Err(_) => self.failed(),
            };
            tokio::time::sleep(pause).await;
        }
    }

    fn failed(&mut self) -> Duration {
        let ceiling = LAST_PAUSE.min(FIRST_PAUSE * 2_u32.pow(self.failures.min(8)));
        self.failures += 1;
        below(ceiling)
    }

    /// Connects, says who it is and where it left off, and waits for CONNECTED.
    async fn open(&mut self) -> Result<(Socket, usize)> {
        let resume: BTreeMap<&str, u64> = self.places.iter().map(|(id, seq)| (&**id, *seq)).collect();
        let token = self.shared.tokens.issue(&self.user, TOKEN)?;
        let connect = json!({"type": "CONNECT", "token": token, "resume": resume}).to_string();
        let connecting = async {
            let mut socket = self.shared.entrance.open().await?;
            socket.send(Message::text(connect)).await.context("CONNECT was not sent")?;
            while let Some(message) = socket.next().await {
                let Message::Text(text) = message.context("no answer")? else { continue };
                let frame: Value = serde_json::from_str(&text).context("not JSON")?;
                match frame["type"].as_str() {
                    Some("CONNECTED") => return Ok((socket, frame)),
                    Some("ERROR") => bail!("refused: {frame}"),
                    _ => {}
                }
            }
            bail!("closed before CONNECTED")
        };
        let (socket, connected) =
            tokio::time::timeout(CONNECTED_WITHIN, connecting).await.context("no CONNECTED in time")??;
        let session = self.shared.recorder.connected(Session {
            device: self.id,
            user: self.user.clone(),
            gateway: self.shared.gateway(connected["sessionId"].as_str().unwrap_or_default()),
            conduct: Conduct::Reading,
            visit: None,
            ready: self.shared.recorder.now(),
            end: None,
            claims: self.places.clone(),
            exact: true,
            expires: None,
            signed_out: None,
            seen: Vec::new(),
        });
        Ok((socket, session))
    }

    /// One connection to its end; answers the close code, if there was a close frame.
    async fn session(&mut self, mut socket: Socket, session: usize) -> Option<u16> {
        let recorder = self.shared.recorder.clone();
        for pending in self.pending.values_mut() {
            pending.again = Instant::now();
        }
        let mut look = tokio::time::interval(Duration::from_millis(500));
        let mut moves = self.shared.moves.subscribe();
        let (mut heard, mut asked) = (Instant::now(), false);
        loop {
            let sent = tokio::select! {
                message = socket.next() => {
                    (heard, asked) = (Instant::now(), false);
                    self.failures = 0;
                    match message {
                        Some(Ok(Message::Text(text))) => self.frame(session, &text),
                        Some(Ok(Message::Close(close))) => {
                            let code = close.map(|close| u16::from(close.code));
                            recorder.ended(session, code, EndedBy::Server);
                            // the library answers the close as it is read on
                            let _ = tokio::time::timeout(Duration::from_secs(1), socket.next()).await;
                            return code;
                        }
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => {
                            recorder.ended(session, None, EndedBy::Server);
                            return None;
                        }
                    }
                    Ok(())
                },
                Some(message) = self.orders.recv() => self.send(&mut socket, message).await,
                Ok(()) = moves.changed() => {
                    if rand::rng().random_bool(0.5) {
                        recorder.ended(session, None, EndedBy::Client);
                        return None;
                    }
                    Ok(())
                },
                _ = look.tick() => match (asked, heard.elapsed()) {
                    (true, silence) if silence > 2 * QUIET => Err(anyhow::anyhow!("the server is silent")),
                    (false, silence) if silence > QUIET => {
                        asked = true;
                        socket.send(Message::text(r#"{"type":"PING"}"#)).await.map_err(anyhow::Error::from)
                    }
                    _ => self.send_again(&mut socket).await,
                },
            };
            if sent.is_err() {
                recorder.ended(session, None, EndedBy::Client);
                return None;
            }
        }
    }

    async fn send(&mut self, socket: &mut Socket, message: Outgoing) -> Result<()> {
        let id = message.client_msg_id.clone();
        self.pending.insert(id.clone(), Pending { message, again: Instant::now() });
        self.attempt(socket, &id).await
    }

    async fn attempt(&mut self, socket: &mut Socket, id: &str) -> Result<()> {
        let Some(pending) = self.pending.get_mut(id) else { return Ok(()) };
        pending.again = Instant::now() + ANSWER_WITHIN;
        let message = &pending.message;
        self.shared.recorder.attempt(message.sending);
        let frame = json!({
            "type": "SEND", "clientMsgId": id, "conversationId": &*message.conversation, "content": message.content,
        });
        // a server that takes nothing must not hold up the rest
        let sending = tokio::time::timeout(ANSWER_WITHIN, socket.send(Message::text(frame.to_string())));
        sending.await.context("not sent in time")?.context("not sent")
    }

    async fn send_again(&mut self, socket: &mut Socket) -> Result<()> {
        let now = Instant::now();
        let due = self.pending.iter().filter(|(_, pending)| pending.again <= now);
        let due: Vec<String> = due.map(|(id, _)| id.clone()).collect();
        for id in due {
            self.attempt(socket, &id).await?;
        }
        Ok(())
    }

    fn frame(&mut self, session: usize, text: &str) {
        let Ok(frame) = serde_json::from_str::<Value>(text) else { return };
        let field = |name: &str| frame[name].as_str().unwrap_or_default();
        let recorder = &self.shared.recorder;
        match field("type") {
            "ACK" => {
                let Some(pending) = self.pending.remove(field("clientMsgId")) else { return };
                let seq = frame["seq"].as_u64().unwrap_or_default();
                recorder.acknowledged(pending.message.sending, field("conversationId"), field("messageId"), seq);
            }
            "ERROR" => {
                let (id, code) = (field("clientMsgId"), field("code"));
                if matches!(code, "unavailable" | "rate_limited" | "internal") {
                    if let Some(pending) = self.pending.get_mut(id) {
                        pending.again = Instant::now() + FIRST_PAUSE / 2 + below(FIRST_PAUSE);
                    }
                } else if let Some(pending) = self.pending.remove(id) {
                    recorder.refused(pending.message.sending, code);
                }
            }
            "RESYNC" => {
                let conversation = Name::from(field("conversationId"));
                let number = |name: &str| frame[name].as_u64().unwrap_or_default();
                let (from, head) = (number("from"), number("head"));
                self.places.insert(conversation.clone(), head);
                recorder.saw(session, What::Resync { conversation, from, head });
            }
            _ => {
                if let Some(event) = Event::read(&frame) {
                    recorder.saw(session, What::Event(event.clone()));
                    let place = self.places.entry(event.conversation).or_default();
                    *place = event.seq.max(*place);
                }
            }
        }
    }
}

fn below(ceiling: Duration) -> Duration {
    ceiling.mul_f64(rand::rng().random_range(0.0..1.0))
}

impl Shared {
    /// The number of the gateway that holds a session.
    fn gateway(&self, session: &str) -> usize {
        let name = session.split_once('~').map_or(session, |(node, _)| node);
        let mut gateways = self.gateways.lock();
        gateways.iter().position(|known| known == name).unwrap_or_else(|| {
            gateways.push(name.to_owned());
            gateways.len() - 1
        })
    }
}
