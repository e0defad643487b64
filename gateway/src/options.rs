//! The settings of a gateway.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use chatcluster_contracts::road::BROADCAST_ABOVE;
use chatcluster_service::{
    config::{Secret, bytes, duration, origin, service_token},
    rpc::CoreUrl,
    telemetry::LogOptions,
    tokens::{DEFAULT_AUDIENCE, DEFAULT_ISSUER, JwksSource, Verifier, VerifierOptions},
};
use chatcluster_transport::{event_log::kafka::KafkaOptions, gateway_streams::redis::RedisOptions};

/// A number of bytes that fits a rate.
fn bytes_u32(text: &str) -> Result<u32, String> {
    let count = if text == "0" { 0 } else { bytes(text)? };
    u32::try_from(count).map_err(|_| format!("at most {} bytes", u32::MAX))
}

/// With more than half of the processors busy with those who come, those who are here feel it.
fn attach_concurrency() -> u16 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u16::try_from(processors / 2).unwrap_or(u16::MAX).max(1)
}

// no clap group: the one-process form flattens the options of several services, whose groups would share this name
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Options {
    /// Name of this gateway, unique among the gateways that run; default: the host's name
    #[arg(long, env = "CHATCLUSTER_NODE", value_name = "NAME")]
    pub node: Option<String>,

    /// Origins that browsers may connect from, exact (`https://chat.example`); none given: only the page's own host
    #[arg(long, env = "CHATCLUSTER_ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGIN", value_parser = origin)]
    pub allowed_origins: Vec<String>,

    /// Most client connections at a time
    #[arg(long, env = "CHATCLUSTER_MAX_CONNECTIONS", default_value_t = 100_000, value_name = "COUNT")]
    pub max_connections: usize,

    /// Most connections of one user on this gateway
    #[arg(long, env = "CHATCLUSTER_MAX_USER_CONNECTIONS", default_value_t = 100, value_name = "COUNT")]
    pub max_user_connections: usize,

    /// Time for the whole head of a request to arrive
    #[arg(long, env = "CHATCLUSTER_HEAD_TIMEOUT", value_parser = duration, default_value = "10s")]
    pub head_timeout: Duration,

    /// Time from the upgrade to CONNECT, and from CONNECT to CONNECTED
    #[arg(long, env = "CHATCLUSTER_CONNECT_TIMEOUT", value_parser = duration, default_value = "10s")]
    pub connect_timeout: Duration,

    /// Pause after which a silent client is pinged; after 2.5 times this it is cut
    #[arg(long, env = "CHATCLUSTER_HEARTBEAT", value_parser = duration, default_value = "25s")]
    pub heartbeat: Duration,

    /// Time from the first byte of a client's message to its last
    #[arg(long, env = "CHATCLUSTER_MESSAGE_TIMEOUT", value_parser = duration, default_value = "30s")]
    pub message_timeout: Duration,

    /// A client that accepts no byte for this long is cut
    #[arg(long, env = "CHATCLUSTER_WRITE_TIMEOUT", value_parser = duration, default_value = "30s")]
    pub write_timeout: Duration,

    /// What may wait for one slow client, in bytes; beyond it the client is cut and may resume
    #[arg(long, env = "CHATCLUSTER_SESSION_QUEUE", value_parser = bytes, default_value = "1MiB")]
    pub session_queue: usize,

    /// The kernel's send buffer of each connection, in bytes: a stalled reader holds no more than this and the queue
    #[arg(long, env = "CHATCLUSTER_SOCKET_SEND_BUFFER", value_parser = bytes, default_value = "256KiB")]
    pub socket_send_buffer: usize,

    /// Longest WebSocket message of a client, in bytes
    #[arg(long, env = "CHATCLUSTER_MAX_FRAME", value_parser = bytes, default_value = "256KiB")]
    pub max_frame: usize,

    /// Longest content of one chat message, in bytes
    #[arg(long, env = "CHATCLUSTER_MAX_CONTENT", value_parser = bytes, default_value = "64KiB")]
    pub max_content: usize,

    /// New connections a second; twice as many at once, those beyond are told to come back later
    #[arg(long, env = "CHATCLUSTER_ACCEPT_RATE", default_value_t = 10_000, value_name = "CONNECTIONS/S",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub accept_rate: u32,

    /// Most connections from one address; 0: no limit
    #[arg(long, env = "CHATCLUSTER_MAX_ADDRESS_CONNECTIONS", default_value_t = 0, value_name = "COUNT")]
    pub max_address_connections: usize,

    /// Proxies in front of the gateway whose X-Forwarded-For is believed; 0: the address is the connection's own
    #[arg(long, env = "CHATCLUSTER_TRUSTED_PROXIES", default_value_t = 0, value_name = "COUNT")]
    pub trusted_proxies: usize,

    /// Sends a second of one user over all connections, twice as many at once; 0: no limit
    #[arg(long, env = "CHATCLUSTER_USER_SEND_RATE", default_value_t = 500, value_name = "SENDS/S")]
    pub user_send_rate: u32,

    /// Bytes a second that one user may send over all connections, twice as many at once; 0: no limit
    #[arg(long, env = "CHATCLUSTER_USER_BYTE_RATE", value_parser = bytes_u32, default_value = "4MiB")]
    pub user_byte_rate: u32,

    /// Sends a second from one address, twice as many at once; 0: no limit
    #[arg(long, env = "CHATCLUSTER_ADDRESS_SEND_RATE", default_value_t = 0, value_name = "SENDS/S")]
    pub address_send_rate: u32,

    /// Bytes a second that may be sent from one address, twice as many at once; 0: no limit
    #[arg(long, env = "CHATCLUSTER_ADDRESS_BYTE_RATE", value_parser = bytes_u32, default_value = "0")]
    pub address_byte_rate: u32,

    /// Compress messages of clients that offer permessage-deflate: saves bytes and costs CPU
    #[arg(long, env = "CHATCLUSTER_PERMESSAGE_DEFLATE")]
    pub permessage_deflate: bool,

    /// Sends a second that one session may keep up; twice as many at once
    #[arg(long, env = "CHATCLUSTER_SEND_RATE", default_value_t = 100, value_name = "SENDS/S",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub send_rate: u32,

    /// Time after which a send that core has not answered is refused; the client may send it again
    #[arg(long, env = "CHATCLUSTER_SEND_TIMEOUT", value_parser = duration, default_value = "10s")]
    pub send_timeout: Duration,

    /// Most missed events of one conversation that are sent again after a reconnect; beyond it the client reads by REST
    #[arg(long, env = "CHATCLUSTER_RESUME_LIMIT", default_value_t = 1000, value_name = "EVENTS")]
    pub resume_limit: u64,

    /// Sessions for which core is read at a time until they are in their conversations: their list, and what they missed.
    /// When many come at once, as after the loss of another gateway, they wait for each other and nobody else for them;
    /// default: half of the processors
    #[arg(long, env = "CHATCLUSTER_ATTACH_CONCURRENCY", default_value_t = attach_concurrency(), value_name = "COUNT",
          value_parser = clap::value_parser!(u16).range(1..))]
    pub attach_concurrency: u16,

    /// Longest time that others wait for one such read: a core that does not answer holds nobody else up
    #[arg(long, env = "CHATCLUSTER_ATTACH_TURN", value_parser = duration, default_value = "20ms")]
    pub attach_turn: Duration,

    /// Time in which all heads are compared with core once
    #[arg(long, env = "CHATCLUSTER_SWEEP", value_parser = duration, default_value = "60s")]
    pub sweep: Duration,

    /// Conversations with more members than this are listened to in their room. Where gateway and worker are one process,
    /// it is the worker's setting.
    #[arg(skip = BROADCAST_ABOVE)]
    pub fanout_broadcast_above: u64,

    /// Rooms that no conversation has and that anybody with a token may join all the same, whatever the workspace: names, or
    /// beginnings of names with a star (`lobby,game-*`); default: none
    #[arg(long, env = "CHATCLUSTER_OPEN_ROOMS", value_delimiter = ',', value_name = "NAME")]
    pub open_rooms: Vec<String>,

    /// Where STOMP is spoken over plain TCP, usually port 61613; default: nowhere
    #[arg(long, env = "CHATCLUSTER_STOMP_LISTEN", value_name = "ADDRESS")]
    pub stomp_listen: Option<SocketAddr>,

    /// Where user events have a port of their own; set by the process
    #[arg(skip)]
    pub user_events_listen: Option<SocketAddr>,

    /// Whoever connects may listen to the user events of anybody, without a token. Never where strangers can connect
    #[arg(long, env = "CHATCLUSTER_USER_EVENTS_OPEN")]
    pub user_events_open: bool,

    /// Pause after which a silent listener to user events is pinged; after 2.5 times this it is cut
    #[arg(long, env = "CHATCLUSTER_USER_EVENTS_PING", value_parser = duration, default_value = "54s")]
    pub user_events_ping: Duration,

    /// Most connections of one name to user events on this gateway
    #[arg(long, env = "CHATCLUSTER_USER_EVENTS_MAX_CONNECTIONS", default_value_t = 100, value_name = "COUNT")]
    pub user_events_max_connections: usize,

    /// Attempts a second to connect to the user events of one name, twice as many at once; 0: no limit
    #[arg(long, env = "CHATCLUSTER_USER_EVENTS_CONNECT_RATE", default_value_t = 20, value_name = "CONNECTIONS/S")]
    pub user_events_connect_rate: u32,

    /// User events a second of one name, twice as many at once; more are dropped, or come later to those who read the
    /// log; 0: no limit
    #[arg(long, env = "CHATCLUSTER_USER_EVENTS_RATE", default_value_t = 0, value_name = "EVENTS/S")]
    pub user_events_rate: u32,

    /// A SockJS session without a WebSocket ends when its client has not come to receive for this long
    #[arg(long, env = "CHATCLUSTER_SOCKJS_DISCONNECT", value_parser = duration, default_value = "5s")]
    pub sockjs_disconnect: Duration,

    /// Set a JSESSIONID cookie where SockJS goes without WebSocket, for load balancers that keep a client at its gateway by it
    #[arg(long, env = "CHATCLUSTER_SOCKJS_COOKIE")]
    pub sockjs_cookie: bool,

    /// Script with the SockJS client for the pages of its oldest transports, which work in a frame of this host; default: these
    /// transports are not served
    #[arg(long, env = "CHATCLUSTER_SOCKJS_CLIENT_URL", value_name = "URL")]
    pub sockjs_client_url: Option<String>,

    /// Time over which sockets are closed at shutdown
    #[arg(long, env = "CHATCLUSTER_DRAIN", value_parser = duration, default_value = "10s")]
    pub drain: Duration,
}

