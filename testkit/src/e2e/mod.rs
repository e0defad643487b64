//! The platform on a real Kubernetes cluster, with our images, our chart and our example, while 500 clients use it: scaled,
//! upgraded, evicted, killed and taken away again.
//!
//! Rooms: [`fleet`] are the clients and the comparison of what they saw with what is on record, [`scenarios`] what is
//! done to the platform, [`platform`] how a person does and sees it, [`cluster`] the node or [`kind`], [`backing`] the
//! servers beside it, [`manifest`] what is applied, [`uninstall`] the end, [`report`] tells.

mod backing;
mod cluster;
mod entrance;
pub mod fleet;
mod kind;
mod manifest;
mod platform;
mod report;
mod run;
mod scenarios;
mod uninstall;

pub use entrance::{Entrance, Sources};
pub use report::{Report, Row};
pub use run::{Options, Where, abandon, run, scenarios};
