//! How each transport without a socket carries frames to the client: what a response begins with, how a frame is
//! wrapped, and when a response has carried enough.

use bytes::Bytes;

use super::{escape::escape_in_script, form};

/// A response that streams ends after so many bytes, and the client asks again: browsers keep all of a response for as
/// long as it lasts.
pub const RESPONSE_LIMIT: usize = 128 * 1024;

/// Clients name theirs with a prefix and some random letters.
const MAX_CALLBACK_BYTES: usize = 64;

/// Safari takes less for no page yet (section "`HtmlFile`").
const HTML_HEAD_BYTES: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One frame a response.
    Xhr,
    XhrStreaming,
    EventSource,
    /// Scripts in a page that never ends loading.
    HtmlFile,
    /// One frame a response, as a script.
    Jsonp,
}

impl Transport {
    /// The method clients use; those with `POST` are asked for from other origins, and need CORS.
    pub const fn is_post(self) -> bool {
        matches!(self, Self::Xhr | Self::XhrStreaming)
    }

    /// Does one response carry many frames?
    pub const fn is_streaming(self) -> bool {
        matches!(self, Self::XhrStreaming | Self::EventSource | Self::HtmlFile)
    }

    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Xhr | Self::XhrStreaming | Self::Jsonp => "application/javascript; charset=UTF-8",
            Self::EventSource => "text/event-stream; charset=UTF-8",
            Self::HtmlFile => "text/html; charset=UTF-8",
        }
    }

    /// How this request's response carries frames; some transports take the name of a function from the query.
    pub fn carrier(self, query: &str) -> Result<Carrier, BadCallback> {
        Ok(match self {
            Self::Xhr | Self::XhrStreaming => Carrier::Lines { prelude: self.is_streaming() },
            Self::EventSource => Carrier::Events,
            Self::HtmlFile => Carrier::Page(Callback::parse(query)?),
            Self::Jsonp => Carrier::Call(Callback::parse(query)?),
        })
    }
}

/// How frames travel in one response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carrier {
    /// A line each, after a long first one where the response streams: some browsers show nothing of less.
    Lines {
        prelude: bool,
    },
    /// Server-sent events.
    Events,
    Page(Callback),
    Call(Callback),
}

impl Carrier {
    /// What the response begins with, if anything; it is not a frame and not counted against the limit.
    pub fn prelude(&self) -> Option<Bytes> {
        match self {
            Self::Lines { prelude: true } => Some(Bytes::from_static(&XHR_PRELUDE)),
            // Opera misses the first event without
            Self::Events => Some(Bytes::from_static(b"\r\n")),
            Self::Page(callback) => Some(page(callback)),
            Self::Lines { prelude: false } | Self::Call(_) => None,
        }
    }

    pub fn wrap(&self, frame: &[u8]) -> Bytes {
        match self {
            Self::Lines { .. } => [frame, b"\n"].concat(),
            // a frame has no line ends and begins with a letter: it is one line of data
            Self::Events => [b"data: ", frame, b"\r\n\r\n"].concat(),
            Self::Page(_) => in_script(b"<script>\np(\"", frame, b"\");\n</script>\r\n"),
            Self::Call(callback) => in_script(format!("{}(\"", callback.0).as_bytes(), frame, b"\");\r\n"),
        }
        .into()
    }
}

static XHR_PRELUDE: [u8; 2049] = {
    let mut prelude = [b'h'; 2049];
    prelude[2048] = b'\n';
    prelude
};

fn in_script(before: &[u8], frame: &[u8], after: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(before.len() + frame.len() + frame.len() / 8 + after.len());
    out.extend_from_slice(before);
    escape_in_script(frame, &mut out);
    out.extend_from_slice(after);
    out
}

fn page(callback: &Callback) -> Bytes {
    let mut head = format!(
        r#"<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.{};
    c.start();
    function p(d) {{c.message(d);}};
    window.onload = function() {{c.stop();}};
  </script>
"#,
        callback.0
    );
    head.extend(std::iter::repeat_n(' ', HTML_HEAD_BYTES.saturating_sub(head.len())));
    head.push_str("\r\n\r\n");
    head.into()
}

/// A function of the client's page: dotted names only, for what else could stand here would be run by the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadCallback {
    #[error("\"callback\" parameter required")]
    Missing,
    #[error("invalid \"callback\" parameter")]
    Invalid,
}

impl Callback {
    fn parse(query: &str) -> Result<Self, BadCallback> {
        let query = query.as_bytes();
        let name = form::value(query, "c").or_else(|| form::value(query, "callback"));
        let name = name.filter(|name| !name.is_empty()).ok_or(BadCallback::Missing)?;
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if name.len() > MAX_CALLBACK_BYTES || !name.iter().all(is_name) {
            return Err(BadCallback::Invalid);
        }
        String::from_utf8(name).map(Self).map_err(|_| BadCallback::Invalid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn carrier(transport: Transport) -> Carrier {
        transport.carrier("c=%63allback").unwrap()
    }

    #[test]
    fn each_transport_wraps_in_its_own_way() {
        let frame = br#"a["x"]"#;
        for (transport, wrapped) in [
            (Transport::Xhr, "a[\"x\"]\n"),
            (Transport::XhrStreaming, "a[\"x\"]\n"),
            (Transport::EventSource, "data: a[\"x\"]\r\n\r\n"),
            (Transport::HtmlFile, "<script>\np(\"a[\\\"x\\\"]\");\n</script>\r\n"),
            (Transport::Jsonp, "callback(\"a[\\\"x\\\"]\");\r\n"),
        ] {
            assert_eq!(carrier(transport).wrap(frame), wrapped, "{transport:?}");
        }
    }

    #[test]
    fn streaming_responses_begin_with_enough_to_be_shown() {
        let xhr = carrier(Transport::XhrStreaming).prelude().unwrap();
        assert_eq!(xhr, "h".repeat(2048) + "\n");
        assert_eq!(carrier(Transport::EventSource).prelude().unwrap(), "\r\n");
        let page = carrier(Transport::HtmlFile).prelude().unwrap();
        assert!(page.len() > 1024);
        let page = std::str::from_utf8(&page).unwrap();
        assert!(page.contains("var c = parent.callback;\n    c.start();\n    function p(d) {c.message(d);};\n"));
        assert!(page.trim_end().ends_with("  </script>"));
        assert_eq!(carrier(Transport::Xhr).prelude(), None);
        assert_eq!(carrier(Transport::Jsonp).prelude(), None);
    }

    #[test]
    fn a_callback_is_a_name_and_nothing_else() {
        assert!(Transport::Jsonp.carrier("t=1&callback=_jp.abc-1").is_ok());
        assert_eq!(Transport::Jsonp.carrier(""), Err(BadCallback::Missing));
        assert_eq!(Transport::HtmlFile.carrier("c="), Err(BadCallback::Missing));
        for bad in ["a(b)", "a;b", "a<b", "%00", "a b", "%C3%A4", &"a".repeat(65)] {
            assert_eq!(Transport::Jsonp.carrier(&format!("c={bad}")), Err(BadCallback::Invalid), "{bad}");
        }
    }

    #[test]
    fn a_message_cannot_leave_its_script() {
        let evil = carrier(Transport::HtmlFile).wrap(br#"a["</script><script>alert(1)//"]"#);
        assert_eq!(std::str::from_utf8(&evil).unwrap().matches("</script>").count(), 1);
    }
}
