//! What clients send: JSON strings, an array of them in a request's body, or one by one over WebSocket.

use super::form;

/// Most messages in one payload. Clients put everything that waits into their next request.
pub const MAX_MESSAGES: usize = 8192;

/// Nothing in the payload can be used; the texts are those the document wants in the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error("Payload expected.")]
    Empty,
    #[error("Broken JSON encoding.")]
    Json,
    #[error("Too many messages in one payload.")]
    TooMany,
}

/// The messages of an `xhr_send` request, or of a `jsonp_send` that is no form.
pub fn post(body: &[u8]) -> Result<Vec<String>, Broken> {
    if body.is_empty() {
        return Err(Broken::Empty);
    }
    array(std::str::from_utf8(body).map_err(|_| Broken::Json)?)
}

/// The messages of a form, which a `jsonp_send` is: the field `d`.
pub fn form(body: &[u8]) -> Result<Vec<String>, Broken> {
    post(&form::value(body, "d").unwrap_or_default())
}

/// The messages of one WebSocket text message: an array, or a single one. An empty text is none.
pub fn websocket(text: &str) -> Result<Vec<String>, Broken> {
    let json = text.trim_start_matches([' ', '\t', '\r', '\n']);
    match json.as_bytes().first() {
        None => Ok(Vec::new()),
        Some(b'[') => array(json),
        Some(_) => Ok(vec![parse(json)?]),
    }
}

fn array(json: &str) -> Result<Vec<String>, Broken> {
    let messages: Vec<String> = parse(json)?;
    if messages.len() > MAX_MESSAGES { Err(Broken::TooMany) } else { Ok(messages) }
}

/// A browser's strings may hold half a surrogate pair, where a text was cut. A browser's own WebSocket replaces such
/// halves with U+FFFD before it sends; SockJS clients escape them, and get the same.
fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Broken> {
    serde_json::from_str(json)
        .or_else(|error| {
            let whole = without_lone_surrogates(json);
            whole.map_or(Err(error), |whole| serde_json::from_str(&whole))
        })
        .map_err(|_| Broken::Json)
}

/// `None`: there are none.
fn without_lone_surrogates(json: &str) -> Option<String> {
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(found) = json[at..].find('\\') {
        at += found;
        match (surrogate(&json[at..]), json.get(at + 6..).and_then(surrogate)) {
            (Some(Half::High), Some(Half::Low)) => at += 12,
            (Some(_), _) => {
                out.push_str(&json[copied..at]);
                out.push_str("\\ufffd");
                at += 6;
                copied = at;
            }
            // past the backslash and what it escapes, which may be a backslash; a longer escape has none in its rest
            (None, _) => at += 1 + json[at + 1..].chars().next().map_or(0, char::len_utf8),
        }
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&json[copied..]);
    Some(out)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Half {
    High,
    Low,
}

/// The escaped surrogate that the text begins with.
fn surrogate(text: &str) -> Option<Half> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16) {
        Ok(0xd800..=0xdbff) => Some(Half::High),
        Ok(0xdc00..=0xdfff) => Some(Half::Low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_body_is_an_array_of_strings() {
        assert_eq!(post(br#"["a"]"#).unwrap(), ["a"]);
        assert_eq!(post(br#" [ "a" , "b" ] "#).unwrap(), ["a", "b"]);
        assert!(post(b"[]").unwrap().is_empty());
        assert_eq!(post(b""), Err(Broken::Empty));
        for broken in ["[\"x", "\"a\"", "[1]", "[\"a\"]x", "[\"\n\"]", "null", "{}", "[null]"] {
            assert_eq!(post(broken.as_bytes()), Err(Broken::Json), "{broken}");
        }
        assert_eq!(post(b"[\"\xff\"]"), Err(Broken::Json));
        let many = format!("[{}\"\"]", "\"\",".repeat(MAX_MESSAGES));
        assert_eq!(post(many.as_bytes()), Err(Broken::TooMany));
    }

    #[test]
    fn a_form_has_them_in_its_field() {
        assert_eq!(form(b"d=%5B%22x%22%5D").unwrap(), ["x"]);
        assert_eq!(form(b"d=[%22a+b%22]").unwrap(), ["a b"]);
        assert_eq!(form(b"d=%5B%22x"), Err(Broken::Json));
        for empty in ["", "d=", "p=p"] {
            assert_eq!(form(empty.as_bytes()), Err(Broken::Empty), "{empty}");
        }
    }

    #[test]
    fn a_websocket_message_may_be_one_string() {
        assert_eq!(websocket(r#"["a","b"]"#).unwrap(), ["a", "b"]);
        assert_eq!(websocket(r#""a""#).unwrap(), ["a"]);
        assert!(websocket("").unwrap().is_empty());
        assert_eq!(websocket("[\"a"), Err(Broken::Json));
        assert_eq!(websocket("a"), Err(Broken::Json));
    }

    #[test]
    fn half_a_surrogate_pair_is_replaced_and_a_whole_one_read() {
        assert_eq!(post(br#"["\ud83d\ude00"]"#).unwrap(), ["\u{1f600}"]);
        assert_eq!(
            post(br#"["a\ud83d","\uDE00\ud83d\ud83d\ude00"]"#).unwrap(),
            ["a\u{fffd}", "\u{fffd}\u{fffd}\u{1f600}"]
        );
        assert_eq!(
            post(br#"["\\ud83d","\ud83d"]"#).unwrap(),
            ["\\ud83d", "\u{fffd}"],
            "an escaped backslash escapes nothing"
        );
        assert_eq!(post(br#"["\ud83d\"#), Err(Broken::Json));
        assert_eq!(post("[\"\\ud83d\\é\"]".as_bytes()), Err(Broken::Json));
    }

    proptest! {
        #[test]
        fn strings_come_out_as_they_went_in(texts in proptest::collection::vec(any::<String>(), 0..5)) {
            let json = serde_json::to_vec(&texts).unwrap();
            prop_assert_eq!(post(&json).unwrap(), texts);
        }

        /// As a browser escapes them: UTF-16 unit by unit, whole pairs or not.
        #[test]
        fn utf16_units_come_out_as_a_browser_would_send_them(units in proptest::collection::vec(
            prop_oneof![any::<u16>(), 0xd7f0_u16..0xe010], 0..20,
        )) {
            let inside = units.iter().fold(String::new(), |text, unit| format!("{text}\\u{unit:04X}"));
            prop_assert_eq!(post(format!("[\"{inside}\"]").as_bytes()).unwrap(), [String::from_utf16_lossy(&units)]);
        }

        #[test]
        fn no_payload_makes_it_panic(text in "[\\\\\"\\[\\],ud8fFé0-9a]*") {
            let _ = post(text.as_bytes());
            let _ = websocket(&text);
        }
    }
}
