//! All sends of all sessions over a few streams to core, each conversation's over one. A send is kept until core has
//! answered it: when the stream is lost it goes out again on the next one, in the old order, which is safe because sends
//! are idempotent. Streams are few and long, so each is given up after a while for one to whichever core is called next:
//! a core that was started later gets its share.

use std::{
    collections::{BTreeMap, VecDeque},
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chatcluster_contracts::{
    frame::ServerFrame,
    problem::{Code, Problem},
    rpc::{
        CreateMessageRequest, StreamCreateMessagesRequest, StreamCreateMessagesResponse,
        stream_create_messages_response::Result as Answer,
    },
    seq::Seq,
    trace::TraceParent,
};
use chatcluster_service::trace::hop;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::{Backoff, CoreApi};
use crate::{metrics::GatewayMetrics, session::Session};

/// Sends without an answer, over all sessions.
const MAX_PENDING: usize = 8192;
const MAX_PENDING_BYTES: usize = 64 << 20;
/// Sends handed to gRPC and not yet taken by the connection.
const STREAM_BUFFER: usize = 256;
/// A stream that answers nothing for this long while something waits is given up for a new one.
const STALLED: Duration = Duration::from_secs(4);
/// Streams of a gateway: so many cores at once take its sends.
const ROADS: usize = 4;
/// An older stream ends as soon as nothing waits on it, and at twice this age in any case.
const STREAM_AGE: Duration = Duration::from_mins(1);

/// A send on its way.
#[derive(Debug)]
pub(crate) struct NewSend {
    pub(crate) request: CreateMessageRequest,
    pub(crate) session: Weak<Session>,
    pub(crate) trace: TraceParent,
    pub(crate) received: Instant,
}

impl NewSend {
    fn to_rpc(&self, correlation: u64) -> StreamCreateMessagesRequest {
        StreamCreateMessagesRequest { correlation, message: Some(self.request.clone()) }
    }
}

#[derive(Debug)]
struct Load {
    count: AtomicUsize,
    bytes: AtomicUsize,
}

/// The entrance for sessions. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sends {
    /// By the hash of the conversation.
    queues: Arc<[mpsc::Sender<NewSend>]>,
    hasher: RandomState,
    load: Arc<Load>,
}

impl Sends {
    /// The entrance, and the roads behind it, to be run.
    pub(crate) fn new(core: &CoreApi, metrics: &Arc<GatewayMetrics>, timeout: Duration) -> (Self, Vec<Road>) {
        let load = Arc::new(Load { count: AtomicUsize::new(0), bytes: AtomicUsize::new(0) });
        let road = |incoming| Road {
            core: core.clone(),
            metrics: metrics.clone(),
            timeout,
            incoming,
            load: load.clone(),
            pending: BTreeMap::new(),
            next: 1,
            last_answer: Instant::now(),
            #[cfg(feature = "plants")]
            stays_down: false,
        };
        let (queues, roads): (Vec<_>, Vec<_>) = (0..ROADS)
            .map(|_| {
                let (queue, incoming) = mpsc::channel(MAX_PENDING);
                (queue, road(incoming))
            })
            .unzip();
        (Self { queues: queues.into(), hasher: RandomState::new(), load }, roads)
    }

    /// Takes a send, or refuses it because too many wait already. The answer goes to the session.
    pub(crate) fn submit(&self, send: NewSend) -> Result<(), Problem> {
        let bytes = send.request.content.len();
        let full = || Problem::new(Code::Unavailable, "too many sends wait for their answer; try again");
        if self.load.count.load(Ordering::Relaxed) >= MAX_PENDING
            || self.load.bytes.load(Ordering::Relaxed) + bytes > MAX_PENDING_BYTES
        {
            return Err(full());
        }
        self.load.count.fetch_add(1, Ordering::Relaxed);
        self.load.bytes.fetch_add(bytes, Ordering::Relaxed);
        if let Some(session) = send.session.upgrade() {
            session.unanswered.fetch_add(1, Ordering::Relaxed);
        }
        let hash = self.hasher.hash_one(&send.request.conversation_id);
        #[expect(clippy::cast_possible_truncation, reason = "a remainder by a usize")]
        let queue = &self.queues[(hash % self.queues.len() as u64) as usize];
        queue.try_send(send).map_err(|error| {
            let (mpsc::error::TrySendError::Full(send) | mpsc::error::TrySendError::Closed(send)) = error;
            self.load.release(&send);
            full()
        })
    }
}

