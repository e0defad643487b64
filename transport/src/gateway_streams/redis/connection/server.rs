//! One server, or a cluster: how to get there, and the connection that is shared there.

use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue, Pipeline, ProtocolVersion, RedisError,
    TlsCertificates, Value,
    aio::MultiplexedConnection,
    cluster::{ClusterClient, ClusterClientBuilder},
    cluster_async::ClusterConnection,
    cluster_routing::{Route, RoutingInfo, SingleNodeRoutingInfo, SlotAddr},
};

use super::{
    CONNECT_TIMEOUT, RESPONSE_TIMEOUT,
    cluster::{Node, Topology, run_by_slot},
    connect, in_time, stream_error,
};
use crate::gateway_streams::StreamError;

/// The crate's own attempts at a command: a redirection or two while slots move.
const ATTEMPTS: u32 = 3;
/// Its pauses between them, when the cluster says that it is not ready; milliseconds.
const PAUSES: (u64, u64) = (20, 200);

pub(in super::super) enum Server {
    Standalone(Box<Client>),
    Cluster(Box<ClusterWay>),
}

impl Server {
    pub(in super::super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    pub(super) async fn connect(&self) -> Result<Link, StreamError> {
        match self {
            Self::Standalone(client) => connect(client, Some(RESPONSE_TIMEOUT)).await.map(Link::Standalone),
            Self::Cluster(way) => way.connect().await,
        }
    }
}

/// How to get to the servers of a cluster.
pub(in super::super) struct ClusterWay {
    /// Of the server in the settings; the others differ by their address.
    seed: ConnectionInfo,
    certificates: Option<TlsCertificates>,
    /// The servers met so far: one of them leads into the cluster when the one in the settings is away.
    known: parking_lot::Mutex<Vec<Node>>,
}

impl ClusterWay {
    /// Fails when the settings cannot be those of a cluster, as with the path of a socket or another database than the
    /// one that a cluster has.
    pub(in super::super) fn new(
        seed: ConnectionInfo,
        certificates: Option<TlsCertificates>,
    ) -> Result<Self, StreamError> {
        let refused = || StreamError::Refused("the redis url is not one of a cluster".to_owned());
        if seed.redis_settings().db() != 0 {
            return Err(refused());
        }
        let way = Self { seed, certificates, known: parking_lot::Mutex::default() };
        way.client().map_err(|_| refused())?;
        Ok(way)
    }

    fn client(&self) -> Result<ClusterClient, RedisError> {
        let known: Vec<ConnectionInfo> = self.known.lock().iter().map(|node| self.info_of(node)).collect();
        let builder = ClusterClientBuilder::new(std::iter::once(self.seed.clone()).chain(known))
            .connection_timeout(CONNECT_TIMEOUT)
            .response_timeout(RESPONSE_TIMEOUT)
            .overall_response_timeout(Some(RESPONSE_TIMEOUT * 2))
            .retries(ATTEMPTS)
            .min_retry_wait(PAUSES.0)
            .max_retry_wait(PAUSES.1);
        match &self.certificates {
            None => builder.build(),
            Some(certificates) => builder.certs(certificates.clone()).build(),
        }
    }

    async fn connect(&self) -> Result<Link, StreamError> {
        let client = self.client().map_err(|error| stream_error(&error))?;
        let link = Link::Cluster(in_time(client.get_async_connection()).await?);
        let topology = in_time(link.topology()).await?;
        *self.known.lock() = topology.masters().map(|node| self.reachable(node)).collect();
        Ok(link)
    }

    pub(super) fn client_of(&self, node: &Node) -> Result<Client, StreamError> {
        self.client_with(self.info_of(&self.reachable(node)))
    }

    /// To one that pushes what it has, beside its answers.
    pub(super) fn pushing_client_of(&self, node: &Node) -> Result<Client, StreamError> {
        let info = self.info_of(&self.reachable(node));
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        self.client_with(info.set_redis_settings(settings))
    }

    fn client_with(&self, info: ConnectionInfo) -> Result<Client, StreamError> {
        let client = match &self.certificates {
            None => Client::open(info),
            Some(certificates) => Client::build_with_tls(info, certificates.clone()),
        };
        client.map_err(|error| stream_error(&error))
    }

    /// A server that does not know its own name is under the one that we know.
    fn reachable(&self, node: &Node) -> Node {
        match self.seed.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } if node.host.is_empty() => {
                Node { host: host.clone(), port: node.port }
            }
            _ => node.clone(),
        }
    }

    fn info_of(&self, node: &Node) -> ConnectionInfo {
        let (host, port) = (node.host.clone(), node.port);
        self.seed.clone().set_addr(match self.seed.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
            }
            _ => ConnectionAddr::Tcp(host, port),
        })
    }
}

/// A connection that many may use at the same time.
#[derive(Clone)]
pub(super) enum Link {
    Standalone(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Link {
    pub(super) async fn run<T: FromRedisValue>(self, commands: Vec<Cmd>) -> Result<T, RedisError> {
        match self {
            Self::Standalone(mut connection) => pipeline(commands).query_async(&mut connection).await,
            Self::Cluster(connection) => {
                let answers = run_by_slot(&connection, commands).await?;
                Ok(redis::from_redis_value(Value::Array(answers))?)
            }
        }
    }

    pub(super) async fn ask_owner<T: FromRedisValue>(self, slot: u16, command: Cmd) -> Result<T, RedisError> {
        match self {
            Self::Standalone(mut connection) => command.query_async(&mut connection).await,
            Self::Cluster(mut connection) => {
                let owner = SingleNodeRoutingInfo::SpecificNode(Route::new(slot, SlotAddr::Master));
                Ok(redis::from_redis_value(connection.route_command(command, RoutingInfo::SingleNode(owner)).await?)?)
            }
        }
    }

    /// What INFO says in this section, of each server that holds data.
    pub(super) async fn info(&self, section: &str) -> Result<Vec<Value>, RedisError> {
        let command = redis::cmd("INFO").arg(section).take();
        match self {
            Self::Standalone(connection) => Ok(vec![command.query_async(&mut connection.clone()).await?]),
            Self::Cluster(connection) => match command.query_async(&mut connection.clone()).await? {
                Value::Map(servers) => Ok(servers.into_iter().map(|(_, info)| info).collect()),
                one => Ok(vec![one]),
            },
        }
    }

    /// Who has which slots; of a server alone there is nothing to say.
    pub(super) async fn topology(&self) -> Result<Topology, RedisError> {
        let Self::Cluster(connection) = self else { return Ok(Topology::default()) };
        let reply: Value = redis::cmd("CLUSTER").arg("SLOTS").query_async(&mut connection.clone()).await?;
        Ok(Topology::of_reply(&reply))
    }
}

pub(super) fn pipeline(commands: Vec<Cmd>) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(commands.len());
    for command in commands {
        pipeline.add_command(command);
    }
    pipeline
}
