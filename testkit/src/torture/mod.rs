//! The torture run: real processes on real servers are killed, frozen and cut off while a fleet of clients works and
//! writes down what it sees; then the whole history is held against the database and the topic.
//!
//! Pure: [`schedule`] says when what happens, [`history`] and [`truth`] are what was seen and what is on record,
//! [`check`] compares them, [`report`] tells. Effects: `fleet` are the clients, `inject` does the faults, `gather` reads the
//! record, `platform` is what is tortured, [`run`] puts it all together.

pub mod check;
mod clock;
mod fleet;
mod gather;
pub mod history;
mod inject;
mod platform;
mod recorder;
pub mod report;
pub mod run;
pub mod schedule;
mod socket;
mod tokens;
pub mod truth;

pub use run::{Options, Outcome, run};
