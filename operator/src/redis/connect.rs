//! Connections to a Redis or a Redis Cluster, with or without TLS.

use std::{fmt, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, IntoConnectionInfo, RedisError, ServerErrorKind,
    TlsCertificates, Value,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::client_cache::ClientCache;

/// To connect, and for each answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// For one command with all that the crate does about it: connecting, redirections, one more try.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// Commands on their way at the same time.
const AT_ONCE: usize = 64;

/// Equal options mean one connection.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ConnectionOptions {
    /// `redis://[user:password@]host:port[/db]`, or `rediss://` for TLS.
    pub url: String,
    /// Instead of those in the URL.
    pub username: Option<String>,
    pub password: Option<String>,
    /// The authorities that sign the server's certificate, in PEM; without them those of the system.
    pub ca_pem: Option<String>,
    /// The URL is that of any server of a Redis Cluster.
    pub cluster: bool,
}

impl fmt::Debug for ConnectionOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionOptions").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// Why a command had no effect. The texts hold no URL and no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Worth trying again later.
    #[error("redis is not available: {0}")]
    Unavailable(String),
    /// Refused until somebody changes something: URL, CA, password, ACL.
    #[error("redis refused: {0}")]
    Refused(String),
}

impl From<&RedisError> for Error {
    fn from(error: &RedisError) -> Self {
        let refused = match error.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => true,
            ErrorKind::Server(kind) => matches!(kind, ServerErrorKind::NoPerm),
            _ => matches!(error.code(), Some("WRONGTYPE" | "WRONGPASS" | "NOAUTH")),
        };
        if refused { Self::Refused(error.to_string()) } else { Self::Unavailable(error.to_string()) }
    }
}

/// One Redis. Connects when it is first asked, and again after trouble. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    shared: Arc<Shared>,
}

struct Shared {
    way: Way,
    slot: tokio::sync::Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    /// Counts connections, so that trouble with an old one does not drop its successor.
    generation: u64,
    link: Option<Link>,
}

enum Way {
    Single(Box<Client>),
    Cluster(Box<ClusterClient>),
}

