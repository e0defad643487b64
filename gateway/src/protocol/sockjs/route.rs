//! What a path under a SockJS base means (sections "Static URLs" and "Session URLs").

use super::transport::Transport;

/// `Sec-WebSocket-Version`s that speak the same frames: hybi-07, hybi-10 and RFC 6455. The first two name the page in
/// `Sec-WebSocket-Origin`.
pub const VERSIONS: [&str; 3] = ["7", "8", "13"];

/// Longest server or session id; clients make them of a handful of characters.
const MAX_ID_BYTES: usize = 128;

/// One SockJS service: everything under its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Absolute, without a slash at the end.
    path: String,
    /// Is WebSocket spoken here?
    pub websocket: bool,
    /// Is a `JSESSIONID` cookie set, for load balancers that keep a client at its server by it?
    pub cookie: bool,
}

/// How an upgraded connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// SockJS frames in text messages.
    SockJs,
    /// Plain text messages.
    Raw,
}

/// Where a path leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    Greeting,
    Info,
    IFrame,
    WebSocket(Framing),
    /// The client waits for frames of its session.
    Receive(Transport, &'a str),
    /// The client sends messages to its session.
    Send(Inlet, &'a str),
}

/// The two ways of sending without a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inlet {
    Xhr,
    Jsonp,
}

impl Base {
    /// A service at `path`, with WebSocket and without cookies. A slash at its end is not part of it.
    pub fn new(path: &str) -> Self {
        Self { path: path.trim_end_matches('/').to_owned(), websocket: true, cookie: false }
    }

    /// As a client behind a proxy that lets no WebSocket through would see it.
    #[must_use]
    pub fn without_websocket(self) -> Self {
        Self { websocket: false, ..self }
    }

    #[must_use]
    pub fn with_cookie(self) -> Self {
        Self { cookie: true, ..self }
    }

    pub fn path(&self) -> &str {
        &self.path
    }

    /// `None`: the path is not of this base, or leads nowhere.
    pub fn route<'a>(&self, path: &'a str) -> Option<Route<'a>> {
        let rest = path.strip_prefix(self.path.as_str())?;
        let Some(rest) = rest.strip_prefix('/') else { return rest.is_empty().then_some(Route::Greeting) };
        let mut parts = rest.split('/');
        let route = match (parts.next()?, parts.next(), parts.next()) {
            ("", None, None) => Route::Greeting,
            ("info", None, None) => Route::Info,
            ("websocket", None, None) if self.websocket => Route::WebSocket(Framing::Raw),
            (name, None, None) if is_iframe(name) => Route::IFrame,
            // the server id is for load balancers alone
            (server, Some(session), Some(transport)) if is_id(server) && is_id(session) => match transport {
                "websocket" if self.websocket => Route::WebSocket(Framing::SockJs),
                "xhr" => Route::Receive(Transport::Xhr, session),
                "xhr_streaming" => Route::Receive(Transport::XhrStreaming, session),
                "eventsource" => Route::Receive(Transport::EventSource, session),
                "htmlfile" => Route::Receive(Transport::HtmlFile, session),
                "jsonp" => Route::Receive(Transport::Jsonp, session),
                "xhr_send" => Route::Send(Inlet::Xhr, session),
                "jsonp_send" => Route::Send(Inlet::Jsonp, session),
                _ => return None,
            },
            _ => return None,
        };
        parts.next().is_none().then_some(route)
    }

    /// May a request for this path become a WebSocket, and how does it speak then?
    pub fn upgrade(&self, path: &str) -> Option<Framing> {
        match self.route(path)? {
            Route::WebSocket(framing) => Some(framing),
            _ => None,
        }
    }
}

/// Any value but the empty one and those with dots, which proxies take for file names and parent folders.
fn is_id(part: &str) -> bool {
    !part.is_empty() && part.len() <= MAX_ID_BYTES && !part.contains('.')
}

/// `iframe.html`, or with a version in between so that caches keep versions apart.
fn is_iframe(name: &str) -> bool {
    name.strip_prefix("iframe").and_then(|rest| rest.strip_suffix(".html")).is_some_and(|version| {
        version.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z' | b'-' | b'.' | b'_'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(rest: &str) -> Option<Route<'static>> {
        Base::new("/echo").route(format!("/echo{rest}").leak())
    }

    #[test]
    fn the_static_pages_are_found() {
        assert_eq!(route(""), Some(Route::Greeting));
        assert_eq!(route("/"), Some(Route::Greeting));
        assert_eq!(route("/info"), Some(Route::Info));
        for page in ["iframe", "iframe-a", "iframe-", "iframe-0.1.2", "iframe-0.1.2abc-dirty.2144"] {
            assert_eq!(route(&format!("/{page}.html")), Some(Route::IFrame), "{page}");
        }
        for nothing in ["/iframe.htm", "/iframe", "/IFRAME.HTML", "/iframe.HTML", "/iframe.xml", "/iframe-/.html"] {
            assert_eq!(route(nothing), None, "{nothing}");
        }
        for nothing in ["/a", "/a.html", "//", "///", "/a/a", "/a/a/", "/a/", "s", "s/info"] {
            assert_eq!(route(nothing), None, "{nothing}");
        }
        assert_eq!(Base::new("/a/b/").route("/a/b"), Some(Route::Greeting), "a base may be longer");
    }

    #[test]
    fn a_session_is_named_by_its_second_part() {
        for (server, session) in [("a", "a"), ("_", "_"), ("999", "1"), ("abcdefgh_i-j%20", "abcdefg_i-j%20")] {
            let path = format!("/{server}/{session}/xhr");
            assert_eq!(route(&path), Some(Route::Receive(Transport::Xhr, session)), "{path}");
        }
        assert_eq!(route("/0/s/jsonp_send"), Some(Route::Send(Inlet::Jsonp, "s")));
        for ids in ["//", "/a./a", "/a/a.", "/./.", "/", "///", "/a/a/a", "/a/"] {
            assert_eq!(route(&format!("{ids}/xhr")), None, "{ids}");
        }
        assert_eq!(route("/a/a/xhr/"), None);
        assert_eq!(route(&format!("/a/{}/xhr", "a".repeat(129))), None);
    }

    #[test]
    fn websockets_are_upgraded_where_they_are_spoken() {
        let on = Base::new("/echo");
        assert_eq!(on.upgrade("/echo/0/0/websocket"), Some(Framing::SockJs));
        assert_eq!(on.upgrade("/echo/websocket"), Some(Framing::Raw));
        assert_eq!(on.upgrade("/echo/0/0/xhr"), None);
        let off = on.without_websocket();
        assert_eq!(off.route("/echo/0/0/websocket"), None);
        assert_eq!(off.upgrade("/echo/websocket"), None);
    }
}
