//! The topics that a `ChatCluster` names, and no others: declared (pure), compared with what the brokers have (pure), and
//! brought there.

mod clients;
mod declare;
mod plan;
mod provision;

pub use chatcluster_kafka_admin::{
    Admin, ConnectionOptions, Error, Mechanism, Password, Refusal, Sasl, Security, UnknownMechanism,
};

pub use self::{
    clients::Clients,
    declare::{DeclaredTopic, TopicSettings, declare},
    plan::{Action, Finding, Problem},
    provision::{Leftover, ProvisionOptions, Provisioned, ProvisionedTopic, observe, provision, remove},
};
