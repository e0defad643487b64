//! The seams between the services and the servers beside them, and nothing else:
//!
//! * [`event_log`]: the durable ordered log. Kafka, or tables of the embedded database.
//! * [`gateway_streams`]: hints on their way to gateways, the registry of live connections, and wake-up calls. Redis, or
//!   memory of the one embedded process.
//! * [`channels`]: messages to whoever listens now, and their logs. Redis, or memory of the one embedded process.
//!
//! [`ended_logins`] is how core and gateways hear of them over the second seam.
//!
//! Both implementations of a seam pass the same behaviour tests (`tests/`).

pub mod channels;
pub mod ended_logins;
pub mod event_log;
pub mod gateway_streams;
