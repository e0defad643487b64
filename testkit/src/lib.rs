//! Everything that tests, demos and torture runs need around the platform: the real servers, the platform's own
//! processes, clients that record what they saw, and the faults. Nothing in here is linked into a product binary.
//!
//! ```no_run
//! # async fn demo() -> anyhow::Result<()> {
//! use chatcluster_testkit::{Client, Deployment, Resume, WAIT};
//!
//! let deployment = Deployment::embedded().await?; // or Deployment::real(1, 2, 2): the same API
//! let ann = deployment.user("ann").await?;
//! let (_, room) = ann.api.create_conversation("group", &[]).await?;
//! let room = room["id"].as_str().unwrap_or_default();
//! let client = Client::connect(&deployment.gateway_ws_urls()[0], &ann.token, Resume::None).await?;
//! client.send_message(room, "m-1", "hello").await?;
//! client.wait_for(|frame| frame["type"] == "MESSAGE", WAIT).await?;
//! # Ok(()) }
//! ```
//!
//! Every child process started from here dies with the test runner, see [`process`].

pub mod acceptance;
pub mod certificates;
pub mod cli;
pub mod client;
pub mod condition;
pub mod connect;
pub mod crowd;
pub mod deployment;
pub mod e2e;
pub mod faults;
pub mod images;
pub mod install;
pub mod kafka;
pub mod kubernetes;
pub mod mariadb;
pub mod node;
pub mod ports;
pub mod process;
pub mod redis;
pub mod scratch;
pub mod servers;
pub mod torture;

pub use client::{Api, Client, Recorded, Resume, User};
pub use condition::await_condition;
pub use connect::OutboxConnector;
pub use deployment::Deployment;
pub use kafka::{Kafka, KafkaCluster};
pub use kubernetes::ApiServer;
pub use mariadb::MariaDb;
pub use node::Node;
pub use process::Supervised;
pub use redis::{Redis, RedisCluster};
pub use servers::Servers;

/// How long a test waits for something that takes milliseconds on a healthy machine. It is long because it only costs
/// time when a test fails, and two loaded cores are slow.
pub const WAIT: std::time::Duration = std::time::Duration::from_secs(30);
