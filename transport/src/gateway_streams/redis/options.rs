//! How to reach Redis, as settings.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use chatcluster_contracts::redis_keys::{Keys, STREAM_MAX_LENGTH};
use chatcluster_service::config::Secret;
use redis::{Client, ConnectionInfo, IntoConnectionInfo, TlsCertificates};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use super::{
    super::StreamError,
    connection::{ClusterWay, Server},
};

/// What stands behind the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RedisMode {
    /// One server, or one that a name leads to
    Standalone,
    /// Any server of a Redis Cluster
    Cluster,
}

/// Flatten into the options of a service.
#[derive(Debug, Clone, clap::Args)]
pub struct RedisOptions {
    /// Redis 6.2 or later: redis://[user:password@]host:port[/db], or rediss:// for TLS
    #[arg(long, env = "CHATCLUSTER_REDIS_URL", default_value = "redis://127.0.0.1:6379", hide_env_values = true)]
    pub redis_url: Secret,
    /// What the URL leads to
    #[arg(long, env = "CHATCLUSTER_REDIS_MODE", default_value = "standalone")]
    pub redis_mode: RedisMode,
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
            redis_mode: RedisMode::Standalone,
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

    pub(super) fn server(&self) -> Result<Server, StreamError> {
        let info = self.connection_info()?;
        let certificates = self.redis_ca_file.as_deref().map(authorities).transpose()?;
        if self.redis_mode == RedisMode::Cluster {
            return Ok(Server::Cluster(Box::new(ClusterWay::new(info, certificates)?)));
        }
        let client = match certificates {
            None => Client::open(info).map_err(|_| refused("the redis url is not valid"))?,
            Some(certificates) => Client::build_with_tls(info, certificates)
                .map_err(|error| refused(&format!("the redis ca file: {error}")))?,
        };
        Ok(Server::Standalone(Box::new(client)))
    }

    fn connection_info(&self) -> Result<ConnectionInfo, StreamError> {
        // The crate's own message may quote the URL, and with it the password.
        let info: ConnectionInfo =
            self.redis_url.expose().into_connection_info().map_err(|_| refused("the redis url is not valid"))?;
        let mut settings = info.redis_settings().clone();
        if let Some(username) = &self.redis_username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &self.redis_password {
            settings = settings.set_password(password.expose());
        }
        Ok(info.set_redis_settings(settings))
    }
}

/// Refuses a file in which there is no certificate, or a damaged one: the crate would take it and then trust nobody.
fn authorities(file: &Path) -> Result<TlsCertificates, StreamError> {
    let pem =
        std::fs::read(file).map_err(|error| refused(&format!("the redis ca file {}: {error}", file.display())))?;
    let mut found = CertificateDer::pem_slice_iter(&pem).peekable();
    if found.peek().is_none() || found.any(|certificate| certificate.is_err()) {
        return Err(refused(&format!("the redis ca file {} is not a list of certificates in PEM", file.display())));
    }
    Ok(TlsCertificates { client_tls: None, root_cert: Some(pem) })
}

fn refused(what: &str) -> StreamError {
    StreamError::Refused(what.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_neither_printed_nor_quoted_in_errors() {
        let options =
            RedisOptions { redis_password: Some("hidden".parse().unwrap()), ..RedisOptions::at("nonsense:x@y") };
        assert!(!format!("{options:?}").contains("hidden"));
        let error = options.server().err().unwrap().to_string();
        assert!(!error.contains("x@y"), "{error}");
        let options = RedisOptions { redis_username: Some("u".into()), ..RedisOptions::at("redis://a:b@h:1/2") };
        let info = options.connection_info().unwrap();
        let settings = info.redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("u"), Some("b"), 2));
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let damaged = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        for text in ["", "geheim", damaged] {
            std::fs::write(&file, text).unwrap();
            for redis_mode in [RedisMode::Standalone, RedisMode::Cluster] {
                let at = RedisOptions::at("rediss://h");
                let options = RedisOptions { redis_mode, redis_ca_file: Some(file.clone()), ..at };
                let error = options.server().err().unwrap().to_string();
                assert!(error.contains("ca.pem is not a list of certificates"), "{error}");
            }
        }
    }

    #[test]
    fn a_cluster_has_neither_sockets_nor_databases() {
        for url in ["redis+unix:///tmp/s", "redis://h/2"] {
            let options = RedisOptions { redis_mode: RedisMode::Cluster, ..RedisOptions::at(url) };
            assert!(matches!(options.server(), Err(StreamError::Refused(_))), "{url}");
        }
    }
}