impl Default for Options {
    /// What `--help` shows, whatever the environment says.
    fn default() -> Self {
        Self {
            node: None,
            allowed_origins: Vec::new(),
            max_connections: 100_000,
            max_user_connections: 100,
            head_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            heartbeat: Duration::from_secs(25),
            message_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            session_queue: 1 << 20,
            socket_send_buffer: 256 << 10,
            max_frame: 256 << 10,
            max_content: chatcluster_contracts::frame::MAX_CONTENT_BYTES,
            accept_rate: 10_000,
            max_address_connections: 0,
            trusted_proxies: 0,
            user_send_rate: 500,
            user_byte_rate: 4 << 20,
            address_send_rate: 0,
            address_byte_rate: 0,
            permessage_deflate: false,
            send_rate: 100,
            send_timeout: Duration::from_secs(10),
            resume_limit: 1000,
            attach_concurrency: attach_concurrency(),
            attach_turn: Duration::from_millis(20),
            sweep: Duration::from_mins(1),
            fanout_broadcast_above: BROADCAST_ABOVE,
            open_rooms: Vec::new(),
            stomp_listen: None,
            user_events_listen: None,
            user_events_open: false,
            user_events_ping: Duration::from_secs(54),
            user_events_max_connections: 100,
            user_events_connect_rate: 20,
            user_events_rate: 0,
            sockjs_disconnect: Duration::from_secs(5),
            sockjs_cookie: false,
            sockjs_client_url: None,
            drain: Duration::from_secs(10),
        }
    }
}

