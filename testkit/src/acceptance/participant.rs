//! Somebody who stays in a conversation whatever happens: reconnects with resume, retries what was not acknowledged, and
//! remembers everything seen.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{Client, Deployment, Resume, User, WAIT, await_condition};
use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::{sync::Notify, task::JoinHandle};

/// An attempt that is not answered by then is made again, under the same clientMsgId.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
struct Memory {
    /// Every event frame of the conversation, over all connections, in the order received.
    seen: Mutex<Vec<Value>>,
    /// clientMsgId -> seq of its ACK.
    acknowledged: Mutex<BTreeMap<String, u64>>,
    outbox: Mutex<Vec<String>>,
    wake: Notify,
    stop: AtomicBool,
}

#[derive(Debug)]
pub struct Participant {
    pub user: User,
    conversation: String,
    memory: Arc<Memory>,
    task: JoinHandle<Result<()>>,
}

impl Participant {
    /// Starts at gateway `index`, counted round; goes on to the next one when a connection fails.
    pub fn start(deployment: &Deployment, user: &User, conversation: &str, index: usize) -> Self {
        let memory = Arc::new(Memory::default());
        let life = Life {
            urls: deployment.gateway_ws_urls().to_vec(),
            token: user.token.clone(),
            conversation: conversation.to_owned(),
            memory: Arc::clone(&memory),
        };
        let task = tokio::spawn(life.run(index));
        Self { user: user.clone(), conversation: conversation.to_owned(), memory, task }
    }

    /// Puts messages `{name}-0..{name}-(count-1)` into its outbox.
    pub fn send(&self, name: &str, count: usize) {
        self.memory.outbox.lock().extend((0..count).map(|i| format!("{name}-{i}")));
        self.memory.wake.notify_one();
    }

    pub fn acknowledged(&self) -> BTreeMap<String, u64> {
        self.memory.acknowledged.lock().clone()
    }

    pub async fn wait_acknowledged(&self, count: usize, within: Duration) -> Result<()> {
        let memory = &self.memory;
        await_condition(&format!("{} ACKs of {}", count, self.user.username), within, || async {
            let have = memory.acknowledged.lock().len();
            if have >= count { Ok(()) } else { Err(format!("{have}")) }
        })
        .await
    }

    pub async fn wait_seen(&self, count: usize, within: Duration) -> Result<()> {
        let memory = &self.memory;
        await_condition(&format!("{} events at {}", count, self.user.username), within, || async {
            let seen = memory.seen.lock();
            if seen.len() >= count {
                Ok(())
            } else {
                Err(format!("{}, the last is {:?}", seen.len(), seen.last().map(|frame| frame["seq"].clone())))
            }
        })
        .await
    }

    pub fn seen(&self) -> Vec<Value> {
        self.memory.seen.lock().clone()
    }

    pub fn conversation(&self) -> &str {
        &self.conversation
    }

    pub async fn stop(self) -> Result<()> {
        self.memory.stop.store(true, Ordering::Relaxed);
        self.memory.wake.notify_one();
        self.task.await?
    }
}

struct Life {
    urls: Vec<String>,
    token: String,
    conversation: String,
    memory: Arc<Memory>,
}

