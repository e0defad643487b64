//! The demo page, built into the binary.

use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
    routing::get,
};

/// No inline script or style, nothing from elsewhere, no frames: whatever people write can only ever be text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self' ws: wss:; \
                      img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        const FILES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../page/", $name)))),*];
    };
}

files!(
    "index.html",
    "style.css",
    "api.js",
    "app.js",
    "client/backoff.js",
    "client/client.js",
    "client/clock.js",
    "client/connection.js",
    "client/cursors.js",
    "client/draft.js",
    "client/errors.js",
    "client/frames.js",
    "client/index.js",
    "client/intake.js",
    "client/lanes.js",
    "client/lifeline.js",
    "client/listeners.js",
    "client/options.js",
    "client/outbox.js",
    "client/persistence.js",
    "client/receipts.js",
    "client/rooms.js",
    "client/sender.js",
    "client/surroundings.js",
    "client/typing.js",
    "dom.js",
    "history.js",
    "outbox.js",
    "rows.js",
    "sending.js",
    "session.js",
    "signals.js",
    "status.js",
    "store.js",
    "text.js",
    "timers.js",
    "view-auth.js",
    "view-chat.js",
    "view-dialogs.js",
    "view-list.js",
    "view-timeline.js",
);

pub(crate) fn router() -> Router {
    FILES.iter().fold(Router::new(), |router, (name, content)| {
        let path = if *name == "index.html" { "/".to_owned() } else { format!("/{name}") };
        let content_type = match name.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "text/javascript; charset=utf-8",
        };
        let headers = [
            (CONTENT_TYPE, content_type),
            (CONTENT_SECURITY_POLICY, POLICY),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-cache"),
        ];
        router.route(&path, get(move || async move { (headers, *content) }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/page");
        let mut on_disk: Vec<String> = [("", ""), ("/client", "client/")]
            .into_iter()
            .flat_map(|(folder, prefix)| {
                let files = std::fs::read_dir(format!("{page}{folder}")).unwrap();
                files.map(move |entry| format!("{prefix}{}", entry.unwrap().file_name().to_str().unwrap()))
            })
            .filter(|name| [".html", ".css", ".js"].iter().any(|end| name.ends_with(end)))
            .collect();
        on_disk.sort();
        let mut served: Vec<&str> = FILES.iter().map(|(name, _)| *name).collect();
        served.sort_unstable();
        assert_eq!(served, on_disk);
    }

    #[test]
    fn the_page_keeps_to_its_policy() {
        let index = FILES.iter().find(|(name, _)| *name == "index.html").unwrap().1;
        assert!(!index.contains("style=\"") && !index.contains(" onclick") && !index.contains("<style"));
        assert_eq!(index.matches("<script").count(), 1, "one module, no inline script");
    }
}