/// An address to listen at, or nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenAt(pub Option<SocketAddr>);

impl FromStr for ListenAt {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(if text.is_empty() { None } else { Some(text.parse()?) }))
    }
}

/// The gateway as a process of its own: holds client connections and hands them what they are entitled to, in order.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "chatcluster-gateway", version)]
pub struct Process {
    /// Where clients connect, and health and metrics are served
    #[arg(long, env = "CHATCLUSTER_LISTEN", default_value = "127.0.0.1:8082", value_name = "ADDRESS")]
    pub listen: SocketAddr,

    /// Where listeners to user events connect, as `ws://…/ws?username=…`; empty: only at /user-events of the other port
    #[arg(
        long,
        env = "CHATCLUSTER_USER_EVENTS_LISTEN",
        default_value = "127.0.0.1:8084",
        value_name = "ADDRESS",
        value_parser = ListenAt::from_str
    )]
    pub user_events_listen: ListenAt,

    /// Conversations with more members than this are listened to in their room, where workers publish their events once for
    /// all gateways; the workers must have the same setting
    #[arg(long, env = "CHATCLUSTER_FANOUT_BROADCAST_ABOVE", default_value_t = BROADCAST_ABOVE, value_name = "MEMBERS")]
    pub fanout_broadcast_above: u64,

    /// Core's gRPC address; several (separated by commas, or all that a name has, `dns:///host:port`) are balanced
    #[arg(long, env = "CHATCLUSTER_CORE_URL", default_value = "http://127.0.0.1:9090", value_name = "URL")]
    pub core_url: CoreUrl,

    /// Shared secret of the platform's services
    #[arg(
        long,
        env = "CHATCLUSTER_SERVICE_TOKEN",
        hide_env_values = true,
        value_parser = service_token,
        required_unless_present = "conformance"
    )]
    pub service_token: Option<Secret>,

    /// Instead of the platform, serve what test suites and load generators expect: POST /pub/{room} to the sockets at
    /// /sub/{room}, echo at /echo-ws, STOMP at /stomp, and the services of the SockJS protocol's tests. Without any
    /// authentication: never together with a broker, core or keys
    #[arg(
        long,
        env = "CHATCLUSTER_CONFORMANCE",
        conflicts_with_all = ["service_token", "redis_url", "kafka_bootstrap_servers", "core_url", "jwks"]
    )]
    pub conformance: bool,

    /// Key sets that verify access tokens: core's as file or URL, outside issuers' as issuer=file-or-URL; separated by
    /// commas
    #[arg(
        long,
        env = "CHATCLUSTER_JWKS",
        value_delimiter = ',',
        value_name = "FILE|URL",
        default_value = "http://127.0.0.1:8081/.well-known/jwks.json"
    )]
    pub jwks: Vec<JwksSource>,

    /// Issuer of core's own tokens, which key sets that name no issuer speak for
    #[arg(long, env = "CHATCLUSTER_TOKEN_ISSUER", default_value = DEFAULT_ISSUER)]
    pub token_issuer: String,

    /// Audience that access tokens must be meant for
    #[arg(long, env = "CHATCLUSTER_TOKEN_AUDIENCE", default_value = DEFAULT_AUDIENCE)]
    pub token_audience: String,

    /// How far the clocks of issuer and gateway may be apart
    #[arg(long, env = "CHATCLUSTER_TOKEN_LEEWAY", value_parser = duration, default_value = "5s")]
    pub token_leeway: Duration,

    #[command(flatten)]
    pub options: Options,
    #[command(flatten)]
    pub redis: RedisOptions,
    #[command(flatten)]
    pub kafka: KafkaOptions,
    #[command(flatten)]
    pub log: LogOptions,
}

impl Process {
    pub fn verifier(&self) -> anyhow::Result<Verifier> {
        Verifier::new(VerifierOptions {
            sources: self.jwks.clone(),
            issuers: vec![self.token_issuer.clone()],
            audience: self.token_audience.clone(),
            leeway: self.token_leeway,
        })
    }
}
