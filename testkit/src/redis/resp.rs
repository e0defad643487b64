//! Redis's protocol by hand on purpose: a check must not depend on the library that the product uses.

use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What Redis answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    Number(i64),
    Nil,
    List(Vec<Reply>),
}

/// How to reach a server and who to be there.
#[derive(Clone)]
pub(super) struct Peer {
    pub(super) port: u16,
    /// DER of who signed the server's certificate; `None` is without TLS.
    pub(super) authority: Option<Vec<u8>>,
    /// Empty for a server that is open; a password alone is the user `default`.
    pub(super) login: Vec<String>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Sends one command on a connection of its own; an error reply is an error here.
pub(super) async fn command(peer: &Peer, words: &[&str]) -> Result<Reply> {
    Connection::open(peer).await?.command(words).await
}

/// A connection whose commands are done in the order in which they are sent.
pub struct Connection(BufReader<Box<dyn Stream>>);

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connection")
    }
}

impl Connection {
    pub(super) async fn open(peer: &Peer) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", peer.port)).await.context("failed to connect to Redis")?;
        let stream: Box<dyn Stream> = match &peer.authority {
            None => Box::new(stream),
            Some(authority) => {
                let name = ServerName::try_from("localhost").context("failed to name the server")?;
                let stream = connector(authority)?.connect(name, stream).await;
                Box::new(stream.context("failed to speak TLS with Redis")?)
            }
        };
        let mut connection = Self(BufReader::new(stream));
        if !peer.login.is_empty() {
            let login: Vec<&str> = ["AUTH"].into_iter().chain(peer.login.iter().map(String::as_str)).collect();
            connection.command(&login).await?;
        }
        Ok(connection)
    }

    /// Waits for the reply as long as it takes; an error reply is an error here.
    pub async fn command(&mut self, words: &[&str]) -> Result<Reply> {
        self.0.write_all(&encode(words)).await.context("failed to write to Redis")?;
        self.0.flush().await.context("failed to write to Redis")?;
        read_reply(&mut self.0).await
    }
}

fn connector(authority: &[u8]) -> Result<TlsConnector> {
    let mut trusted = RootCertStore::empty();
    trusted.add(authority.to_vec().into()).context("failed to read the authority")?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .context("failed to set up TLS")?
        .with_root_certificates(trusted)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
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
