//! The codecs under test, and what several targets check.
//!
//! The codecs are taken in by path: they are pure and need few crates, while the packages they belong to bring Kafka,
//! Redis, gRPC and TLS, which would be built with instrumentation for minutes and never be reached.

pub mod allocation;

// the gateway's codecs name the contracts by their package
extern crate self as chatcluster_contracts;

#[path = "../../contracts/src/close.rs"]
pub mod close;
#[path = "../../contracts/src/event.rs"]
pub mod event;
#[path = "../../contracts/src/frame/mod.rs"]
pub mod frame;
#[path = "../../contracts/src/ids.rs"]
pub mod ids;
#[path = "../../contracts/src/log_id.rs"]
pub mod log_id;
#[path = "../../contracts/src/position.rs"]
pub mod position;
#[path = "../../contracts/src/problem.rs"]
pub mod problem;
#[path = "../../contracts/src/record/mod.rs"]
pub mod record;
#[path = "../../contracts/src/room_message.rs"]
pub mod room_message;
#[path = "../../contracts/src/seq.rs"]
pub mod seq;
#[path = "../../contracts/src/time.rs"]
pub mod time;
#[path = "../../contracts/src/trace.rs"]
pub mod trace;

/// In place of what is generated from the `.proto` files.
pub mod rpc {
    #[derive(Debug)]
    pub struct Problem {
        pub code: String,
        pub detail: String,
    }
}

#[path = "../../gateway/src/protocol/stomp/mod.rs"]
pub mod stomp;
#[path = "../../gateway/src/protocol/websocket/mod.rs"]
pub mod websocket;

#[path = "../../gateway/src/protocol/sockjs/mod.rs"]
pub mod sockjs;
