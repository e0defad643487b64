//! What the server says besides messages: receipts, refusals, and why a session ends.

use bytes::Bytes;
use chatcluster_contracts::{
    close::CloseReason,
    frame::ServerFrame,
    problem::{Code, Problem},
};

use super::{Notice, State, Stomp, answers::Leaving};
use crate::{
    protocol::stomp::{
        connect::ConnectRefused,
        destination::SubscribeTo,
        encoder::{self, ErrorFrame},
    },
    session::Session,
};

impl Stomp {
    /// Says something of the platform's own.
    pub(in crate::session) fn say(&self, session: &Session, frame: &ServerFrame<'_>) {
        let mut state = self.state.lock();
        match frame {
            ServerFrame::Ack { client_msg_id, message_id, conversation_id, seq } => {
                let seq = seq.to_string();
                let what = [("message-id", *message_id), ("conversation-id", *conversation_id), ("seq", &seq)];
                state.stored(session, client_msg_id, &what);
            }
            ServerFrame::Error { code, message, client_msg_id, room_id: _ } => {
                let problem = Problem::new(Code::parse(code).unwrap_or(Code::Internal), *message);
                state.refused(session, &problem, *client_msg_id, &frame.to_json());
            }
            ServerFrame::Resync { conversation_id, head, .. } => {
                let json = frame.to_json();
                let mut told = false;
                let id = (*conversation_id).clone();
                for to in [SubscribeTo::Messages, SubscribeTo::Conversation(id.clone()), SubscribeTo::Room(id)] {
                    let headers = [("type", "RESYNC"), ("conversation-id", conversation_id.as_str())];
                    state.tell(session, &mut Notice::new(to, &headers, &json), |frame| {
                        told = true;
                        session.send(frame);
                    });
                }
                // who unsubscribes just now is told when it is back
                if let (true, Some(positions)) = (told, session.positions()) {
                    positions.set(conversation_id, *head);
                }
            }
            ServerFrame::Typing { .. }
            | ServerFrame::Status { .. }
            | ServerFrame::Notification { .. }
            | ServerFrame::Presence { .. } => {
                state.tell(session, &mut Notice::of(&frame.to_json()), |frame| session.send(frame));
            }
            ServerFrame::Gap { room_id, .. } => {
                let mut notice = Notice::of_room(room_id, "GAP", &frame.to_json());
                state.tell(session, &mut notice, |frame| session.send(frame));
            }
            // said by CONNECTED and by every message, by a receipt, or by what led to it; a heart-beat needs no answer
            ServerFrame::Connected { .. }
            | ServerFrame::Position { .. }
            | ServerFrame::Joined { .. }
            | ServerFrame::Left { .. }
            | ServerFrame::Pong => {}
        }
    }

    /// A frame was done.
    pub(super) fn receipt(&self, session: &Session, id: &str) {
        self.state.lock().receipt(session, id, &[]);
    }

    /// Says why the session ends. Whoever asks closes it for the reason returned.
    pub(super) fn fail(&self, session: &Session, problem: &Problem, receipt: Option<&str>) -> CloseReason {
        self.state.lock().fail(session, problem, receipt)
    }

    /// Says why there is no session.
    pub(super) fn refuse_connect(&self, session: &Session, refused: ConnectRefused) -> CloseReason {
        let mut state = self.state.lock();
        state.over = true;
        state.said_error = true;
        session.send(session.form().carrier.text(&refused.to_error_frame()));
        close_reason(refused.code())
    }

    /// What a client is told that is closed for `reason` and does not know yet why.
    pub(in crate::session) fn last_words(&self, session: &Session, reason: CloseReason) -> Option<Bytes> {
        let mut state = self.state.lock();
        state.over = true;
        // who comes back at once and goes on has nothing to complain about
        if state.said_error || matches!(reason, CloseReason::Normal | CloseReason::ServiceRestart) {
            return None;
        }
        state.said_error = true;
        let text = reason.as_str();
        let frame = ErrorFrame { message: text, receipt_id: None, headers: &[("code", text)], body: text };
        Some(session.form().carrier.text(&encoder::error(state.version, &frame)))
    }
}

impl State {
    pub(super) fn receipt(&self, session: &Session, id: &str, headers: &[(&str, &str)]) {
        if !self.said_error {
            session.send(session.form().carrier.text(&encoder::receipt(self.version, id, headers)));
        }
    }

    pub(super) fn fail(&mut self, session: &Session, problem: &Problem, receipt: Option<&str>) -> CloseReason {
        if !std::mem::replace(&mut self.said_error, true) {
            let frame = ErrorFrame {
                message: &problem.detail,
                receipt_id: receipt,
                headers: &[("code", problem.code.as_str())],
                body: &problem.detail,
            };
            session.send(session.form().carrier.text(&encoder::error(self.version, &frame)));
        }
        self.over = true;
        close_reason(problem.code)
    }

    /// A send is stored for good.
    fn stored(&mut self, session: &Session, client_msg_id: &str, what: &[(&str, &str)]) {
        let answered = self.answers.stored(client_msg_id);
        if let Some(receipt) = answered.receipt {
            self.receipt(session, &receipt, what);
        }
        if let Some(commit) = answered.commit {
            self.receipt(session, &commit, &[]);
        }
        self.leave(session, answered.leave);
    }

    /// Something of the client's is refused. It is told so on its queue of errors, if it listens there and can go on.
    fn refused(&mut self, session: &Session, problem: &Problem, client_msg_id: Option<&str>, json: &[u8]) {
        let send = client_msg_id.map(|id| self.answers.refused(id)).unwrap_or_default();
        let listens = self.subscriptions.iter().any(|it| it.destination == SubscribeTo::Errors);
        let forbidden = client_msg_id.is_some() && matches!(problem.code, Code::NotAMember | Code::UnknownConversation);
        if send.in_transaction || forbidden || !listens {
            let reason = self.fail(session, problem, send.receipt.as_deref());
            return session.close(reason);
        }
        let mut headers = vec![("type", "ERROR"), ("code", problem.code.as_str())];
        headers.extend(send.receipt.as_deref().map(|id| ("receipt-id", id)));
        self.tell(session, &mut Notice::new(SubscribeTo::Errors, &headers, json), |frame| session.send(frame));
        self.leave(session, send.leave);
    }

    /// The last answer has come that a leaving client waited for.
    fn leave(&mut self, session: &Session, leaving: Option<Leaving>) {
        let Some(Leaving { receipt }) = leaving else { return };
        if let Some(id) = receipt {
            self.receipt(session, &id, &[]);
        }
        self.over = true;
        session.close(CloseReason::Normal);
    }
}

/// What a connection is closed for after an ERROR.
const fn close_reason(code: Code) -> CloseReason {
    match code {
        Code::Unauthenticated | Code::BadCredentials => CloseReason::Unauthenticated,
        Code::TokenExpired => CloseReason::TokenExpired,
        Code::TokenRevoked => CloseReason::TokenRevoked,
        Code::TooManyConnections => CloseReason::TooManyConnections,
        Code::SlowConsumer => CloseReason::SlowConsumer,
        Code::PayloadTooLarge => CloseReason::TooBig,
        Code::Unavailable => CloseReason::TryAgainLater,
        Code::Internal => CloseReason::Internal,
        _ => CloseReason::ProtocolError,
    }
}
