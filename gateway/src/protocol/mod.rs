//! What goes over a client's socket, without the socket: bytes to commands and back. Nothing here does I/O, reads a
//! clock or knows a session, so every codec is tested by bytes alone.

pub mod native;
pub mod sockjs;
pub mod stomp;
pub mod websocket;