#[derive(Clone)]
enum Link {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    /// Connects to nothing yet. Fails when the URL or the authorities are not valid.
    pub fn new(options: &ConnectionOptions) -> Result<Self, Error> {
        // The crate's own message may quote the URL, and with it the password.
        let invalid_url = |_| Error::Refused("the URL is not a redis:// or rediss:// URL".to_owned());
        let invalid_ca = || Error::Refused("the CA is not a PEM certificate that can be used".to_owned());
        let mut info: ConnectionInfo = options.url.as_str().into_connection_info().map_err(invalid_url)?;
        let mut settings = info.redis_settings().clone();
        if let Some(username) = &options.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &options.password {
            settings = settings.set_password(password);
        }
        info = info.set_redis_settings(settings);
        let trusted = |pem: &String| {
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem.as_bytes().to_vec()) };
            authorities(pem).then_some(certificates).ok_or_else(invalid_ca)
        };
        let certificates = options.ca_pem.as_ref().map(trusted).transpose()?;
        let way = if options.cluster {
            let builder = ClusterClientBuilder::new([info])
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(RESPONSE_TIMEOUT)
                .retries(1);
            let built = match certificates {
                None => builder.build().map_err(invalid_url)?,
                Some(certificates) => builder.certs(certificates).build().map_err(|_| invalid_ca())?,
            };
            Way::Cluster(Box::new(built))
        } else {
            Way::Single(match certificates {
                None => Box::new(Client::open(info).map_err(invalid_url)?),
                Some(certificates) => Box::new(Client::build_with_tls(info, certificates).map_err(|_| invalid_ca())?),
            })
        };
        Ok(Self { shared: Arc::new(Shared { way, slot: tokio::sync::Mutex::default() }) })
    }

    /// Sends a command. `Err` within is what the server thinks of it; a server that is away or forbids it is an error of
    /// the call.
    pub(super) async fn ask(&self, command: Cmd) -> Result<Result<Value, RedisError>, Error> {
        let (generation, link) = self.link().await?;
        let asking = async {
            match link {
                Link::Single(mut connection) => command.query_async(&mut connection).await,
                Link::Cluster(mut connection) => command.query_async(&mut connection).await,
            }
        };
        let trouble = match tokio::time::timeout(COMMAND_TIMEOUT, asking).await {
            Ok(Ok(answer)) => return Ok(Ok(answer)),
            Ok(Err(error)) if breaks_connection(&error) => Error::from(&error),
            Ok(Err(error)) => match Error::from(&error) {
                Error::Unavailable(_) => return Ok(Err(error)),
                refused @ Error::Refused(_) => return Err(refused),
            },
            Err(_) => Error::Unavailable("the server does not answer".to_owned()),
        };
        let mut slot = self.shared.slot.lock().await;
        if slot.generation == generation {
            slot.link = None;
        }
        Err(trouble)
    }

    /// Sends many commands at once; the answers come in their order.
    pub(super) async fn ask_all(&self, commands: Vec<Cmd>) -> Result<Vec<Result<Value, RedisError>>, Error> {
        let mut answers = Vec::with_capacity(commands.len());
        let mut asking = stream::iter(commands).map(|command| self.ask(command)).buffered(AT_ONCE);
        while let Some(answer) = asking.next().await {
            answers.push(answer?);
        }
        Ok(answers)
    }

    async fn link(&self) -> Result<(u64, Link), Error> {
        let mut slot = self.shared.slot.lock().await;
        if let Some(link) = &slot.link {
            return Ok((slot.generation, link.clone()));
        }
        let connecting = async {
            match &self.shared.way {
                Way::Single(client) => {
                    let config = AsyncConnectionConfig::new()
                        .set_connection_timeout(Some(CONNECT_TIMEOUT))
                        .set_response_timeout(Some(RESPONSE_TIMEOUT));
                    client.get_multiplexed_async_connection_with_config(&config).await.map(Link::Single)
                }
                Way::Cluster(client) => client.get_async_connection().await.map(Link::Cluster),
            }
        };
        // The crate bounds connecting; the bound around it covers a server that accepts and then says nothing.
        let link = match tokio::time::timeout(CONNECT_TIMEOUT * 2, connecting).await {
            Ok(link) => link.map_err(|error| Error::from(&error))?,
            Err(_) => return Err(Error::Unavailable("connecting took too long".to_owned())),
        };
        slot.generation += 1;
        slot.link = Some(link.clone());
        Ok((slot.generation, link))
    }
}

/// Besides trouble on the way: a server that became a replica, as the name may lead to another one by now.
fn breaks_connection(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error() || matches!(error.code(), Some("READONLY" | "MASTERDOWN"))
}

/// Is there a certificate in it, and nothing damaged? The crate would take an empty list and then trust nobody.
fn authorities(pem: &str) -> bool {
    let mut found = CertificateDer::pem_slice_iter(pem.as_bytes()).peekable();
    found.peek().is_some() && found.all(|certificate| certificate.is_ok())
}

/// One [`Redis`] for each way to connect, kept between passes.
#[derive(Debug, Clone, Default)]
pub struct Connections(ClientCache<ConnectionOptions, Redis>);

impl Connections {
    /// Within a Tokio runtime.
    pub fn new() -> Self {
        Self::default()
    }

    /// The Redis of these options; it connects to nothing yet.
    pub fn get(&self, options: &ConnectionOptions) -> Result<Redis, Error> {
        self.0.get(options, Redis::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(url: &str) -> ConnectionOptions {
        ConnectionOptions { url: url.to_owned(), username: None, password: None, ca_pem: None, cluster: false }
    }

    #[test]
    fn what_is_not_valid_is_refused_without_being_quoted() {
        let refused = Redis::new(&at("nonsense:geheim@y")).unwrap_err();
        assert!(matches!(&refused, Error::Refused(text) if !text.contains("geheim")), "{refused}");
        let ca = ConnectionOptions { ca_pem: Some("geheim".to_owned()), ..at("rediss://h") };
        for cluster in [false, true] {
            let refused = Redis::new(&ConnectionOptions { cluster, ..ca.clone() }).unwrap_err();
            assert!(matches!(&refused, Error::Refused(text) if !text.contains("geheim")), "{refused}");
        }
        let options = ConnectionOptions { password: Some("geheim".to_owned()), ..at("redis://:geheim@h") };
        assert!(!format!("{options:?}").contains("geheim"));
    }
}
