//! The topics that a `ChatCluster` names, and no others: declared (pure), compared with what the brokers have (pure), and
//! brought there.

mod declare;
mod plan;
mod provision;

use crate::client_cache::ClientCache;

pub use chatcluster_kafka_admin::{
    Admin, ConnectionOptions, Error, Mechanism, Password, Refusal, Sasl, Security, UnknownMechanism,
};

pub use self::{
    declare::{DeclaredTopic, TopicSettings, declare},
    plan::{Action, Finding, Problem},
    provision::{Leftover, ProvisionOptions, Provisioned, ProvisionedTopic, observe, provision, remove},
};

/// One [`Admin`] for each way to connect, kept between passes: each has threads of its own.
#[derive(Debug, Clone, Default)]
pub struct Clients(ClientCache<ConnectionOptions, Admin>);

impl Clients {
    /// Within a Tokio runtime.
    pub fn new() -> Self {
        Self::default()
    }

    /// The client for these options. Making one connects to nothing yet.
    pub fn get(&self, options: &ConnectionOptions) -> Result<Admin, Error> {
        self.0.get(options, Admin::new)
    }
}
