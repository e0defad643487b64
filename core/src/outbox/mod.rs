//! From the outbox table to the event log: a lease says which shards this process publishes ([`lease`]), a commit wakes
//! the relay of its shard ([`wake`]), the relay appends in order and deletes what was acknowledged ([`relay`], one
//! [`shard`] at a time). Or another does that from the database's log, see [`external`].

pub(crate) mod external;
mod in_flight;
mod lease;
pub mod relay;
mod shard;
mod signals;
pub mod wake;
