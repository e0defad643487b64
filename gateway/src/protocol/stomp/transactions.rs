//! Frames that wait for their COMMIT. All of a session's open transactions together are bounded.

use chatcluster_contracts::problem::Code;

/// How much a session may have waiting, over all its transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionLimits {
    pub open: usize,
    pub frames: usize,
    pub bytes: usize,
}

impl Default for TransactionLimits {
    fn default() -> Self {
        Self { open: 16, frames: 256, bytes: 1 << 20 }
    }
}

/// The text is fit for an ERROR frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransactionError {
    #[error("the transaction {0:?} has begun already")]
    Begun(String),
    #[error("the transaction {0:?} was not begun, or has ended")]
    Unknown(String),
    #[error("a session has at most {0} transactions at a time")]
    TooMany(usize),
    #[error("a session's transactions hold at most {0} frames")]
    TooManyFrames(usize),
    #[error("a session's transactions hold at most {0} bytes")]
    TooManyBytes(usize),
}

impl TransactionError {
    pub const fn code(&self) -> Code {
        match self {
            Self::Begun(_) => Code::Conflict,
            Self::Unknown(_) => Code::NotFound,
            Self::TooMany(_) => Code::RateLimited,
            Self::TooManyFrames(_) | Self::TooManyBytes(_) => Code::PayloadTooLarge,
        }
    }
}

#[derive(Debug, Clone)]
struct Transaction<T> {
    id: Box<str>,
    frames: Vec<T>,
    bytes: usize,
}

/// A session's open transactions; `T` is a frame that waits. 8 bytes while none is open.
#[derive(Debug, Clone)]
#[expect(clippy::box_collection, reason = "a thin pointer where most sessions have nothing")]
pub struct Transactions<T>(Option<Box<Vec<Transaction<T>>>>);

impl<T> Default for Transactions<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Transactions<T> {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn begin(&mut self, id: &str, limits: &TransactionLimits) -> Result<(), TransactionError> {
        if self.open().iter().any(|transaction| *transaction.id == *id) {
            return Err(TransactionError::Begun(shown(id)));
        }
        if self.open().len() >= limits.open {
            return Err(TransactionError::TooMany(limits.open));
        }
        // the id is the client's and as long as a header may be
        if self.bytes() + id.len() > limits.bytes {
            return Err(TransactionError::TooManyBytes(limits.bytes));
        }
        let transaction = Transaction { id: id.into(), frames: Vec::new(), bytes: id.len() };
        self.0.get_or_insert_default().push(transaction);
        Ok(())
    }

    /// Keeps a frame of `bytes` bytes until the transaction ends.
    pub fn add(
        &mut self,
        id: &str,
        frame: T,
        bytes: usize,
        limits: &TransactionLimits,
    ) -> Result<(), TransactionError> {
        let frames: usize = self.open().iter().map(|transaction| transaction.frames.len()).sum();
        let held = self.bytes();
        let transaction = self
            .0
            .iter_mut()
            .flat_map(|open| open.iter_mut())
            .find(|transaction| *transaction.id == *id)
            .ok_or_else(|| TransactionError::Unknown(shown(id)))?;
        if frames >= limits.frames {
            return Err(TransactionError::TooManyFrames(limits.frames));
        }
        if bytes > limits.bytes.saturating_sub(held) {
            return Err(TransactionError::TooManyBytes(limits.bytes));
        }
        transaction.frames.push(frame);
        transaction.bytes += bytes;
        Ok(())
    }

    /// Ends the transaction. Its frames, in order, are to be done now.
    pub fn commit(&mut self, id: &str) -> Result<Vec<T>, TransactionError> {
        let at = self.open().iter().position(|transaction| *transaction.id == *id);
        let (Some(at), Some(open)) = (at, &mut self.0) else { return Err(TransactionError::Unknown(shown(id))) };
        let frames = open.swap_remove(at).frames;
        if open.is_empty() {
            self.0 = None;
        }
        Ok(frames)
    }

    /// Ends the transaction; its frames never happened.
    pub fn abort(&mut self, id: &str) -> Result<(), TransactionError> {
        self.commit(id).map(drop)
    }

    fn open(&self) -> &[Transaction<T>] {
        self.0.as_deref().map_or(&[], Vec::as_slice)
    }

    fn bytes(&self) -> usize {
        self.open().iter().map(|transaction| transaction.bytes).sum()
    }
}

fn shown(id: &str) -> String {
    id.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: TransactionLimits = TransactionLimits { open: 2, frames: 3, bytes: 20 };

    #[test]
    fn commit_gives_the_frames_in_order_and_abort_none() {
        let mut all = Transactions::new();
        all.begin("a", &LIMITS).unwrap();
        all.begin("b", &LIMITS).unwrap();
        for (id, frame) in [("a", 1), ("b", 2), ("a", 3)] {
            all.add(id, frame, 1, &LIMITS).unwrap();
        }
        assert_eq!(all.commit("a"), Ok(vec![1, 3]));
        assert_eq!(all.abort("b"), Ok(()));
        assert!(all.0.is_none());
        assert_eq!(all.commit("a"), Err(TransactionError::Unknown("a".into())));
        assert_eq!(all.abort("c"), Err(TransactionError::Unknown("c".into())));
        assert_eq!(all.add("b", 4, 1, &LIMITS), Err(TransactionError::Unknown("b".into())));
    }

    #[test]
    fn number_frames_and_bytes_are_bounded_over_the_session() {
        let mut all = Transactions::new();
        all.begin("a", &LIMITS).unwrap();
        assert_eq!(all.begin("a", &LIMITS), Err(TransactionError::Begun("a".into())));
        all.begin("b", &LIMITS).unwrap();
        assert_eq!(all.begin("c", &LIMITS), Err(TransactionError::TooMany(2)));
        assert_eq!(all.add("a", (), 19, &LIMITS), Err(TransactionError::TooManyBytes(20)));
        all.add("a", (), 18, &LIMITS).unwrap();
        all.add("b", (), 0, &LIMITS).unwrap();
        all.add("b", (), 0, &LIMITS).unwrap();
        assert_eq!(all.add("a", (), 0, &LIMITS), Err(TransactionError::TooManyFrames(3)));
        all.abort("a").unwrap();
        assert_eq!(all.begin(&"x".repeat(20), &LIMITS), Err(TransactionError::TooManyBytes(20)));
        assert_eq!(size_of::<Transactions<[u64; 9]>>(), 8);
    }
}
