//! Redis: each gateway's stream with its consumer group, and whether the server keeps what it was given.
//!
//! Commands go one by one, many at a time, over one connection: a pipeline or a script over several keys would not work
//! on a Redis Cluster, where they are on different servers. So the least that an ACL must allow is small: `XGROUP`, `DEL`,
//! `SADD`, `SREM`, `SMEMBERS`, `EXISTS`, `INFO` (and `CLUSTER SLOTS` on a cluster).

mod connect;
pub mod policy;
pub mod streams;

pub use self::connect::{ConnectionOptions, Connections, Error, Redis};
