//! A Redis server of the test's own, and a few commands to look into it. The client here speaks RESP by hand on
//! purpose: a check must not depend on the library that the product uses.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use futures_util::FutureExt;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::install::Installed;
use crate::ports::free_port;
use crate::process::{Probe, Spec, Supervised};
use crate::scratch::ScratchDir;

/// How to run Redis. The default has a random password and keeps nothing over a restart.
#[derive(Clone, Debug)]
pub struct RedisOptions {
    /// `None` runs it open.
    pub password: Option<String>,
    /// Every write is on disk before it is answered, and is there again after a restart.
    pub durable: bool,
    /// Further lines of the configuration file, e.g. `("maxmemory", "64mb")`.
    pub settings: Vec<(String, String)>,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self { password: Some(crate::servers::random_name(24)), durable: false, settings: Vec::new() }
    }
}

/// A running server on 127.0.0.1. Killed when dropped.
#[derive(Debug)]
pub struct Redis {
    process: Supervised,
    port: u16,
    password: Option<String>,
    _folder: ScratchDir,
}

/// What Redis answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    Number(i64),
    Nil,
    List(Vec<Reply>),
}

impl Redis {
    /// With a random password and nothing on disk.
    pub async fn start(installed: &Installed) -> Result<Self> {
        Self::start_with(installed, RedisOptions::default(), ScratchDir::new("redis")?).await
    }

    pub async fn start_with(installed: &Installed, options: RedisOptions, folder: ScratchDir) -> Result<Self> {
        let port = free_port()?;
        let config = folder.path().join("redis.conf");
        std::fs::write(&config, configuration(&options, port, folder.path())).context("failed to write redis.conf")?;
        let spec = Spec {
            name: "redis".into(),
            program: installed.redis_server.clone(),
            args: vec![config.display().to_string()],
            env: Vec::new(),
            log: folder.path().join("redis.log"),
            ready_within: Duration::from_secs(15),
        };
        let password = options.password.clone();
        let probe: Probe = Arc::new(move || {
            let password = password.clone();
            async move {
                match command(port, password.as_deref(), &["PING"]).await? {
                    Reply::Text(pong) if pong == "PONG" => Ok(()),
                    other => bail!("PING was answered with {other:?}"),
                }
            }
            .boxed()
        });
        let process = Supervised::start(spec, probe).await?;
        Ok(Self { process, port, password: options.password, _folder: folder })
    }

    /// `redis://:password@127.0.0.1:port`
    pub fn url(&self) -> String {
        match &self.password {
            Some(password) => format!("redis://:{password}@127.0.0.1:{}", self.port),
            None => format!("redis://127.0.0.1:{}", self.port),
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// For stop, kill, pause and restart.
    pub fn process(&self) -> &Supervised {
        &self.process
    }

    /// Sends one command on a connection of its own; an error reply is an error here.
    pub async fn command(&self, words: &[&str]) -> Result<Reply> {
        command(self.port, self.password.as_deref(), words).await
    }

    /// Forgets everything, as a failover to an empty replica does.
    pub async fn flush(&self) -> Result<()> {
        self.command(&["FLUSHALL"]).await.map(drop)
    }
}

fn configuration(options: &RedisOptions, port: u16, folder: &std::path::Path) -> String {
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
    lines.extend(options.settings.iter().map(|(key, value)| format!("{key} {value}")));
    lines.join("\n") + "\n"
}

async fn command(port: u16, password: Option<&str>, words: &[&str]) -> Result<Reply> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.context("failed to connect to Redis")?;
    let mut stream = BufReader::new(stream);
    if let Some(password) = password {
        stream.write_all(&encode(&["AUTH", password])).await.context("failed to write to Redis")?;
        read_reply(&mut stream).await?;
    }
    stream.write_all(&encode(words)).await.context("failed to write to Redis")?;
    read_reply(&mut stream).await
}

fn encode(words: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
    }
    bytes
}

/// RESP2, as far as commands of a checker need it.
async fn read_reply<R: AsyncBufRead + Unpin + Send>(stream: &mut R) -> Result<Reply> {
    let mut line = String::new();
    stream.read_line(&mut line).await.context("failed to read from Redis")?;
    let line = line.trim_end();
    let (kind, rest) = line.split_at_checked(1).context("Redis closed the connection")?;
    match kind {
        "+" => Ok(Reply::Text(rest.to_owned())),
        "-" => Err(anyhow!("Redis answered: {rest}")),
        ":" => Ok(Reply::Number(rest.parse().context("not a number")?)),
        "$" => {
            let Ok(length) = rest.parse::<usize>() else { return Ok(Reply::Nil) };
            let mut bytes = vec![0; length + 2];
            stream.read_exact(&mut bytes).await.context("failed to read from Redis")?;
            bytes.truncate(length);
            Ok(Reply::Text(String::from_utf8_lossy(&bytes).into_owned()))
        }
        "*" => {
            let Ok(length) = rest.parse::<usize>() else { return Ok(Reply::Nil) };
            let mut items = Vec::new();
            for _ in 0..length {
                items.push(Box::pin(read_reply(stream)).await?);
            }
            Ok(Reply::List(items))
        }
        _ => bail!("Redis answered something unknown: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn replies_are_read() {
        let mut bytes = &b"*4\r\n+OK\r\n:7\r\n$2\r\nhi\r\n$-1\r\n"[..];
        let expected =
            Reply::List(vec![Reply::Text("OK".into()), Reply::Number(7), Reply::Text("hi".into()), Reply::Nil]);
        assert_eq!(read_reply(&mut bytes).await.unwrap(), expected);
        assert!(read_reply(&mut &b"-NOAUTH no\r\n"[..]).await.is_err());
        assert!(read_reply(&mut &b""[..]).await.is_err());
    }
}
