//! Places in a log of channel messages: the ids of a Redis stream's entries.

use std::{fmt, str::FromStr};

/// `<milliseconds>-<n>`, both numbers; ordered as the log is. The default is the place before the first entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    pub ms: u64,
    pub n: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is two numbers, as in 1700000000000-0")]
pub struct InvalidLogId;

impl FromStr for LogId {
    type Err = InvalidLogId;

    fn from_str(text: &str) -> Result<Self, InvalidLogId> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            if digits { text.parse().map_err(|_| InvalidLogId) } else { Err(InvalidLogId) }
        };
        let (ms, n) = text.split_once('-').ok_or(InvalidLogId)?;
        Ok(Self { ms: number(ms)?, n: number(n)? })
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_written_and_compared_as_numbers() {
        let id = |text: &str| text.parse::<LogId>().unwrap();
        assert_eq!(id("1700-3").to_string(), "1700-3");
        assert!(id("9-0") < id("10-0") && id("10-9") < id("10-10") && LogId::default() < id("0-1"));
        for bad in ["", "1", "-", "1-", "+1-0", "1-0-0", "a-0", "99999999999999999999999-0"] {
            assert!(bad.parse::<LogId>().is_err(), "{bad}");
        }
    }
}
