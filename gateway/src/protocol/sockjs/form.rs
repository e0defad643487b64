//! `application/x-www-form-urlencoded`, as far as SockJS uses it: the callback in a query, the messages in a form.

/// The decoded value of the first pair of this name. Broken escapes stand for themselves, as browsers read them.
pub fn value(pairs: &[u8], name: &str) -> Option<Vec<u8>> {
    pairs.split(|byte| *byte == b'&').find_map(|pair| {
        let end = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (key, value) = pair.split_at(end);
        (decode(key) == name.as_bytes()).then(|| decode(value.get(1..).unwrap_or_default()))
    })
}

fn decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'+', _) => out.push(b' '),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    out.push(high << 4 | low);
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            _ => out.push(*byte),
        }
    }
    out
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_value_of_the_name_is_decoded() {
        assert_eq!(value(b"t=1&c=%63all+back&c=x", "c").unwrap(), b"call back");
        assert_eq!(value(b"%64=%5B%22x%22%5D", "d").unwrap(), br#"["x"]"#);
        assert_eq!(value(b"d", "d").unwrap(), b"");
        assert_eq!(value(b"p=p", "d"), None);
        assert_eq!(value(b"", "d"), None);
        assert_eq!(value(b"d=%zz%4", "d").unwrap(), b"%zz%4");
    }

    proptest! {
        #[test]
        fn anything_encoded_is_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let encoded = bytes.iter().fold(String::new(), |text, byte| format!("{text}%{byte:02X}"));
            prop_assert_eq!(value(format!("a=1&d={encoded}&b").as_bytes(), "d"), Some(bytes));
        }
    }
}
