//! Command and headers: finding where they end, and reading them once they are complete.

use super::{
    super::{
        escape,
        frame::{Command, Headers, Version},
    },
    Limits, Malformed,
};

/// Looks for the blank line, and checks on the way what can be checked before it.
#[derive(Debug, Default)]
pub(super) struct Scan {
    line_start: usize,
    /// Bytes looked at.
    at: usize,
    /// Lines complete, the command's among them.
    lines: usize,
}

impl Scan {
    /// `bytes` begins with the frame and has at least the bytes of the call before. Returns the length of the head with
    /// its blank line. Every check is made where it fails first, so that the answer does not depend on how the bytes came.
    pub(super) fn find_end(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Malformed> {
        loop {
            let found =
                bytes[self.at..].iter().position(|byte| matches!(byte, b'\n' | 0)).map(|offset| self.at + offset);
            let end = found.unwrap_or(bytes.len());
            let line = &bytes[self.line_start..end];
            if self.lines == 0 && line.len() > Command::LONGEST + 1 {
                return Err(unknown_command(line));
            }
            self.check_length(end, limits)?;
            self.at = end;
            let Some(end) = found else { return Ok(None) };
            if bytes[end] == 0 {
                return Err(Malformed::EndInHead);
            }
            let line = without_cr(line);
            if line.is_empty() {
                return Ok(Some(end + 1));
            }
            if self.lines == 0 && Command::parse(line).is_none() {
                return Err(unknown_command(line));
            }
            if self.lines > limits.headers {
                return Err(Malformed::Headers(limits.headers));
            }
            self.lines += 1;
            self.at = end + 1;
            self.line_start = self.at;
        }
    }

    fn check_length(&self, end: usize, limits: &Limits) -> Result<(), Malformed> {
        let line_end = self.line_start + limits.line_bytes;
        if end > line_end.min(limits.head_bytes) {
            return Err(if line_end < limits.head_bytes {
                Malformed::Line(limits.line_bytes)
            } else {
                Malformed::HeadBytes(limits.head_bytes)
            });
        }
        Ok(())
    }
}

/// At most as many bytes as were certainly there when the command could no longer be one.
fn unknown_command(line: &[u8]) -> Malformed {
    let shown = &line[..line.len().min(Command::LONGEST + 2)];
    Malformed::Command(String::from_utf8_lossy(shown).into_owned())
}

/// CRLF ends a line in 1.2. It does so here in every version, as other brokers do: a value of 1.0 or 1.1 that was meant
/// to end with CR is not known in the wild, clients that write CRLF are.
fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What comes before the body.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) command: Command,
    pub(super) headers: Headers,
    /// Within the limits.
    pub(super) content_length: Option<usize>,
}

impl Head {
    /// `bytes` is what [`Scan`] found.
    pub(super) fn parse(bytes: &[u8], version: Version, limits: &Limits) -> Result<Self, Malformed> {
        let text = simdutf8::basic::from_utf8(bytes).map_err(|_| Malformed::NotUtf8)?;
        let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line));
        let command = lines.next().unwrap_or_default();
        let command = Command::parse(command.as_bytes()).ok_or_else(|| unknown_command(command.as_bytes()))?;
        // CONNECT is never escaped, so that it reads the same in every version
        let version = if command.is_connect() { Version::V1_0 } else { version };
        let mut headers = Headers::with_capacity(bytes.len() / 16, bytes.len());
        let (mut name, mut value) = (String::new(), String::new());
        for (number, line) in lines.take_while(|line| !line.is_empty()).enumerate().map(|(at, line)| (at + 1, line)) {
            if version == Version::V1_2 && line.contains('\r') {
                return Err(Malformed::CarriageReturn(number));
            }
            let (raw_name, raw_value) =
                line.split_once(':').filter(|(name, _)| !name.is_empty()).ok_or(Malformed::NoColon(number))?;
            if raw_name.contains('\\') || raw_value.contains('\\') {
                name.clear();
                value.clear();
                escape::take(&mut name, version, raw_name).map_err(|_| Malformed::Escape(number))?;
                escape::take(&mut value, version, raw_value).map_err(|_| Malformed::Escape(number))?;
                headers.push(&name, &value);
            } else {
                headers.push(raw_name, raw_value);
            }
        }
        let content_length = headers.get("content-length").map(parse_length).transpose()?;
        let head = Self { command, headers, content_length };
        match content_length {
            Some(length) if length > head.body_limit(limits) => Err(head.body_too_long(limits)),
            _ => Ok(head),
        }
    }

    pub(super) fn body_limit(&self, limits: &Limits) -> usize {
        if self.command.may_have_body() { limits.body_bytes } else { 0 }
    }

    pub(super) fn body_too_long(&self, limits: &Limits) -> Malformed {
        if self.command.may_have_body() {
            Malformed::BodyBytes(limits.body_bytes)
        } else {
            Malformed::Body(self.command)
        }
    }
}

/// A number too large for this machine is as good as the largest: both are over the limit.
fn parse_length(text: &str) -> Result<usize, Malformed> {
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Malformed::ContentLength);
    }
    Ok(digits.parse().unwrap_or(usize::MAX))
}
