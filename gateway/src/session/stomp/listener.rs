//! A client's bytes to what they ask for, one frame after the other. Receipts, transactions and the end are the same
//! whoever does it: the platform, or the plain broker of conformance mode.

use std::sync::Arc;

use chatcluster_contracts::{close::CloseReason, problem::Problem};

use super::{
    Here,
    answers::CommitKey,
    behind::{Behind, Done},
};
use crate::{
    protocol::stomp::{
        Frame, Version,
        connect::Connect,
        decoder::{Decoder, Incoming, Limits},
        request::{Request, Settle},
        transactions::{TransactionError, TransactionLimits, Transactions},
    },
    session::{Session, speech::Heard},
    shared::Shared,
};

/// What is read of a body, in bytes, before it is known who sends it: enough to say what is wrong with that.
const STRANGERS_BODY: usize = 4096;

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
        let heard = match Request::read(frame, version) {
            Ok(Request::Disconnect) => {
                self.leaving = true;
                return match receipt.and_then(|_| self.behind.leave(here)) {
                    Some(work) => here.after(work, receipt, disconnect),
                    None => disconnect(here, receipt),
                };
            }
            Ok(request) => self.request(here, request, receipt),
            Err(error) => Err(Problem::new(error.code(), error.to_string())),
        };
        heard.unwrap_or_else(|problem| here.fail(&problem, receipt))
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

    fn request(&mut self, here: Here<'_>, request: Request, receipt: Option<&str>) -> Result<Heard, Problem> {
        let limits = TransactionLimits::default();
        let (transaction, bytes) = (request.transaction().map(str::to_owned), request.bytes());
        let mut done = Done::Now;
        let step = match request {
            Request::Send(send) => Some(Step::Send(B::read(send)?)),
            Request::Settle(settle) => Some(Step::Settle(settle)),
            Request::Commit(id) => {
                let steps = self.transactions.commit(&id).map_err(refused)?;
                return self.commit(here, steps, receipt);
            }
            Request::Subscribe(request) => {
                done = self.behind.subscribe(here, request, receipt)?;
                None
            }
            Request::Unsubscribe(name) => {
                self.behind.unsubscribe(here, name);
                None
            }
            Request::Begin(id) => {
                self.transactions.begin(&id, &limits).map_err(refused)?;
                None
            }
            Request::Abort(id) => {
                self.transactions.abort(&id).map_err(refused)?;
                None
            }
            Request::Disconnect => None,
        };
        match (step, transaction) {
            (Some(step), Some(id)) => {
                let waiting = Waiting { step, receipt: receipt.map(str::to_owned) };
                // a receipt says that a frame was done, and this one is not before its COMMIT
                self.transactions.add(&id, waiting, bytes, &limits).map_err(refused)?;
                done = Done::Later;
            }
            (Some(step), None) => done = self.perform(here, step, receipt, None)?,
            (None, _) => {}
        }
        Ok(here.done(done, receipt))
    }

    fn commit(
        &mut self,
        here: Here<'_>,
        steps: Vec<Waiting<B::Message>>,
        receipt: Option<&str>,
    ) -> Result<Heard, Problem> {
        let key = here.stomp.state.lock().answers.begin(receipt);
        let mut works = Vec::new();
        for Waiting { step, receipt: own } in steps {
            // the receipt of the COMMIT says so of acknowledgements that have none
            let asked = if matches!(step, Step::Settle(_)) { own.as_deref().or(receipt) } else { own.as_deref() };
            match self.perform(here, step, asked, Some(key))? {
                Done::When(work) => works.push((work, own)),
                Done::Now => here.receipt(own.as_deref()),
                Done::Later => {}
            }
        }
        let finish = move |here: Here<'_>| {
            let complete = here.stomp.state.lock().answers.begun(key);
            here.receipt(complete.as_deref());
        };
        if works.is_empty() {
            finish(here);
            return Ok(Heard::Nothing);
        }
        let there = here.there();
        Ok(Heard::Working(Box::pin(async move {
            for (work, receipt) in works {
                work.await?;
                there.with(|here| here.receipt(receipt.as_deref()));
            }
            there.with(finish);
            Ok(())
        })))
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
            Step::Settle(settle) => self.behind.settle(here, settle, receipt),
        }
    }
}

fn disconnect(here: Here<'_>, receipt: Option<&str>) -> Heard {
    if !here.stomp.state.lock().answers.leave(receipt) {
        // its last sends are answered first, and nothing else is heard
        here.session.stop_reading();
        return Heard::Nothing;
    }
    here.receipt(receipt);
    Heard::End(CloseReason::Normal)
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: TransactionError) -> Problem {
    Problem::new(error.code(), error.to_string())
}
