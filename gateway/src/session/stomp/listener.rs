//! A client's bytes to what they ask for, one frame after the other. Receipts, transactions and the end are the same
//! whoever does it: the platform, or the plain broker of conformance mode.

use std::sync::Arc;

use chatcluster_contracts::{close::CloseReason, problem::Problem};

use super::{Stomp, answers::CommitKey};
use crate::{
    gateway::Shared,
    protocol::stomp::{
        Frame, Version,
        connect::Connect,
        decoder::{Decoder, Incoming, Limits},
        request::{Request, Send, Settle, Subscribe, SubscriptionName},
        transactions::{TransactionError, TransactionLimits, Transactions},
    },
    session::{Session, speech::Heard},
};

/// What is read of a body, in bytes, before it is known who sends it: enough to say what is wrong with that.
const STRANGERS_BODY: usize = 4096;

/// Where a frame was heard.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) session: &'a Arc<Session>,
    pub(crate) stomp: &'a Stomp,
}

/// When a frame is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// Its receipt is due.
    Now,
    /// Its receipt comes with an answer.
    Later,
}

/// Who does what a client asks.
pub(crate) trait Behind {
    /// A SEND that was read and can be done.
    type Message;

    /// Longest body, in bytes.
    fn body_limit(shared: &Shared) -> usize;

