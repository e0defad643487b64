//! The torture run: real processes on real servers are killed, frozen and cut off while a fleet of clients works and
//! writes down what it sees; then the whole history is held against the database and the topic.
//!
//! Pure: [`schedule`] says when what happens, [`history`] and [`truth`] are what was seen and what is on record,
//! [`check`] compares them, [`report`] tells. Effects: `fleet` are the clients, [`recorder`] writes down what they do,
//! `inject` does the faults, `quiet` waits until all is seen, `gather` reads the record, `platform` is what is tortured, [`run`] puts it all together,
//! [`plants`] shows that bugs are found; [`failover`] measures one fault under many sessions.

pub mod check;
pub mod clock;
pub mod failover;
mod fleet;
mod gather;
pub mod history;
mod inject;
pub mod plants;
mod platform;
mod quiet;
pub(crate) mod recorder;
pub mod report;
pub mod run;
pub mod schedule;
mod socket;
pub(crate) mod tokens;
pub mod truth;

pub use fleet::Size;
pub use run::{Options, Outcome, run};
