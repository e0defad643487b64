//! `StreamAckOffsets`: receipts come in floods, a hundred members for every message. While one move of a member's marks
//! is under way, later receipts of that member are merged into the next move.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use chatcluster_contracts::{
    ids::{ConversationId, UserId, WorkspaceId},
    problem::{Code, Problem},
    rpc::{AckOffsetRequest, AckOffsetResponse},
    seq::Seq,
};
use futures_util::{StreamExt, stream::FuturesUnordered};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use super::status::id;
use crate::{domain::receipt::Watermarks, store::Store};

/// Transactions of one stream at the same time.
const AT_ONCE: usize = 8;
/// Members whose next move waits; then the stream is not read further.
const WAITING: usize = 4_096;
const TIMEOUT: Duration = Duration::from_secs(10);

type Response = Result<AckOffsetResponse, Status>;
type Key = (ConversationId, UserId, WorkspaceId);

/// Receipts of one member that become one move.
#[derive(Debug, Default)]
struct Move {
    delivered: Option<Seq>,
    read: Option<Seq>,
    correlations: Vec<u64>,
}

impl Move {
    fn merge(&mut self, request: &AckOffsetRequest) {
        self.delivered = self.delivered.max(request.delivered_seq.map(Seq::new));
        self.read = self.read.max(request.read_seq.map(Seq::new));
        self.correlations.push(request.correlation);
    }
}

/// Moves that wait, by member, in the order of their first receipt. A member whose move runs waits as well.
#[derive(Debug, Default)]
struct Queue {
    moves: HashMap<Key, Move>,
    order: VecDeque<Key>,
    running: std::collections::HashSet<Key>,
}

impl Queue {
    fn add(&mut self, key: Key, request: &AckOffsetRequest) {
        if !self.moves.contains_key(&key) && !self.running.contains(&key) {
            self.order.push_back(key.clone());
        }
        self.moves.entry(key).or_default().merge(request);
    }

    fn next(&mut self) -> Option<(Key, Move)> {
        let key = self.order.pop_front()?;
        let next = self.moves.remove(&key)?;
        self.running.insert(key.clone());
        Some((key, next))
    }

    fn finished(&mut self, key: Key) {
        self.running.remove(&key);
        if self.moves.contains_key(&key) {
            self.order.push_back(key);
        }
    }
}

pub(super) fn ack_offsets(
    store: Store,
    requests: Streaming<AckOffsetRequest>,
    stop: CancellationToken,
) -> ReceiverStream<Response> {
    let (answers, answered) = mpsc::channel(WAITING);
    tokio::spawn(run(store, requests, answers, stop));
    ReceiverStream::new(answered)
}

async fn run(
    store: Store,
    mut requests: Streaming<AckOffsetRequest>,
    answers: mpsc::Sender<Response>,
    stop: CancellationToken,
) {
    let (mut queue, mut running, mut open) = (Queue::default(), FuturesUnordered::new(), true);
    loop {
        while running.len() < AT_ONCE
            && let Some((key, next)) = queue.next()
        {
            let store = store.clone();
            running.push(async move {
                let outcome = make(&store, &key, &next).await;
                (key, next.correlations, outcome)
            });
        }
        if !open && running.is_empty() {
            return;
        }
        let (correlations, outcome) = tokio::select! {
            Some((key, correlations, outcome)) = running.next(), if !running.is_empty() => {
                queue.finished(key);
                (correlations, outcome)
            }
            () = stop.cancelled(), if open => {
                open = false;
                continue;
            }
            request = requests.message(), if open && queue.moves.len() < WAITING => {
                let Ok(Some(request)) = request else {
                    open = false;
                    continue;
                };
                match key(&request) {
                    Ok(key) => {
                        queue.add(key, &request);
                        continue;
                    }
                    Err(problem) => (vec![request.correlation], Err(problem)),
                }
            }
        };
        for correlation in correlations {
            if answers.send(Ok(answer(correlation, &outcome))).await.is_err() {
                return;
            }
        }
    }
}

async fn make(store: &Store, (conversation, user, workspace): &Key, next: &Move) -> Result<Watermarks, Problem> {
    let moved = store.move_watermarks(conversation, workspace, user, next.delivered, next.read);
    match tokio::time::timeout(TIMEOUT, moved).await {
        Ok(marks) => marks.map_err(Problem::from),
        Err(_) => Err(Problem::new(Code::Unavailable, "this took too long; try again")),
    }
}

fn key(request: &AckOffsetRequest) -> Result<Key, Problem> {
    let conversation = ConversationId::parse(&request.conversation_id)
        .map_err(|_| Problem::new(Code::UnknownConversation, "there is no such conversation"))?;
    Ok((conversation, id("userId", &request.user_id)?, id("workspaceId", &request.workspace_id)?))
}

fn answer(correlation: u64, outcome: &Result<Watermarks, Problem>) -> AckOffsetResponse {
    match outcome {
        Ok(marks) => AckOffsetResponse {
            correlation,
            delivered_seq: marks.delivered.get(),
            read_seq: marks.read.get(),
            problem: None,
        },
        Err(problem) => {
            AckOffsetResponse { correlation, problem: Some(problem.to_rpc()), ..AckOffsetResponse::default() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(correlation: u64, user: &str, delivered: u64) -> AckOffsetRequest {
        AckOffsetRequest {
            correlation,
            user_id: user.into(),
            workspace_id: "default".into(),
            conversation_id: "c".into(),
            delivered_seq: Some(delivered),
            read_seq: None,
        }
    }

    #[test]
    fn receipts_of_a_member_are_merged_while_its_move_runs() {
        let mut queue = Queue::default();
        let add = |queue: &mut Queue, correlation, user, delivered| {
            let request = request(correlation, user, delivered);
            queue.add(key(&request).unwrap(), &request);
        };
        add(&mut queue, 1, "ann", 5);
        let (ann, first) = queue.next().unwrap();
        assert_eq!(first.correlations, [1]);
        add(&mut queue, 2, "ann", 7);
        add(&mut queue, 3, "bob", 1);
        add(&mut queue, 4, "ann", 6);
        assert_eq!(queue.next().unwrap().1.correlations, [3], "ann's next move waits for the one that runs");
        assert!(queue.next().is_none());
        queue.finished(ann);
        let (_, merged) = queue.next().unwrap();
        assert_eq!((merged.delivered, merged.correlations), (Some(Seq::new(7)), vec![2, 4]));
    }
}
