//! How header names and values are written on the wire, by version (chapter "Value Encoding").
//!
//! 1.2 escapes CR, LF, colon and backslash; 1.1 all of these but CR; 1.0 nothing. What a version cannot say, and NUL, which
//! none can, is sent as a space: a peer's text must never end a line or a frame of ours.

use bytes::BufMut;

use super::frame::Version;

const fn escape(version: Version, byte: u8) -> Option<&'static [u8]> {
    match (byte, version) {
        (b'\n', Version::V1_1 | Version::V1_2) => Some(b"\\n"),
        (b'\r', Version::V1_2) => Some(b"\\r"),
        (b':', Version::V1_1 | Version::V1_2) => Some(b"\\c"),
        (b'\\', Version::V1_1 | Version::V1_2) => Some(b"\\\\"),
        (b'\n' | b'\r' | 0, _) => Some(b" "),
        _ => None,
    }
}

/// True if `text` is the same on the wire in every version.
pub(super) fn is_plain(text: &str) -> bool {
    !text.bytes().any(|byte| matches!(byte, b'\n' | b'\r' | b':' | b'\\' | 0))
}

pub(super) fn put(out: &mut impl BufMut, version: Version, text: &str) {
    let mut rest = text.as_bytes();
    while let Some((at, escaped)) =
        rest.iter().enumerate().find_map(|(at, byte)| escape(version, *byte).map(|escaped| (at, escaped)))
    {
        out.put_slice(&rest[..at]);
        out.put_slice(escaped);
        rest = &rest[at + 1..];
    }
    out.put_slice(rest);
}

/// An escape that the version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Undefined;

/// Appends what `text` stands for.
pub(super) fn take(out: &mut String, version: Version, text: &str) -> Result<(), Undefined> {
    if version == Version::V1_0 {
        out.push_str(text);
        return Ok(());
    }
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut characters = escaped.chars();
        out.push(match characters.next() {
            Some('n') => '\n',
            Some('c') => ':',
            Some('\\') => '\\',
            Some('r') if version == Version::V1_2 => '\r',
            _ => return Err(Undefined),
        });
        rest = characters.as_str();
    }
    out.push_str(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(version: Version, text: &str) -> String {
        let mut out = Vec::new();
        put(&mut out, version, text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_version_escapes_what_it_can_and_never_ends_a_line() {
        let text = "a:b\nc\rd\\e\0";
        assert_eq!(written(Version::V1_2, text), "a\\cb\\nc\\rd\\\\e ");
        assert_eq!(written(Version::V1_1, text), "a\\cb\\nc d\\\\e ");
        assert_eq!(written(Version::V1_0, text), "a:b c d\\e ");
    }

    #[test]
    fn undefined_escapes_are_refused() {
        for bad in ["\\t", "tail\\", "\\ ", "\\ä", "\\N"] {
            assert_eq!(take(&mut String::new(), Version::V1_2, bad), Err(Undefined), "{bad:?}");
            assert_eq!(take(&mut String::new(), Version::V1_0, bad), Ok(()));
        }
        assert_eq!(take(&mut String::new(), Version::V1_1, "\\r"), Err(Undefined));
    }
}
