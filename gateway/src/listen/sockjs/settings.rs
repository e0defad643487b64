//! How a SockJS base behaves.

use std::time::Duration;

use crate::protocol::sockjs::{iframe, transport};

/// Whose pages may connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Everybody's: for conformance services, which hold nothing of anybody's.
    Any,
    /// Exactly these, as in `https://chat.example`; without any, only pages of the host that is asked. The transports that
    /// go through a frame speak with the own host's origin: for them it has to be among these.
    Listed(Vec<String>),
}

impl Origins {
    /// Browsers name the page's origin in every request that could do harm; programs name none.
    pub fn allow(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        match (self, origin) {
            (Self::Any, _) | (_, None) => true,
            (Self::Listed(listed), Some(origin)) if listed.is_empty() => {
                let own = origin.split_once("://").map(|(_, own)| own);
                own.is_some() && own == host
            }
            (Self::Listed(listed), Some(origin)) => listed.iter().any(|listed| listed == origin),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Settings {
    pub origins: Origins,
    /// Where the iframe page takes the SockJS client from.
    pub client_url: String,
    /// Bytes after which a streaming response ends; the protocol's tests want 4096.
    pub response_limit: usize,
    /// A waiting client hears something this often.
    pub heartbeat: Duration,
    /// A session that nobody receives from ends after this, and is remembered so long after its end.
    pub disconnect: Duration,
    /// Most sessions without a socket at a time.
    pub max_sessions: usize,
    /// Longest body of a request that sends, in bytes.
    pub max_post: usize,
    /// Time for such a body to arrive.
    pub post_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            origins: Origins::Listed(Vec::new()),
            client_url: iframe::CLIENT_URL.to_owned(),
            response_limit: transport::RESPONSE_LIMIT,
            heartbeat: Duration::from_secs(25),
            disconnect: Duration::from_secs(5),
            max_sessions: 10_000,
            max_post: 1 << 20,
            post_timeout: Duration::from_secs(30),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_exactly() {
        let listed = Origins::Listed(vec!["https://app.example".to_owned()]);
        assert!(listed.allow(Some("https://app.example"), Some("chat.example")));
        assert!(listed.allow(None, Some("chat.example")), "programs name no origin");
        for bad in ["https://app.example.evil", "http://app.example", "https://chat.example", "null", ""] {
            assert!(!listed.allow(Some(bad), Some("chat.example")), "{bad}");
        }
        assert!(Origins::Any.allow(Some("null"), None));
    }

    #[test]
    fn without_a_list_only_the_own_host_is_allowed() {
        let own = Origins::Listed(Vec::new());
        assert!(own.allow(Some("https://chat.example"), Some("chat.example")));
        for bad in ["https://evil.example", "https://chat.example:444", "null"] {
            assert!(!own.allow(Some(bad), Some("chat.example")), "{bad}");
        }
        assert!(!own.allow(Some("https://chat.example"), None));
    }
}
