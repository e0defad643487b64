//! The native protocol (`chatcluster.v1`): one JSON object in one WebSocket text message. The JSON itself is in
//! `chatcluster_contracts::frame`; here it meets the WebSocket frame it travels in.

use bytes::Bytes;
use chatcluster_contracts::{
    frame::{ClientFrame, Refused, ServerFrame, decode},
    problem::Problem,
};

use super::websocket;

/// The subprotocol clients may name; naming none means the same.
pub const SUBPROTOCOL: &str = "chatcluster.v1";

/// What a client's text message asks for.
pub fn read(text: &str) -> Result<ClientFrame, Refused> {
    decode(text)
}

/// A server's frame, ready for the socket.
pub fn write(frame: &ServerFrame<'_>) -> Bytes {
    websocket::text(&frame.to_json())
}

/// A refusal, ready for the socket.
pub fn write_error(problem: &Problem, client_msg_id: Option<&str>) -> Bytes {
    write(&ServerFrame::error(problem, client_msg_id))
}
