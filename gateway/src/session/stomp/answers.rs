//! Sends that core has not answered yet, and what the client waits for until it has. Pure.
//!
//! A RECEIPT says that a message is stored for good, so it comes with core's answer and not before. The receipt of a
//! COMMIT comes with the last answer to its sends, that of a DISCONNECT when nothing is open any more.

use std::collections::VecDeque;

/// One transaction's place among those that wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CommitKey(u32);

#[derive(Debug)]
struct Open {
    client_msg_id: Box<str>,
    receipt: Option<Box<str>>,
    commit: Option<CommitKey>,
}

#[derive(Debug)]
struct Commit {
    key: CommitKey,
    /// Sends without an answer.
    open: usize,
    receipt: Option<Box<str>>,
}

/// A client that has said goodbye.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) receipt: Option<Box<str>>,
}

#[derive(Debug, Default)]
struct Waiting {
    sends: VecDeque<Open>,
    commits: Vec<Commit>,
    next_commit: u32,
    leaving: Option<Leaving>,
}

/// 8 bytes where no send was ever open.
#[derive(Debug, Default)]
pub(super) struct Answers(Option<Box<Waiting>>);

/// What a send's answer leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answered {
    /// The send's own receipt.
    pub(super) receipt: Option<Box<str>>,
    /// The receipt of the transaction that is complete with it.
    pub(super) commit: Option<Box<str>>,
    /// Nothing is open any more and the client wants to leave.
    pub(super) leave: Option<Leaving>,
}

/// What a send's refusal leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) receipt: Option<Box<str>>,
    /// It was part of a transaction, which cannot be complete any more.
    pub(super) in_transaction: bool,
    pub(super) leave: Option<Leaving>,
}

impl Answers {
    /// A transaction of sends begins to be done.
    pub(super) fn begin(&mut self, receipt: Option<&str>) -> CommitKey {
        let waiting = self.0.get_or_insert_default();
        let key = CommitKey(waiting.next_commit);
        waiting.next_commit = waiting.next_commit.wrapping_add(1);
        // open by one for the transaction itself, so that it is not complete before all of it was done
        waiting.commits.push(Commit { key, open: 1, receipt: receipt.map(Into::into) });
        key
    }

    /// All of the transaction was done; answers may be open. Returns the receipt if none is.
    pub(super) fn begun(&mut self, key: CommitKey) -> Option<Box<str>> {
        self.0.as_mut().and_then(|waiting| waiting.less_open(key))
    }

    /// A send goes out.
    pub(super) fn open(&mut self, client_msg_id: &str, receipt: Option<&str>, commit: Option<CommitKey>) {
        let waiting = self.0.get_or_insert_default();
        if let Some(commit) = waiting.commits.iter_mut().find(|other| Some(other.key) == commit) {
            commit.open += 1;
        }
        waiting.sends.push_back(Open { client_msg_id: client_msg_id.into(), receipt: receipt.map(Into::into), commit });
    }

    /// The send of this id is stored.
    pub(super) fn stored(&mut self, client_msg_id: &str) -> Answered {
        let Some(waiting) = &mut self.0 else { return Answered::default() };
        let Some(send) = waiting.take(client_msg_id) else { return Answered::default() };
        let commit = send.commit.and_then(|key| waiting.less_open(key));
        Answered { receipt: send.receipt, commit, leave: waiting.take_leave() }
    }

    /// The send of this id is refused.
    pub(super) fn refused(&mut self, client_msg_id: &str) -> Refused {
        let Some(waiting) = &mut self.0 else { return Refused::default() };
        let Some(send) = waiting.take(client_msg_id) else { return Refused::default() };
        Refused { receipt: send.receipt, in_transaction: send.commit.is_some(), leave: waiting.take_leave() }
    }

    /// The client wants to leave. False: it has to wait for answers.
    pub(super) fn leave(&mut self, receipt: Option<&str>) -> bool {
        match &mut self.0 {
            Some(waiting) if !waiting.sends.is_empty() => {
                waiting.leaving = Some(Leaving { receipt: receipt.map(Into::into) });
                false
            }
            _ => true,
        }
    }
}

impl Waiting {
    /// Answers come mostly in the order of the sends.
    fn take(&mut self, client_msg_id: &str) -> Option<Open> {
        let at = self.sends.iter().position(|send| *send.client_msg_id == *client_msg_id)?;
        let send = self.sends.remove(at);
        if self.sends.is_empty() {
            self.sends = VecDeque::new();
        }
        send
    }

    fn less_open(&mut self, key: CommitKey) -> Option<Box<str>> {
        let at = self.commits.iter().position(|commit| commit.key == key)?;
        self.commits[at].open -= 1;
        if self.commits[at].open > 0 { None } else { self.commits.swap_remove(at).receipt }
    }

    fn take_leave(&mut self) -> Option<Leaving> {
        if self.sends.is_empty() { self.leaving.take() } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_comes_with_the_answer_to_its_send() {
        let mut answers = Answers::default();
        answers.open("a", Some("r1"), None);
        answers.open("b", None, None);
        answers.open("a", Some("r2"), None);
        assert_eq!(answers.stored("b"), Answered::default());
        assert_eq!(answers.stored("a").receipt.as_deref(), Some("r1"));
        assert_eq!(answers.refused("a").receipt.as_deref(), Some("r2"));
        assert_eq!(answers.stored("a"), Answered::default());
    }

    #[test]
    fn a_commit_is_complete_with_its_last_send() {
        let mut answers = Answers::default();
        let empty = answers.begin(Some("none"));
        assert_eq!(answers.begun(empty).as_deref(), Some("none"));
        let commit = answers.begin(Some("both"));
        answers.open("a", Some("r1"), Some(commit));
        assert_eq!(answers.stored("a"), Answered { receipt: Some("r1".into()), ..Answered::default() });
        answers.open("b", None, Some(commit));
        assert_eq!(answers.begun(commit), None);
        assert_eq!(answers.stored("b").commit.as_deref(), Some("both"));
        let commit = answers.begin(None);
        answers.open("c", None, Some(commit));
        assert!(answers.refused("c").in_transaction);
    }

    #[test]
    fn who_leaves_waits_for_what_is_open() {
        let mut answers = Answers::default();
        assert!(answers.leave(Some("bye")));
        answers.open("a", None, None);
        answers.open("b", None, None);
        assert!(!answers.leave(Some("bye")));
        assert_eq!(answers.stored("a").leave, None);
        assert_eq!(answers.refused("b").leave, Some(Leaving { receipt: Some("bye".into()) }));
        assert_eq!(size_of::<Answers>(), 8);
    }
}