    fn connect(&mut self, here: Here<'_>, frame: Connect) -> Heard;

    fn read(send: Send) -> Result<Self::Message, Problem>;

    /// `commit`: the transaction that it is part of.
    fn send(
        &mut self,
        here: Here<'_>,
        message: Self::Message,
        receipt: Option<&str>,
        commit: Option<CommitKey>,
    ) -> Result<Done, Problem>;

    fn settle(&mut self, here: Here<'_>, settle: Settle) -> Result<(), Problem>;

    fn subscribe(&mut self, here: Here<'_>, request: Subscribe, receipt: Option<&str>) -> Result<Done, Problem>;

    fn unsubscribe(&mut self, here: Here<'_>, name: SubscriptionName);

    /// All bytes that came together were heard. Returns the sessions that take too slowly what was sent to them.
    fn flush(&mut self) -> Vec<Arc<Session>> {
        Vec::new()
    }
}

/// A frame that a transaction may hold.
#[derive(Debug)]
enum Step<M> {
    Send(M),
    Settle(Settle),
}

#[derive(Debug)]
struct Waiting<M> {
    step: Step<M>,
    receipt: Option<String>,
}

/// One client's side of the conversation.
pub(crate) struct Listener<B: Behind> {
    decoder: Decoder,
    /// The version agreed on; `None` before CONNECT.
    version: Option<Version>,
    /// The client has said goodbye.
    leaving: bool,
    /// What came together with a frame that takes its time.
    rest: Vec<u8>,
    transactions: Transactions<Waiting<B::Message>>,
    behind: B,
}

impl<B: Behind> Listener<B> {
    pub(crate) fn new(behind: B) -> Self {
        let (decoder, transactions) = (Decoder::new(), Transactions::new());
        Self { decoder, version: None, leaving: false, rest: Vec::new(), transactions, behind }
    }

    /// Is there something to go on with that was read already?
    pub(crate) const fn has_more(&self) -> bool {
        !self.rest.is_empty()
    }

    /// True between frames.
    pub(crate) const fn is_idle(&self) -> bool {
        self.decoder.is_idle()
    }

    pub(crate) fn go_on(&mut self, shared: &Arc<Shared>, session: &Arc<Session>) -> Heard {
        let rest = std::mem::take(&mut self.rest);
        self.hear(shared, session, &rest)
    }

    pub(crate) fn flush(&mut self) -> Vec<Arc<Session>> {
        self.behind.flush()
    }

    /// Hears up to something that takes its time, or all.
    pub(crate) fn hear(&mut self, shared: &Arc<Shared>, session: &Arc<Session>, mut bytes: &[u8]) -> Heard {
        let Some(stomp) = session.stomp() else { return Heard::End(CloseReason::Internal) };
        let here = Here { shared, session, stomp };
        let (usual, most) = (Limits::default(), B::body_limit(shared));
        let mut limits = Limits { head_bytes: usual.head_bytes.min(most), ..usual };
        // after an ERROR or the client's own goodbye nothing is heard
        while !self.leaving && !session.is_over() {
            limits.body_bytes = if self.version.is_some() { most } else { most.min(STRANGERS_BODY) };
            let frame = match self.decoder.next(&mut bytes, &limits) {
                Ok(None) => return Heard::Nothing,
                Ok(Some(Incoming::HeartBeat)) => continue,
                Ok(Some(Incoming::Frame(frame))) => frame,
                Err(malformed) => return here.fail(&Problem::new(malformed.code(), malformed.to_string()), None),
            };
            let heard = self.frame(here, frame);
            if !matches!(heard, Heard::Nothing) {
                self.rest = bytes.to_vec();
                return heard;
            }
        }
        Heard::Nothing
    }

    fn frame(&mut self, here: Here<'_>, frame: Frame) -> Heard {
        let Some(version) = self.version else { return self.connect(here, &frame) };
        let receipt = frame.receipt().map(str::to_owned);
        let receipt = receipt.as_deref();
        let done = match Request::read(frame, version) {
            Ok(Request::Disconnect) => {
                self.leaving = true;
                return disconnect(here, receipt);
            }
            Ok(request) => self.request(here, request, receipt),
            Err(error) => Err(Problem::new(error.code(), error.to_string())),
        };
        match done {
            Ok(done) => here.done(done, receipt),
            Err(problem) => return here.fail(&problem, receipt),
        }
        Heard::Nothing
    }

    fn connect(&mut self, here: Here<'_>, frame: &Frame) -> Heard {
        match Connect::read(frame) {
            Ok(frame) => {
                self.version = Some(frame.version);
                self.decoder.set_version(frame.version);
                self.behind.connect(here, frame)
            }
            Err(refused) => {
                here.shared.metrics.refused_frames.inc();
                Heard::End(here.stomp.refuse_connect(here.session, refused))
            }
        }
    }

    fn request(&mut self, here: Here<'_>, request: Request, receipt: Option<&str>) -> Result<Done, Problem> {
        let limits = TransactionLimits::default();
        let (transaction, bytes) = (request.transaction().map(str::to_owned), request.bytes());
        let step = match request {
            Request::Send(send) => Step::Send(B::read(send)?),
            Request::Settle(settle) => Step::Settle(settle),
            Request::Subscribe(request) => return self.behind.subscribe(here, request, receipt),
            Request::Unsubscribe(name) => {
                self.behind.unsubscribe(here, name);
                return Ok(Done::Now);
            }
            Request::Begin(id) => return self.transactions.begin(&id, &limits).map(|()| Done::Now).map_err(refused),
            Request::Abort(id) => return self.transactions.abort(&id).map(|()| Done::Now).map_err(refused),
            Request::Commit(id) => {
                let steps = self.transactions.commit(&id).map_err(refused)?;
                return self.commit(here, steps, receipt);
            }
            Request::Disconnect => return Ok(Done::Now),
        };
        let Some(id) = transaction else { return self.perform(here, step, receipt, None) };
        let waiting = Waiting { step, receipt: receipt.map(str::to_owned) };
        // a receipt says that a frame was done, and this one is not before its COMMIT
        self.transactions.add(&id, waiting, bytes, &limits).map(|()| Done::Later).map_err(refused)
    }

    fn commit(
        &mut self,
        here: Here<'_>,
        steps: Vec<Waiting<B::Message>>,
        receipt: Option<&str>,
    ) -> Result<Done, Problem> {
        let key = here.stomp.state.lock().answers.begin(receipt);
        for Waiting { step, receipt } in steps {
            let done = self.perform(here, step, receipt.as_deref(), Some(key))?;
            here.done(done, receipt.as_deref());
        }
        let complete = here.stomp.state.lock().answers.begun(key);
        here.done(Done::Now, complete.as_deref());
        Ok(Done::Later)
    }

    fn perform(
        &mut self,
        here: Here<'_>,
        step: Step<B::Message>,
        receipt: Option<&str>,
        commit: Option<CommitKey>,
    ) -> Result<Done, Problem> {
        match step {
            Step::Send(message) => self.behind.send(here, message, receipt, commit),
            Step::Settle(settle) => self.behind.settle(here, settle).map(|()| Done::Now),
        }
    }
}

fn disconnect(here: Here<'_>, receipt: Option<&str>) -> Heard {
    if !here.stomp.state.lock().answers.leave(receipt) {
        // its last sends are answered first, and nothing else is heard
        here.session.stop_reading();
        return Heard::Nothing;
    }
    here.done(Done::Now, receipt);
    Heard::End(CloseReason::Normal)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: TransactionError) -> Problem {
    Problem::new(error.code(), error.to_string())
}

impl Here<'_> {
    fn done(self, done: Done, receipt: Option<&str>) {
        if let (Done::Now, Some(id)) = (done, receipt) {
            self.stomp.receipt(self.session, id);
        }
    }

    /// Says why, and ends the session.
    pub(crate) fn fail(self, problem: &Problem, receipt: Option<&str>) -> Heard {
        self.shared.metrics.refused_frames.inc();
        Heard::End(self.stomp.fail(self.session, problem, receipt))
    }
}
