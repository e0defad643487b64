//! How a SockJS base behaves.

use std::time::Duration;

use crate::{
    listen::Origins,
    protocol::sockjs::{iframe::Page, transport},
};

#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Whose pages may connect. The transports that go through a frame speak with the own host's origin: where origins are
    /// listed, it has to be among them for these.
    pub(crate) origins: Origins,
    /// What frames are loaded with, if the transports that need them are wanted.
    pub(crate) page: Option<Page>,
    /// Bytes after which a streaming response ends; the protocol's tests want 4096.
    pub(crate) response_limit: usize,
    /// A waiting client hears something this often.
    pub(crate) heartbeat: Duration,
    /// A session that nobody receives from ends after this, and is remembered so long after its end.
    pub(crate) disconnect: Duration,
    /// Most sessions without a socket at a time.
    pub(crate) max_sessions: usize,
    /// Longest body of a request that sends, in bytes.
    pub(crate) max_post: usize,
    /// Time for such a body to arrive.
    pub(crate) post_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            origins: Origins::OwnHost,
            page: None,
            response_limit: transport::RESPONSE_LIMIT,
            heartbeat: Duration::from_secs(25),
            disconnect: Duration::from_secs(5),
            max_sessions: 10_000,
            max_post: 1 << 20,
            post_timeout: Duration::from_secs(30),
        }
    }
}
