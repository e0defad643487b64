//! Kafka's protocol by hand, as far as the testkit needs it: a check must not depend on the library that the product
//! uses. Formats: <https://kafka.apache.org/protocol>.

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CORRELATION: i32 = 0x0063_6861;

const API_VERSIONS: i16 = 18;
const CREATE_ACLS: i16 = 30;

/// What an ACL is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    Topic(&'a str),
    Topics {
        prefix: &'a str,
    },
    Group(&'a str),
    Groups {
        prefix: &'a str,
    },
    TransactionalId(&'a str),
    /// The cluster itself, e.g. for creating any topic.
    Cluster,
}

/// What an ACL allows. READ, WRITE, DELETE and ALTER bring DESCRIBE with them, `AlterConfigs` brings `DescribeConfigs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub enum Operation {
    All = 2,
    Read = 3,
    Write = 4,
    Create = 5,
    Delete = 6,
    Alter = 7,
    Describe = 8,
    DescribeConfigs = 10,
    AlterConfigs = 11,
    IdempotentWrite = 12,
}

impl Resource<'_> {
    /// The resource's type, the kind of its pattern, and its name.
    fn coded(&self) -> (i8, i8, &str) {
        const LITERAL: i8 = 3;
        const PREFIXED: i8 = 4;
        match self {
            Self::Topic(name) => (2, LITERAL, name),
            Self::Topics { prefix } => (2, PREFIXED, prefix),
            Self::Group(name) => (3, LITERAL, name),
            Self::Groups { prefix } => (3, PREFIXED, prefix),
            Self::TransactionalId(name) => (5, LITERAL, name),
            Self::Cluster => (4, LITERAL, "kafka-cluster"),
        }
    }
}

/// Asks for `ApiVersions` v0 in raw bytes and answers how many APIs the broker offers. A broker answers this only once it
/// has joined its cluster and processes requests.
pub async fn api_versions(port: u16) -> Result<u32> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.context("failed to connect to Kafka")?;
    let length = call(&mut stream, API_VERSIONS, 0, &[]).await?;
    let error = stream.read_i16().await.context("failed to read from Kafka")?;
    let count = stream.read_u32().await.context("failed to read from Kafka")?;
    ensure!(error == 0, "Kafka answered ApiVersions with error {error}");
    ensure!(count > 0 && length > count, "Kafka answered an odd list of {count} APIs in {length} bytes");
    Ok(count)
}

/// Allows `user` these things, from anywhere: `CreateAcls` v1 on the open listener.
pub(super) async fn create_acls(port: u16, user: &str, allowed: &[(Resource<'_>, Operation)]) -> Result<()> {
    const ALLOW: i8 = 3;
    let mut body = Vec::new();
    body.extend_from_slice(&i32::try_from(allowed.len()).context("too many ACLs")?.to_be_bytes());
    for (resource, operation) in allowed {
        let (kind, pattern, name) = resource.coded();
        body.extend_from_slice(&kind.to_be_bytes());
        text(&mut body, name)?;
        body.extend_from_slice(&pattern.to_be_bytes());
        text(&mut body, &format!("User:{user}"))?;
        text(&mut body, "*")?;
        body.extend_from_slice(&[*operation as u8, ALLOW.to_be_bytes()[0]]);
    }
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.context("failed to connect to Kafka")?;
    call(&mut stream, CREATE_ACLS, 1, &body).await?;
    let (_throttled, count) = (stream.read_i32().await?, stream.read_i32().await?);
    for _ in 0..count {
        let error = stream.read_i16().await.context("failed to read from Kafka")?;
        let length = usize::try_from(stream.read_i16().await.context("failed to read from Kafka")?).unwrap_or(0);
        let mut message = vec![0; length];
        stream.read_exact(&mut message).await.context("failed to read from Kafka")?;
        ensure!(error == 0, "Kafka refused an ACL with error {error}: {}", String::from_utf8_lossy(&message));
    }
    Ok(())
}

/// Sends one request and reads the head of its answer; answers how long the answer is.
async fn call(stream: &mut TcpStream, api: i16, version: i16, body: &[u8]) -> Result<u32> {
    let mut request = Vec::new();
    request.extend_from_slice(&api.to_be_bytes());
    request.extend_from_slice(&version.to_be_bytes());
    request.extend_from_slice(&CORRELATION.to_be_bytes());
    request.extend_from_slice(&(-1_i16).to_be_bytes()); // no client id
    request.extend_from_slice(body);
    let length = u32::try_from(request.len()).context("the request is too long")?;
    stream.write_u32(length).await.context("failed to write to Kafka")?;
    stream.write_all(&request).await.context("failed to write to Kafka")?;

    let length = stream.read_u32().await.context("failed to read from Kafka")?;
    let correlation = stream.read_i32().await.context("failed to read from Kafka")?;
    ensure!(correlation == CORRELATION, "Kafka answered another request: {correlation}");
    Ok(length)
}

fn text(bytes: &mut Vec<u8>, text: &str) -> Result<()> {
    bytes.extend_from_slice(&i16::try_from(text.len()).context("a name is too long")?.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
    Ok(())
}
