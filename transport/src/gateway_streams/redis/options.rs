//! How to reach Redis, as settings.

use std::{path::PathBuf, str::FromStr};

use chatcluster_contracts::redis_keys::{Keys, STREAM_MAX_LENGTH};
use chatcluster_service::config::Secret;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, TlsCertificates};

use super::super::StreamError;

/// Flatten into the options of a service.
#[derive(Debug, Clone, clap::Args)]
pub struct RedisOptions {
    /// Redis 6.2 or later: redis://[user:password@]host:port[/db], or rediss:// for TLS
    #[arg(long, env = "CHATCLUSTER_REDIS_URL", default_value = "redis://127.0.0.1:6379", hide_env_values = true)]
    pub redis_url: Secret,
    /// In front of every key and channel, to set several clusters on one Redis apart
    #[arg(long, env = "CHATCLUSTER_REDIS_PREFIX", default_value = "")]
    pub redis_prefix: String,
    /// User name, instead of the one in the URL
    #[arg(long, env = "CHATCLUSTER_REDIS_USERNAME")]
    pub redis_username: Option<String>,
    /// Password, instead of the one in the URL
    #[arg(long, env = "CHATCLUSTER_REDIS_PASSWORD", hide_env_values = true)]
    pub redis_password: Option<Secret>,
    /// PEM file of the authorities that sign the server's certificate; default: those of the system
    #[arg(long, env = "CHATCLUSTER_REDIS_CA_FILE", value_name = "FILE")]
    pub redis_ca_file: Option<PathBuf>,
    /// Each gateway's stream keeps about so many entries; a gateway that falls further behind asks core instead
    #[arg(long, env = "CHATCLUSTER_REDIS_STREAM_MAX_LENGTH", default_value_t = STREAM_MAX_LENGTH, value_name = "ENTRIES",
          value_parser = clap::value_parser!(u64).range(100..))]
    pub redis_stream_max_length: u64,
}

impl RedisOptions {
    /// Everything else at its default.
    pub fn at(url: &str) -> Self {
        Self {
            redis_url: Secret::from_str(url).unwrap_or_default(),
            redis_prefix: String::new(),
            redis_username: None,
            redis_password: None,
            redis_ca_file: None,
            redis_stream_max_length: STREAM_MAX_LENGTH,
        }
    }

    pub fn keys(&self) -> Keys {
        Keys::with_prefix(&self.redis_prefix)
    }

    pub(super) fn client(&self) -> Result<Client, StreamError> {
        // The crate's own message may quote the URL, and with it the password.
        let refused = |what: &str| StreamError::Refused(what.to_owned());
        let info: ConnectionInfo =
            self.redis_url.expose().into_connection_info().map_err(|_| refused("the redis url is not valid"))?;
        let mut settings = info.redis_settings().clone();
        if let Some(username) = &self.redis_username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.redis_password {
            settings = settings.set_password(password.expose());
        }
        let info = info.set_redis_settings(settings);
        match &self.redis_ca_file {
            None => Client::open(info).map_err(|_| refused("the redis url is not valid")),
            Some(file) => {
                let root_cert = std::fs::read(file)
                    .map_err(|error| refused(&format!("the redis ca file {}: {error}", file.display())))?;
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
                    .map_err(|error| refused(&format!("the redis ca file: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_neither_printed_nor_quoted_in_errors() {
        let options =
            RedisOptions { redis_password: Some("hidden".parse().unwrap()), ..RedisOptions::at("nonsense:x@y") };
        assert!(!format!("{options:?}").contains("hidden"));
        let error = options.client().unwrap_err().to_string();
        assert!(!error.contains("x@y"), "{error}");
        let options = RedisOptions { redis_username: Some("u".into()), ..RedisOptions::at("redis://a:b@h:1/2") };
        let client = options.client().unwrap();
        let settings = client.get_connection_info().redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("u"), Some("b"), 2));
    }
}