impl Life {
    async fn run(self, mut index: usize) -> Result<()> {
        let mut refused_since = None;
        while !self.memory.stop.load(Ordering::Relaxed) {
            let url = &self.urls[index % self.urls.len()];
            match Client::connect(url, &self.token, self.resume()).await {
                Ok(client) => {
                    refused_since = None;
                    self.session(&client).await?;
                    if self.memory.stop.load(Ordering::Relaxed) {
                        client.close().await.ok();
                    }
                }
                Err(error) => {
                    let since = *refused_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > WAIT * 3 {
                        return Err(error.context("nobody let this client in for too long"));
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
            index += 1;
        }
        Ok(())
    }

    fn resume(&self) -> Resume {
        let last = self.memory.seen.lock().last().and_then(|frame| frame["seq"].as_u64());
        Resume::Seqs(BTreeMap::from([(self.conversation.clone(), last.unwrap_or(0))]))
    }

    /// One connection: reads on until it ends, sends what waits.
    async fn session(&self, client: &Client) -> Result<()> {
        let read = async {
            let mut next = 0;
            loop {
                let entry = client.history().wait_from(next, Duration::from_hours(1), |_| true).await?;
                next += 1;
                if client.history().end().is_some_and(|end| end.at == entry.at) {
                    return Ok::<_, anyhow::Error>(());
                }
                let frame = entry.frame;
                if frame["conversationId"] != self.conversation.as_str() {
                    continue;
                }
                if frame["type"] == "RESYNC" {
                    bail!("an unexpected RESYNC: {frame}");
                }
                if frame["seq"].is_u64() && frame["type"] != "ACK" && frame["type"] != "STATUS" {
                    self.memory.seen.lock().push(frame);
                }
            }
        };
        let write = async {
            loop {
                let Some(id) = self.memory.outbox.lock().first().cloned() else {
                    if self.memory.stop.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    self.memory.wake.notified().await;
                    continue;
                };
                if let Some(seq) = self.attempt(client, &id).await? {
                    self.memory.acknowledged.lock().insert(id, seq);
                    self.memory.outbox.lock().remove(0);
                } else if client.history().end().is_some() {
                    std::future::pending::<()>().await; // the reader notices
                }
            }
        };
        tokio::select! {
            ended = read => ended,
            written = write => written,
        }
    }

    /// The seq of the ACK, or nothing when the attempt must be repeated.
    async fn attempt(&self, client: &Client, id: &str) -> Result<Option<u64>> {
        let from = client.history().len();
        if client.send_message(&self.conversation, id, &format!("content of {id}")).await.is_err() {
            return Ok(None);
        }
        let answer = client
            .history()
            .wait_from(from, ANSWER_WITHIN, |entry| {
                entry.frame["clientMsgId"] == id && (entry.frame["type"] == "ACK" || entry.frame["type"] == "ERROR")
            })
            .await;
        let Ok(answer) = answer else { return Ok(None) };
        if answer.frame["type"] == "ACK" {
            return Ok(Some(answer.frame["seq"].as_u64().context("an ACK without seq")?));
        }
        let code = answer.frame["code"].as_str().unwrap_or_default();
        ensure!(matches!(code, "unavailable" | "rate_limited"), "a send was refused: {}", answer.frame);
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok(None)
    }
}

/// Promise 2 over everything each participant saw: seq 1..n, no gap, no repeat, the same event for all; and promise 1:
/// every acknowledged message is there under its seq.
pub fn check(participants: &[Participant], events: u64) -> Result<()> {
    let reference = participants[0].seen();
    for participant in participants {
        let seen = participant.seen();
        let seqs: Vec<u64> = seen.iter().filter_map(|frame| frame["seq"].as_u64()).collect();
        let expected: Vec<u64> = (1..=events).collect();
        if seqs != expected {
            let at = seqs
                .iter()
                .zip(&expected)
                .position(|(have, want)| have != want)
                .unwrap_or(seqs.len().min(expected.len()));
            let around = &seqs[at.saturating_sub(3)..(at + 4).min(seqs.len())];
            bail!(
                "{} saw {} of {events} events, wrong from index {at}: …{around:?}…",
                participant.user.username,
                seqs.len()
            );
        }
        for (frame, same) in seen.iter().zip(&reference) {
            ensure!(frame == same, "{} saw {frame} where another saw {same}", participant.user.username);
        }
        for (id, seq) in participant.acknowledged() {
            let frame = &reference[usize::try_from(seq)? - 1];
            ensure!(
                frame["clientMsgId"] == id.as_str() && frame["senderId"] == participant.user.id.as_str(),
                "{id} was acknowledged as {seq}, but that is {frame}"
            );
            ensure!(frame["content"] == format!("content of {id}"), "another content: {frame}");
        }
    }
    Ok(())
}

/// A group of `names`, each a user.
pub async fn group(deployment: &Deployment, names: &[&str]) -> Result<(Vec<User>, String)> {
    let mut users = Vec::new();
    for name in names {
        users.push(deployment.user(name).await?);
    }
    let others: Vec<&str> = users[1..].iter().map(|user| user.id.as_str()).collect();
    let (status, conversation) = users[0].api.create_conversation("group", &others).await?;
    ensure!(status == 201, "creating the group: {status} {conversation}");
    let id = conversation["id"].as_str().context("a conversation without id")?.to_owned();
    Ok((users, id))
}
