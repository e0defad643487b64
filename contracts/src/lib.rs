//! What the processes of `ChatCluster` say to each other: ids, events, Kafka records, Redis keys and stream entries,
//! native WebSocket frames, gRPC messages and stable error codes.
//!
//! Pure types and codecs. Nothing here opens a socket, reads a clock or spawns a task; whoever decodes hands in bytes,
//! whoever encodes gets bytes back.

pub mod close;
pub mod event;
pub mod frame;
pub mod ids;
pub mod log_id;
pub mod position;
pub mod problem;
pub mod record;
pub mod redis_keys;
pub mod revocation;
pub mod road;
pub mod room_message;
pub mod seq;
pub mod stream_entry;
pub mod time;
pub mod topics;
pub mod trace;

/// The gRPC surface `chatcluster.v1`, generated from `proto/`.
#[allow(clippy::pedantic, clippy::unwrap_used, unreachable_pub, missing_debug_implementations, reason = "generated")]
pub mod rpc {
    tonic::include_proto!("chatcluster.v1");
    /// Encoded `FileDescriptorSet`, for server reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
