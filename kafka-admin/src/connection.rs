//! How to reach the brokers, and the librdkafka properties it means.

use std::{fmt, str::FromStr, time::Duration};

use rdkafka::ClientConfig;

/// Equal options mean one client: they may be the key of a cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectionOptions {
    /// `host:port`, separated by commas.
    pub bootstrap_servers: String,
    pub security: Security,
    pub sasl: Option<Sasl>,
    /// No request takes longer than this and a second.
    pub timeout: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Security {
    Plaintext,
    /// `ca_pem`: the authorities that sign the brokers' certificates, in PEM; without them those of the system.
    Tls {
        ca_pem: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Sasl {
    pub mechanism: Mechanism,
    pub username: String,
    pub password: Password,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mechanism {
    Plain,
    ScramSha256,
    ScramSha512,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0} is none of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512")]
pub struct UnknownMechanism(String);

impl Mechanism {
    const ALL: [Self; 3] = [Self::Plain, Self::ScramSha256, Self::ScramSha512];

    /// Kafka's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

impl FromStr for Mechanism {
    type Err = UnknownMechanism;

    /// Kafka's name, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownMechanism> {
        let found = Self::ALL.into_iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(text));
        found.ok_or_else(|| UnknownMechanism(text.to_owned()))
    }
}

/// Prints as `***`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Password(String);

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl ConnectionOptions {
    /// Neither encrypted nor authenticated.
    pub fn plaintext(bootstrap_servers: &str, timeout: Duration) -> Self {
        Self { bootstrap_servers: bootstrap_servers.to_owned(), security: Security::Plaintext, sasl: None, timeout }
    }

    pub(crate) fn properties(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        let protocol = match (&self.security, &self.sasl) {
            (Security::Plaintext, None) => "plaintext",
            (Security::Plaintext, Some(_)) => "sasl_plaintext",
            (Security::Tls { .. }, None) => "ssl",
            (Security::Tls { .. }, Some(_)) => "sasl_ssl",
        };
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "chatcluster-operator")
            .set("security.protocol", protocol)
            .set("socket.keepalive.enable", "true")
            .set("socket.connection.setup.timeout.ms", "5000")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000")
            // What is reported goes into the answers; nobody reads the log.
            .set("log_level", "3")
            .set("log.connection.close", "false")
            // An idle client asks for nothing.
            .set("topic.metadata.refresh.interval.ms", "-1");
        if let Security::Tls { ca_pem: Some(pem) } = &self.security {
            // Not a file: the authorities come from a Kubernetes object.
            config.set("ssl.ca.pem", pem);
        }
        if let Some(sasl) = &self.sasl {
            config
                .set("sasl.mechanism", sasl.mechanism.name())
                .set("sasl.username", &sasl.username)
                .set("sasl.password", &sasl.password.0);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn security_and_sasl_choose_the_protocol_and_the_password_is_not_printed() {
        let plain = ConnectionOptions::plaintext("k:9092", Duration::from_secs(1));
        assert_eq!(plain.properties().get("security.protocol"), Some("plaintext"));
        let sasl = Sasl { mechanism: Mechanism::ScramSha512, username: "op".to_owned(), password: "hidden".into() };
        let options = ConnectionOptions {
            security: Security::Tls { ca_pem: Some("PEM".to_owned()) },
            sasl: Some(sasl),
            ..plain.clone()
        };
        let properties = options.properties();
        assert_eq!(properties.get("security.protocol"), Some("sasl_ssl"));
        assert_eq!(properties.get("ssl.ca.pem"), Some("PEM"));
        assert_eq!(properties.get("sasl.password"), Some("hidden"));
        assert!(!format!("{options:?}").contains("hidden"));
        let protocol = |options: ConnectionOptions| options.properties().get("security.protocol").unwrap().to_owned();
        assert_eq!(protocol(ConnectionOptions { sasl: options.sasl.clone(), ..plain.clone() }), "sasl_plaintext");
        assert_eq!(protocol(ConnectionOptions { security: Security::Tls { ca_pem: None }, ..plain }), "ssl");
    }

    #[test]
    fn mechanisms_are_read_in_any_case() {
        assert_eq!("scram-sha-256".parse(), Ok(Mechanism::ScramSha256));
        assert!("GSSAPI".parse::<Mechanism>().is_err());
    }
}
