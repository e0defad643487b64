//! Redis servers of the test's own: one, with TLS and users if asked, or a cluster; and a few commands to look into them.

mod cluster;
mod resp;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::FutureExt;

pub use self::cluster::RedisCluster;
pub use self::resp::{Connection, Reply};
use self::resp::{Peer, command};

use crate::certificates::Authority;
use crate::install::Installed;
use crate::ports::free_port;
use crate::process::{Probe, Spec, Supervised};
use crate::scratch::ScratchDir;

/// How to run Redis. The default has a random password and keeps nothing over a restart.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// Of the user `default`. `None` runs it open.
    pub password: Option<String>,
    /// Every write is on disk before it is answered, and is there again after a restart.
    pub durable: bool,
    pub tls: Tls,
    /// Further users.
    pub users: Vec<RedisUser>,
    /// Further lines of the configuration file, e.g. `("maxmemory", "64mb")`.
    pub settings: Vec<(String, String)>,
}

/// Whether the server speaks TLS. Its certificate is signed by an authority of its own, see [`Redis::authority`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    #[default]
    Off,
    /// On a second port, [`Redis::tls_port`].
    Beside,
    /// There is no plain port.
    Only,
}

/// A user of Redis's ACLs.
#[derive(Clone)]
pub struct RedisUser {
    pub name: String,
    pub password: String,
    /// E.g. `~prefix:* &* +@read -@dangerous`; see Redis's documentation of ACL SETUSER.
    pub rules: String,
}

impl std::fmt::Debug for RedisUser {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisUser").field("name", &self.name).field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl RedisUser {
    /// With a random password.
    pub fn new(name: &str, rules: &str) -> Self {
        Self { name: name.to_owned(), password: crate::servers::random_name(24), rules: rules.to_owned() }
    }
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            password: Some(crate::servers::random_name(24)),
            durable: false,
            tls: Tls::Off,
            users: Vec::new(),
            settings: Vec::new(),
        }
    }
}

/// A running server on 127.0.0.1. Killed when dropped.
#[derive(Debug)]
pub struct Redis {
    process: Supervised,
    /// 0 when there is TLS only.
    port: u16,
    encrypted: Option<Encrypted>,
    password: Option<String>,
    _folder: ScratchDir,
}

/// The port with TLS and what belongs to it.
#[derive(Debug)]
struct Encrypted {
    port: u16,
    authority: Authority,
    authority_file: PathBuf,
}

impl Redis {
    /// With a random password and nothing on disk.
    pub async fn start(installed: &Installed) -> Result<Self> {
        Self::start_with(installed, RedisOptions::default(), ScratchDir::new("redis")?).await
    }

    pub async fn start_with(installed: &Installed, options: RedisOptions, folder: ScratchDir) -> Result<Self> {
        let port = if options.tls == Tls::Only { 0 } else { free_port()? };
        let mut lines = configuration(&options, port, folder.path());
        let encrypted = match options.tls {
            Tls::Off => None,
            Tls::Beside | Tls::Only => Some(encrypt(folder.path(), &mut lines)?),
        };
        let config = folder.path().join("redis.conf");
        std::fs::write(&config, lines.join("\n") + "\n").context("failed to write redis.conf")?;
        let spec = Spec {
            name: "redis".into(),
            program: installed.redis_server.clone(),
            args: vec![config.display().to_string()],
            env: Vec::new(),
            log: folder.path().join("redis.log"),
            ready_within: Duration::from_secs(15),
        };
        let peer = peer(port, encrypted.as_ref(), options.password.as_deref());
        let probe: Probe = Arc::new(move || {
            let peer = peer.clone();
            async move {
                match command(&peer, &["PING"]).await? {
                    Reply::Text(pong) if pong == "PONG" => Ok(()),
                    other => bail!("PING was answered with {other:?}"),
                }
            }
            .boxed()
        });
        let process = Supervised::start(spec, probe).await?;
        Ok(Self { process, port, encrypted, password: options.password, _folder: folder })
    }

    /// `redis://:password@127.0.0.1:port`, or `rediss://` when there is TLS only.
    pub fn url(&self) -> String {
        let password = self.password.as_ref().map(|password| format!(":{password}@")).unwrap_or_default();
        match &self.encrypted {
            Some(encrypted) if self.port == 0 => format!("rediss://{password}127.0.0.1:{}", encrypted.port),
            _ => format!("redis://{password}127.0.0.1:{}", self.port),
        }
    }

