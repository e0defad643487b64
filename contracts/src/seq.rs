//! The position of an event in its conversation.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Per conversation, gapless, assigned under the conversation's row lock: commit order is seq order. The first event
/// has seq 1; [`Seq::ZERO`] stands before it ("nothing yet").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    pub const ZERO: Self = Self(0);

    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    pub const fn get(self) -> u64 {
        self.0
    }

    /// The seq that follows. Saturates: 2^64 events do not happen.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The seq before, [`Seq::ZERO`] at the start.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// How many events lie in `(after, self]`.
    pub const fn distance_from(self, after: Self) -> u64 {
        self.0.saturating_sub(after.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
