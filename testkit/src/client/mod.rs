//! What a user of the platform does, over the wire and with strangers' libraries, so that our own codecs are not tested
//! against themselves.
//!
//! Rooms: [`native`] is the WebSocket client, [`history`] what it saw and when, [`api`] REST, [`outside`] Kafka.

mod api;
mod history;
mod native;
mod outside;

pub use api::{Answer, Api, User};
pub use history::{History, Recorded, Side};
pub use native::{Client, Resume};
pub use outside::Outside;
