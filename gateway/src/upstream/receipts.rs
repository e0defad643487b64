//! Watermarks of all sessions over one stream to core. Only the highest of a user and conversation is worth sending, so
//! what waits is one pair of numbers each, however many receipts come in.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
    time::Duration,
};

use chatcluster_contracts::{
    frame::{Receipt, ServerFrame},
    ids::{ConversationId, UserId, WorkspaceId},
    problem::{Code, Problem},
    rpc::{AckOffsetRequest, AckOffsetResponse},
    seq::Seq,
};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;

use super::{Backoff, CoreApi};
use crate::session::Session;

/// Users and conversations with a watermark that waits.
const MAX_WAITING: usize = 100_000;
/// Receipts sent to core and not answered yet.
const MAX_UNANSWERED: usize = 256;
const STALLED: Duration = Duration::from_secs(10);

type Key = (UserId, ConversationId);

#[derive(Debug)]
struct Watermarks {
    workspace: WorkspaceId,
    delivered: Option<Seq>,
    read: Option<Seq>,
    /// Whom to tell of a refusal.
    session: Weak<Session>,
    /// Who waits until core has answered.
    asking: Vec<oneshot::Sender<()>>,
}

impl Watermarks {
    fn raise(&mut self, other: Self) {
        self.delivered = self.delivered.max(other.delivered);
        self.read = self.read.max(other.read);
        self.session = other.session;
        self.asking.extend(other.asking);
    }
}

#[derive(Debug, Default)]
struct Waiting {
    watermarks: Mutex<HashMap<Key, Watermarks>>,
    more: Notify,
}

/// The entrance for sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Receipts(Arc<Waiting>);

impl Receipts {
    pub(crate) fn new(core: CoreApi) -> (Self, Road) {
        let waiting: Arc<Waiting> = Arc::default();
        (Self(waiting.clone()), Road { core, waiting, unanswered: HashMap::new(), next: 1 })
    }

    /// `session`: who is told of a refusal, if anybody.
    pub(crate) fn submit(
        &self,
        session: Option<&Arc<Session>>,
        user: &UserId,
        workspace: &WorkspaceId,
        receipt: Receipt,
    ) -> Result<(), Problem> {
        let new = Watermarks {
            workspace: workspace.clone(),
            delivered: receipt.delivered_seq,
            read: receipt.read_seq,
            session: session.map(Arc::downgrade).unwrap_or_default(),
            asking: Vec::new(),
        };
        self.0.put((user.clone(), receipt.conversation_id), new)
    }

    /// As [`Self::submit`], for one who waits until core has answered; dropped unanswered when it is given up.
    pub(crate) fn submit_and_ask(
        &self,
        user: &UserId,
        workspace: &WorkspaceId,
        conversation: ConversationId,
        delivered: Seq,
    ) -> oneshot::Receiver<()> {
        let (ask, answered) = oneshot::channel();
        let new = Watermarks {
            workspace: workspace.clone(),
            delivered: Some(delivered),
            read: None,
            session: Weak::new(),
            asking: vec![ask],
        };
        // who is given up learns it from the receiver
        let _ = self.0.put((user.clone(), conversation), new);
        answered
    }
}

impl Waiting {
    fn put(&self, key: Key, new: Watermarks) -> Result<(), Problem> {
        let mut watermarks = self.watermarks.lock();
        if let Some(known) = watermarks.get_mut(&key) {
            known.raise(new);
        } else if watermarks.len() >= MAX_WAITING {
            return Err(Problem::new(Code::Unavailable, "receipts cannot be stored now; send it again"));
        } else {
            watermarks.insert(key, new);
        }
        drop(watermarks);
        self.more.notify_one();
        Ok(())
    }

    fn take(&self, most: usize) -> Vec<(Key, Watermarks)> {
        let mut watermarks = self.watermarks.lock();
        let keys: Vec<Key> = watermarks.keys().take(most).cloned().collect();
        keys.into_iter().filter_map(|key| watermarks.remove_entry(&key)).collect()
    }

    fn is_empty(&self) -> bool {
        self.watermarks.lock().is_empty()
    }
}

/// The stream and what waits on it.
#[derive(Debug)]
pub(crate) struct Road {
    core: CoreApi,
    waiting: Arc<Waiting>,
    unanswered: HashMap<u64, (Key, Watermarks)>,
    next: u64,
}

impl Road {
    /// Runs until dropped.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::short();
        loop {
            while self.waiting.is_empty() {
                self.waiting.more.notified().await;
            }
            let reason = self.serve(&mut backoff).await;
            tracing::warn!(%reason, unanswered = self.unanswered.len(), "the stream of receipts was lost");
            for (_, (key, watermarks)) in self.unanswered.drain() {
                // what no longer fits is a watermark the client will repeat with its next receipt
                let _ = self.waiting.put(key, watermarks);
            }
            backoff.pause().await;
        }
    }

    /// Opens a stream and keeps it busy; returns why it ended.
    async fn serve(&mut self, backoff: &mut Backoff) -> String {
        let (outgoing, requests) = mpsc::channel(MAX_UNANSWERED);
        self.send_waiting(&outgoing);
        let mut messages = self.core.messages();
        let opening = messages.stream_ack_offsets(ReceiverStream::new(requests));
        let mut answers = match tokio::time::timeout(STALLED, opening).await {
            Ok(Ok(answers)) => answers.into_inner(),
            Ok(Err(status)) => return status.to_string(),
            Err(_) => return "no answer".into(),
        };
        loop {
            let idle = self.unanswered.is_empty();
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => { backoff.reset(); self.answered(&answer); self.send_waiting(&outgoing); }
                    Ok(None) => return "core ended it".into(),
                    Err(status) => return status.to_string(),
                },
                () = self.waiting.more.notified() => self.send_waiting(&outgoing),
                () = tokio::time::sleep(STALLED), if !idle => return "it answers nothing".into(),
            }
        }
    }

    fn send_waiting(&mut self, outgoing: &mpsc::Sender<AckOffsetRequest>) {
        let free = MAX_UNANSWERED.saturating_sub(self.unanswered.len()).min(outgoing.capacity());
        for (key, watermarks) in self.waiting.take(free) {
            let correlation = self.next;
            self.next += 1;
            let request = AckOffsetRequest {
                correlation,
                user_id: key.0.to_string(),
                workspace_id: watermarks.workspace.to_string(),
                conversation_id: key.1.to_string(),
                delivered_seq: watermarks.delivered.map(Seq::get),
                read_seq: watermarks.read.map(Seq::get),
            };
            self.unanswered.insert(correlation, (key, watermarks));
            // the capacity was counted above; were it full all the same, the lost stream brings the rest back
            if outgoing.try_send(request).is_err() {
                return;
            }
        }
    }

    fn answered(&mut self, answer: &AckOffsetResponse) {
        let Some((_, watermarks)) = self.unanswered.remove(&answer.correlation) else { return };
        for ask in watermarks.asking {
            // who has gone does not wait any more
            let _ = ask.send(());
        }
        if let Some(problem) = &answer.problem
            && let Some(session) = watermarks.session.upgrade()
        {
            session.say(&ServerFrame::error(&Problem::from_rpc(problem.clone()), None));
        }
    }
}
