//! Child processes that cannot outlive the test runner, and the faults that are done to them.
//!
//! Rooms: [`launcher`] forks, [`supervised`] starts, stops, freezes and restarts, [`log`] reads what a child wrote.

mod launcher;
mod log;
mod supervised;

pub use log::tail;
pub(crate) use supervised::developers_settings;
pub use supervised::{Probe, Spec, Supervised};
