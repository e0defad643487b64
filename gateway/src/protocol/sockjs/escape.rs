//! Text as the inside of a JSON string that survives every browser.
//!
//! Beside what JSON wants escaped, some characters are changed or lost on their way through old browsers, or end a line
//! of JavaScript: the document's section "JSON Unicode Encoding" lists those a server must escape.

/// Bytes that stand for themselves, wherever they are.
const PLAIN: [bool; 256] = {
    let mut plain = [true; 256];
    let mut byte = 0;
    while byte < 0x20 {
        plain[byte] = false;
        byte += 1;
    }
    plain[b'"' as usize] = false;
    plain[b'\\' as usize] = false;
    // how U+2000 to U+2FFF and U+F000 to U+FFFF begin in UTF-8
    plain[0xe2] = false;
    plain[0xef] = false;
    plain
};

/// Appends `text`, escaped and without quotes. Escaping works character by character: what was escaped in parts may be
/// put together.
pub fn escape(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len());
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(plain) = bytes[at..].iter().position(|byte| !PLAIN[usize::from(*byte)]) {
        out.extend_from_slice(&bytes[at..at + plain]);
        at += plain;
        match bytes[at..] {
            // U+200C to U+200F, U+2028 to U+202F
            [0xe2, 0x80, last @ (0x8c..=0x8f | 0xa8..=0xaf), ..] => {
                escape_unit(0x2000 | u16::from(last & 0x3f), out);
                at += 3;
            }
            // U+2060 to U+206F
            [0xe2, 0x81, last @ 0xa0..=0xaf, ..] => {
                escape_unit(0x2040 | u16::from(last & 0x3f), out);
                at += 3;
            }
            // U+FFF0 to U+FFFF
            [0xef, 0xbf, last @ 0xb0..=0xbf, ..] => {
                escape_unit(0xffc0 | u16::from(last & 0x3f), out);
                at += 3;
            }
            [byte, ..] => {
                match byte {
                    b'"' => out.extend_from_slice(b"\\\""),
                    b'\\' => out.extend_from_slice(b"\\\\"),
                    b'\n' => out.extend_from_slice(b"\\n"),
                    b'\r' => out.extend_from_slice(b"\\r"),
                    b'\t' => out.extend_from_slice(b"\\t"),
                    0..=0x1f => escape_unit(u16::from(byte), out),
                    _ => out.push(byte),
                }
                at += 1;
            }
            [] => return,
        }
    }
    out.extend_from_slice(&bytes[at..]);
}

/// Appends ASCII that is already a SockJS frame as the inside of a string literal of JavaScript, for the transports that
/// carry a frame in a script.
///
/// Beyond JSON's escapes no `<` remains: in the page of the htmlfile transport `</script>` in a message would end the
/// script, and what follows would be markup.
pub(super) fn escape_in_script(frame: &[u8], out: &mut Vec<u8>) {
    out.reserve(frame.len() + frame.len() / 8);
    for byte in frame {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'<' => escape_unit(u16::from(b'<'), out),
            _ => out.push(*byte),
        }
    }
}

fn escape_unit(unit: u16, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\u");
    out.extend([12, 8, 4, 0].map(|shift| HEX[usize::from(unit >> shift & 0xf)]));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(text: &str) -> String {
        let mut out = Vec::new();
        escape(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    fn unescaped(inside: &str) -> String {
        serde_json::from_str(&format!("\"{inside}\"")).unwrap()
    }

    /// The document's `escapable_by_server`.
    fn must_be_escaped(unit: u32) -> bool {
        matches!(unit, 0..=0x1f | 0x200c..=0x200f | 0x2028..=0x202f | 0x2060..=0x206f | 0xfff0..=0xffff)
    }

    #[test]
    fn exactly_what_must_be_escaped_is() {
        for character in (0..=0x1_ffff).filter_map(char::from_u32) {
            let code = u32::from(character);
            let got = escaped(&character.to_string());
            match character {
                '"' | '\\' => assert_eq!(got, format!("\\{character}")),
                '\n' | '\r' | '\t' => assert_eq!(got.len(), 2),
                _ if must_be_escaped(code) => assert_eq!(got, format!("\\u{code:04x}")),
                _ => assert_eq!(got, character.to_string()),
            }
            assert_eq!(unescaped(&got), character.to_string());
        }
    }

    #[test]
    fn a_frame_in_a_script_cannot_end_it() {
        let mut out = Vec::new();
        escape_in_script(br#"a["</script><!-- \u2028"]"#, &mut out);
        assert_eq!(out, br#"a[\"\u003c/script>\u003c!-- \\u2028\"]"#);
    }

    proptest! {
        #[test]
        fn what_comes_out_reads_as_what_went_in(text in any::<String>()) {
            prop_assert_eq!(unescaped(&escaped(&text)), text);
        }

        #[test]
        fn parts_go_together(left in any::<String>(), right in any::<String>()) {
            prop_assert_eq!(escaped(&left) + &escaped(&right), escaped(&(left + &right)));
        }

        #[test]
        fn a_script_reads_the_frame_it_carries(text in "[\\x00-\\u{ffff}]*") {
            let frame = escaped(&text);
            let mut out = Vec::new();
            escape_in_script(frame.as_bytes(), &mut out);
            let literal = String::from_utf8(out).unwrap();
            prop_assert!(!literal.contains('<'));
            prop_assert_eq!(unescaped(&literal), frame);
        }
    }
}
