//! The info document: what a client asks before it chooses a transport (section "Info test").

use super::route::Base;

/// `entropy` is an unpredictable number, for browsers that have none of their own.
///
/// `origins` says the same everywhere, as the document wants: clients ignore it, and who may connect is said by CORS.
pub fn document(base: &Base, entropy: u32) -> String {
    let (websocket, cookie) = (base.websocket, base.cookie);
    format!(r#"{{"websocket":{websocket},"cookie_needed":{cookie},"origins":["*:*"],"entropy":{entropy}}}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_the_service_can() {
        let base = Base::new("/x").without_websocket().with_cookie();
        let read: serde_json::Value = serde_json::from_str(&document(&base, u32::MAX)).unwrap();
        let expected = serde_json::json!({
            "websocket": false, "cookie_needed": true, "origins": ["*:*"], "entropy": u32::MAX,
        });
        assert_eq!(read, expected);
    }
}