impl Load {
    fn release(&self, send: &NewSend) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(send.request.content.len(), Ordering::Relaxed);
        if let Some(session) = send.session.upgrade() {
            session.unanswered.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One stream to core at a time, and what waits on it.
#[derive(Debug)]
pub(crate) struct Road {
    core: CoreApi,
    metrics: Arc<GatewayMetrics>,
    timeout: Duration,
    incoming: mpsc::Receiver<NewSend>,
    load: Arc<Load>,
    /// By correlation, which is also the order of arrival.
    pending: BTreeMap<u64, NewSend>,
    next: u64,
    last_answer: Instant,
    #[cfg(feature = "plants")]
    stays_down: bool,
}

struct Stream {
    outgoing: mpsc::Sender<StreamCreateMessagesRequest>,
    answers: Streaming<StreamCreateMessagesResponse>,
    /// Correlations of what is still to be handed to the connection.
    backlog: VecDeque<u64>,
    opened: Instant,
}

impl Road {
    /// Runs until every entrance is dropped.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::short();
        loop {
            match self.connect(&mut backoff).await {
                Some(stream) => {
                    if self.serve(stream, &mut backoff).await.is_none() {
                        return;
                    }
                }
                None => return,
            }
        }
    }

    /// Opens the stream as soon as there is something to send, expiring what waits too long meanwhile.
    async fn connect(&mut self, backoff: &mut Backoff) -> Option<Stream> {
        while self.pending.is_empty() {
            let send = self.incoming.recv().await?;
            self.keep(send);
        }
        loop {
            let (outgoing, requests) = mpsc::channel(STREAM_BUFFER);
            // what waits goes along with the call itself
            let mut backlog: VecDeque<u64> = self.pending.keys().copied().collect();
            while let Some(correlation) = backlog.front()
                && let Ok(permit) = outgoing.try_reserve()
            {
                if let Some(send) = self.pending.get(correlation) {
                    permit.send(send.to_rpc(*correlation));
                }
                backlog.pop_front();
            }
            let mut messages = self.core.messages();
            let opening = messages.stream_create_messages(ReceiverStream::new(requests));
            match tokio::time::timeout(STALLED, opening).await {
                Ok(Ok(answers)) => {
                    self.last_answer = Instant::now();
                    return Some(Stream { outgoing, answers: answers.into_inner(), backlog, opened: Instant::now() });
                }
                Ok(Err(status)) => {
                    tracing::warn!(code = %status.code(), reason = status.message(), "no stream to core");
                }
                Err(_) => tracing::warn!("no stream to core: no answer"),
            }
            let pause = tokio::time::sleep(backoff.next());
            tokio::pin!(pause);
            loop {
                tokio::select! {
                    () = &mut pause => break,
                    send = self.incoming.recv() => { let send = send?; self.keep(send); }
                }
            }
            self.expire();
        }
    }

    /// Sends and hears answers until the stream is lost.
    async fn serve(&mut self, mut stream: Stream, backoff: &mut Backoff) -> Option<()> {
        let mut clock = tokio::time::interval(Duration::from_millis(250));
        loop {
            let has_backlog = !stream.backlog.is_empty();
            tokio::select! {
                biased;
                answer = stream.answers.message() => match answer {
                    Ok(Some(answer)) => {
                        backoff.reset();
                        self.answered(answer);
                        if self.has_aged(&stream) {
                            return Some(());
                        }
                    }
                    Ok(None) => { tracing::warn!("core ended the stream of sends"); break; }
                    Err(status) => {
                        tracing::warn!(code = %status.code(), reason = status.message(), "the stream of sends was lost");
                        break;
                    }
                },
                permit = stream.outgoing.reserve(), if has_backlog => {
                    let Ok(permit) = permit else { break };
                    if let Some(correlation) = stream.backlog.pop_front()
                        && let Some(send) = self.pending.get(&correlation)
                    {
                        permit.send(send.to_rpc(correlation));
                    }
                },
                send = self.incoming.recv() => {
                    let correlation = self.keep(send?);
                    stream.backlog.push_back(correlation);
                },
                _ = clock.tick() => {
                    self.expire();
                    if !self.pending.is_empty() && self.last_answer.elapsed() > STALLED {
                        tracing::warn!(pending = self.pending.len(), "the stream of sends answers nothing");
                        break;
                    }
                },
            }
        }
        #[cfg(feature = "plants")]
        {
            self.stays_down = chatcluster_service::plants::planted("sends-stay-down");
        }
        // a lost stream is opened again after a pause, so that a core that ends each one is not hammered
        backoff.pause().await;
        Some(())
    }

    fn has_aged(&self, stream: &Stream) -> bool {
        let age = stream.opened.elapsed();
        age > STREAM_AGE && (self.pending.is_empty() || age > 2 * STREAM_AGE)
    }

    fn keep(&mut self, send: NewSend) -> u64 {
        let correlation = self.next;
        self.next += 1;
        if self.pending.is_empty() {
            self.last_answer = Instant::now();
        }
        self.pending.insert(correlation, send);
        correlation
    }

    fn expire(&mut self) {
        while let Some(first) = self.pending.first_entry() {
            if first.get().received.elapsed() < self.timeout {
                return;
            }
            let send = first.remove();
            let problem = Problem::new(Code::Unavailable, "messages cannot be stored now; send it again");
            self.refuse(&send, &problem);
        }
    }

    fn refuse(&self, send: &NewSend, problem: &Problem) {
        self.metrics.send(problem.code.as_str());
        if let Some(session) = send.session.upgrade() {
            session.say(&ServerFrame::error(problem, Some(&send.request.client_msg_id)));
        }
        self.load.release(send);
    }

    fn answered(&mut self, answer: StreamCreateMessagesResponse) {
        self.last_answer = Instant::now();
        // an answer to an attempt of an earlier stream may come twice
        let Some(send) = self.pending.remove(&answer.correlation) else { return };
        #[cfg(feature = "plants")]
        if self.stays_down {
            return self.refuse(&send, &Problem::new(Code::Unavailable, "a planted outage"));
        }
        let created = match answer.result {
            Some(Answer::Created(created)) => created,
            Some(Answer::Problem(problem)) => return self.refuse(&send, &Problem::from_rpc(problem)),
            None => return self.refuse(&send, &Problem::new(Code::Internal, "core answered nothing")),
        };
        let took = send.received.elapsed();
        let _span = hop("gateway.ack", &send.trace).entered();
        if send.trace.sampled {
            tracing::info!(
                trace_id = %send.trace.trace_id_hex(), hop = "gateway.ack",
                conversation_id = %send.request.conversation_id, seq = created.seq,
                took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX), "message"
            );
        }
        self.metrics.send("acked");
        self.metrics.send_to_ack.observe(took.as_secs_f64());
        if let Some(session) = send.session.upgrade() {
            session.say(&ServerFrame::Ack {
                client_msg_id: &send.request.client_msg_id,
                message_id: &created.message_id,
                conversation_id: &send.request.conversation_id,
                seq: Seq::new(created.seq),
            });
        }
        // last: a drain waits for this before it closes the session
        self.load.release(&send);
    }
}
