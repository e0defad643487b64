//! Times on the wire.

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// RFC 3339 in UTC with milliseconds: `2025-11-11T22:30:00.000Z`.
pub fn format(timestamp: Timestamp) -> String {
    timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// RFC 3339, or the same without an offset, which then means UTC (`seeds/kafka-integration-guide.md` writes it so).
pub fn parse(text: &str) -> Result<Timestamp, jiff::Error> {
    text.parse::<Timestamp>()
        .or_else(|_| text.parse::<DateTime>()?.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()))
}

/// serde for `DateTime` text fields: writes [`format`], reads [`parse`].
pub mod text {
    use jiff::Timestamp;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(timestamp: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::format(*timestamp))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        super::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn both_documented_forms_mean_the_same_instant() {
        let bare = super::parse("2025-11-11T22:30:00").unwrap();
        assert_eq!(bare, super::parse("2025-11-11T22:30:00Z").unwrap());
        assert_eq!(bare, super::parse("2025-11-12T00:30:00+02:00").unwrap());
        assert_eq!(super::format(bare), "2025-11-11T22:30:00.000Z");
    }
}