    /// The plain port; 0 when there is TLS only.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port with TLS.
    pub fn tls_port(&self) -> Result<u16> {
        self.encrypted().map(|encrypted| encrypted.port)
    }

    /// Who signed the server's certificate, PEM.
    pub fn authority(&self) -> Result<String> {
        self.encrypted().map(|encrypted| encrypted.authority.pem())
    }

    /// [`Redis::authority`] as a file.
    pub fn authority_file(&self) -> Result<&Path> {
        self.encrypted().map(|encrypted| encrypted.authority_file.as_path())
    }

    fn encrypted(&self) -> Result<&Encrypted> {
        self.encrypted.as_ref().context("Redis was started without TLS")
    }

    /// For stop, kill, pause and restart.
    pub fn process(&self) -> &Supervised {
        &self.process
    }

    /// Sends one command on a connection of its own; an error reply is an error here.
    pub async fn command(&self, words: &[&str]) -> Result<Reply> {
        command(&peer(self.port, self.encrypted.as_ref(), self.password.as_deref()), words).await
    }

    /// For commands that have to keep their order.
    pub async fn connect(&self) -> Result<Connection> {
        Connection::open(&peer(self.port, self.encrypted.as_ref(), self.password.as_deref())).await
    }

    /// [`Redis::command`] as another user, over TLS where there is a port for it.
    pub async fn command_as(&self, user: &RedisUser, words: &[&str]) -> Result<Reply> {
        let mut peer = peer(self.port, self.encrypted.as_ref(), None);
        peer.login = vec![user.name.clone(), user.password.clone()];
        command(&peer, words).await
    }

    /// Forgets everything, as a failover to an empty replica does.
    pub async fn flush(&self) -> Result<()> {
        self.command(&["FLUSHALL"]).await.map(drop)
    }
}

/// Over TLS where it is spoken, so that the checks of a server with TLS try it as well.
fn peer(port: u16, encrypted: Option<&Encrypted>, password: Option<&str>) -> Peer {
    Peer {
        port: encrypted.map_or(port, |encrypted| encrypted.port),
        authority: encrypted.map(|encrypted| encrypted.authority.der().to_vec()),
        login: password.map(str::to_owned).into_iter().collect(),
    }
}

fn configuration(options: &RedisOptions, port: u16, folder: &Path) -> Vec<String> {
    let mut lines = vec![
        "bind 127.0.0.1".to_owned(),
        format!("port {port}"),
        format!("dir {}", folder.display()),
        "daemonize no".to_owned(),
        "save \"\"".to_owned(),
        format!("appendonly {}", if options.durable { "yes" } else { "no" }),
        "appendfsync always".to_owned(),
        // The worker and the gateway check for it: any other policy eats streams.
        "maxmemory-policy noeviction".to_owned(),
    ];
    lines.extend(options.password.iter().map(|password| format!("requirepass {password}")));
    let user = |user: &RedisUser| format!("user {} on >{} {}", user.name, user.password, user.rules);
    lines.extend(options.users.iter().map(user));
    lines.extend(options.settings.iter().map(|(key, value)| format!("{key} {value}")));
    lines
}

/// Adds the port with TLS to the configuration.
fn encrypt(folder: &Path, lines: &mut Vec<String>) -> Result<Encrypted> {
    let (port, authority) = (free_port()?, Authority::new()?);
    let identity = authority.issue("redis")?;
    let file = |name: &str, text: &str| -> Result<PathBuf> {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
        // Redis reads its configuration word by word.
        ensure!(!path.to_string_lossy().contains(' '), "no blanks in the folder of Redis: {}", path.display());
        Ok(path)
    };
    let authority_file = file("ca.pem", &authority.pem())?;
    lines.extend([
        format!("tls-port {port}"),
        format!("tls-ca-cert-file {}", authority_file.display()),
        format!("tls-cert-file {}", file("redis.crt", &identity.certificate)?.display()),
        format!("tls-key-file {}", file("redis.key", &identity.key)?.display()),
        "tls-auth-clients no".to_owned(),
    ]);
    Ok(Encrypted { port, authority, authority_file })
}
