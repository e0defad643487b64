//! The page that old browsers load in a hidden frame to reach this origin (section "`IFrame` page").

use std::fmt::Write;

use sha1::{Digest, Sha1};

/// Where the page takes the client from. Both sides of a frame must run the same version of it.
pub const CLIENT_URL: &str = "https://cdn.jsdelivr.net/npm/sockjs-client@1.6.1/dist/sockjs.min.js";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    pub html: String,
    /// Quoted, for the headers `ETag` and `If-None-Match`.
    pub etag: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the URL of the SockJS client must begin with http://, https:// or / and need no escaping: {0:?}")]
pub struct BadClientUrl(String);

impl Page {
    /// `client_url` is the script's; it stands in the page as it is.
    pub fn new(client_url: &str) -> Result<Self, BadClientUrl> {
        let absolute = ["http://", "https://", "/"].iter().any(|start| client_url.starts_with(start));
        let plain =
            client_url.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>' | b'&'));
        if !absolute || !plain {
            return Err(BadClientUrl(client_url.to_owned()));
        }
        // the tests of the document compare it letter by letter
        let html = format!(
            r#"<!DOCTYPE html>
<html>
<head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
  <script>
    document.domain = document.domain;
    _sockjs_onload = function(){{SockJS.bootstrap_iframe();}};
  </script>
  <script src="{client_url}"></script>
</head>
<body>
  <h2>Don't panic!</h2>
  <p>This is a SockJS hidden iframe. It's used for cross domain magic.</p>
</body>
</html>
"#
        );
        let mut etag = String::from("\"");
        for byte in &Sha1::digest(&html)[..8] {
            let _ = write!(etag, "{byte:02x}");
        }
        etag.push('"');
        Ok(Self { html, etag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_names_its_content_in_its_tag() {
        let page = Page::new(CLIENT_URL).unwrap();
        assert!(page.html.contains(&format!("  <script src=\"{CLIENT_URL}\"></script>\n")));
        assert_eq!(page, Page::new(CLIENT_URL).unwrap());
        assert_ne!(page.etag, Page::new("/sockjs.js").unwrap().etag);
        assert_eq!(page.etag.len(), 18);
    }

    #[test]
    fn a_url_cannot_leave_its_attribute() {
        for bad in ["x.js", "javascript:x", "/\"></script>", "/a b", "/<"] {
            assert!(Page::new(bad).is_err(), "{bad}");
        }
    }
}
