//! The rules of users, conversations and messages. Pure: no database, no clock, no network; what they need to know is
//! handed in, what they decide is handed back.

pub mod account;
pub mod conversation;
pub mod mention;
pub mod message;
pub mod plan;
pub mod receipt;
pub mod shard;
