//! A gateway with a port for user events on a real Redis, those who listen, and a stand-in for the worker that keeps
//! the logs.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use chatcluster_gateway::{Gateway, Options};
use chatcluster_service::shutdown::Shutdown;
use chatcluster_testkit::{
    Redis,
    faults::TcpProxy,
    install,
    redis::{RedisOptions as ServerOptions, Reply},
    scratch::ScratchDir,
};
use chatcluster_transport::{
    channels::{NewEntry, Retention},
    gateway_streams::{
        GatewayStreams, Signal,
        memory::MemoryStreams,
        redis::{RedisOptions, RedisStreams},
    },
};
use futures_util::StreamExt;
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use super::{core::Core, eventually, metric, parts, tokens::Issuer};

const PATIENCE: Duration = Duration::from_secs(20);

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub struct Hall {
    pub redis: Redis,
    streams: RedisStreams,
    pub core: Core,
    pub issuer: Issuer,
    /// The port of user events.
    pub address: SocketAddr,
    /// The gateway's own.
    pub main: SocketAddr,
    one: Listening,
}

/// One gateway.
pub struct Listening {
    pub address: SocketAddr,
    pub main: SocketAddr,
    pub shutdown: Shutdown,
}

impl Listening {
    async fn start(node: &str, options: Options, streams: &RedisStreams, core: &Core, issuer: &Issuer) -> Self {
        let shutdown = Shutdown::manual();
        let parts = parts(Arc::new(streams.clone()), Arc::default(), core, issuer);
        let user_events_listen = "127.0.0.1:0".parse().ok();
        let options = Options { node: Some(node.into()), user_events_listen, ..options };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let main = listener.local_addr().unwrap();
        let gateway = Gateway::start(options, parts, shutdown.clone()).unwrap();
        let address = gateway.user_events_address().unwrap();
        tokio::spawn(gateway.serve(listener));
        let ready = || reqwest::get(format!("http://{address}/readyz"));
        eventually("the gateway is ready", async || ready().await.unwrap().status() == 200).await;
        Self { address, main, shutdown }
    }
}

impl Hall {
    pub async fn with(options: Options) -> Self {
        let installed = install::ready(install::quiet).await.unwrap();
        let server = ServerOptions::default();
        let redis = Redis::start_with(&installed, server, ScratchDir::new("redis").unwrap()).await.unwrap();
        let streams = RedisStreams::new(&RedisOptions::at(&redis.url())).unwrap();
        let core = Core::start(&MemoryStreams::new()).await;
        let issuer = Issuer::new();
        let one = Listening::start("gateway-1", options, &streams, &core, &issuer).await;
        let (address, main) = (one.address, one.main);
        Self { redis, streams, core, issuer, address, main, one }
    }

    /// Another gateway on the same Redis.
    pub async fn another(&self, node: &str, options: Options) -> Listening {
        Listening::start(node, options, &self.streams, &self.core, &self.issuer).await
    }

    /// Another gateway, whose requests to Redis take so long to get there.
    pub async fn far_away(&self, node: &str, options: Options, lag: Duration) -> (Listening, TcpProxy) {
        let road = TcpProxy::start(self.redis.port()).await.unwrap();
        let url = self.redis.url().replace(&self.redis.port().to_string(), &road.port().to_string());
        let streams = RedisStreams::new(&RedisOptions::at(&url)).unwrap();
        let gateway = Listening::start(node, options, &streams, &self.core, &self.issuer).await;
        road.lag(lag);
        (gateway, road)
    }

    pub fn streams(&self) -> RedisStreams {
        self.streams.clone()
    }

    /// As the coordinator does. Answers how many connections to Redis heard it.
    pub async fn publish(&self, user: &str, payload: &str) -> i64 {
        match self.redis.command(&["PUBLISH", &format!("workflow:events:{user}"), payload]).await.unwrap() {
            Reply::Number(heard) => heard,
            other => panic!("{other:?}"),
        }
    }

    /// How many connections to Redis listen to the user's events.
    pub async fn numsub(&self, user: &str) -> i64 {
        self.numsub_of(&format!("workflow:events:{user}")).await
    }

    pub async fn numsub_of(&self, channel: &str) -> i64 {
        match self.redis.command(&["PUBSUB", "NUMSUB", channel]).await.unwrap() {
            Reply::List(list) => match list[1] {
                Reply::Number(count) => count,
                _ => panic!("{list:?}"),
            },
            other => panic!("{other:?}"),
        }
    }

    /// The id of the first entry in the user's log.
    pub async fn first_id(&self, user: &str) -> String {
        let key = format!("workflow:log:{user}");
        let reply = self.redis.command(&["XRANGE", &key, "-", "+", "COUNT", "1"]).await.unwrap();
        let Reply::List(entries) = &reply else { panic!("{reply:?}") };
        let Reply::List(entry) = &entries[0] else { panic!("{reply:?}") };
        let Reply::Text(id) = &entry[0] else { panic!("{reply:?}") };
        id.clone()
    }

    /// The log gets one more entry, behind `last`, and is gone with it before anybody has read that.
    pub async fn lose_log(&self, user: &str, last: &str) {
        let (ms, n) = last.split_once('-').unwrap();
        let next = format!("{ms}-{}", n.parse::<u64>().unwrap() + 1);
        let script = "redis.call('DEL', KEYS[1]) return redis.call('PUBLISH', KEYS[2], ARGV[1])";
        let (log, notices) = (format!("workflow:log:{user}"), format!("workflow:logged:{user}"));
        self.redis.command(&["EVAL", script, "2", &log, &notices, &next]).await.unwrap();
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn main_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.main)
    }

    pub async fn get(&self, path: &str) -> reqwest::Response {
        reqwest::get(self.url(path)).await.unwrap()
    }

    pub async fn metrics(&self) -> String {
        self.get("/metrics").await.text().await.unwrap()
    }

    pub async fn metric(&self, name: &str) -> f64 {
        metric(self.address, name).await
    }

    /// A socket of somebody who needs no token, or is not asked for one.
    pub async fn listen(&self, user: &str) -> Socket {
        self.ask(&format!("username={user}"), None).await.unwrap()
    }

    pub async fn listen_to(&self, user: String) -> Socket {
        self.listen(&user).await
    }

    /// A socket, or the problem document that refuses it.
    pub async fn ask(&self, query: &str, token: Option<&str>) -> Result<Socket, Value> {
        let mut request = format!("ws://{}/ws?{query}", self.address).into_client_request().unwrap();
        if let Some(token) = token {
            request.headers_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        }
        match connect_async(request).await {
            Ok((socket, _)) => Ok(socket),
            Err(Error::Http(answer)) => {
                assert_eq!(answer.headers()["content-type"], "application/problem+json");
                // the client stops at the head
                let status = answer.status().as_u16();
                let body = answer.body().as_deref().and_then(|body| serde_json::from_slice(body).ok());
                match body {
                    Some(body) => Err(body),
                    None => Err(self.problem(query, token, status).await),
                }
            }
            Err(other) => panic!("{other}"),
        }
    }

    /// The same once more, for its body.
    async fn problem(&self, query: &str, token: Option<&str>, status: u16) -> Value {
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
        let (head, body) = self.raw(&format!("GET /ws?{query} HTTP/1.1\r\n{authorization}X: y")).await;
        assert!(head.contains(&status.to_string()), "{head}");
        serde_json::from_str(&body).unwrap_or_else(|_| panic!("{head}{body}"))
    }

    pub fn upgrade(&self, line: &str) -> String {
        self.one.upgrade(line)
    }

    pub async fn raw(&self, line: &str) -> (String, String) {
        self.one.raw(line).await
    }
}

impl Listening {
    pub fn upgrade(&self, line: &str) -> String {
        format!(
            "{line}\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            self.address
        )
    }

    /// The answer to an upgrade: its head, and the body where it is refused.
    pub async fn raw(&self, line: &str) -> (String, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(self.upgrade(line).as_bytes()).await.unwrap();
        let mut answer = String::new();
        let mut some = [0; 4096];
        loop {
            let count = stream.read(&mut some).await.unwrap();
            answer.push_str(std::str::from_utf8(&some[..count]).unwrap());
            if count == 0 || answer.starts_with("HTTP/1.1 101") {
                break;
            }
        }
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.shutdown.request();
    }
}

pub async fn next(socket: &mut Socket) -> Message {
    tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time").expect("it goes on").unwrap()
}

/// The next text, whatever pings come before it.
pub async fn next_text(socket: &mut Socket) -> String {
    loop {
        match next(socket).await {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

pub async fn texts(socket: &mut Socket, count: usize) -> Vec<String> {
    let mut texts = Vec::with_capacity(count);
    for _ in 0..count {
        texts.push(next_text(socket).await);
    }
    texts
}

/// Reads to the end; the code of the close frame.
pub async fn close_code(socket: &mut Socket) -> Option<u16> {
    loop {
        match tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time") {
            Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return None,
        }
    }
}

/// What a worker does.
pub struct LogKeeper {
    written: Arc<AtomicUsize>,
    gaps: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl LogKeeper {
    /// `entries` that a log keeps, about.
    pub async fn start(streams: RedisStreams, entries: usize) -> Self {
        let (written, gaps) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let logs = streams.logs();
        let mut ear = streams.channels().open_all("workflow:events:").await.unwrap();
        assert!(logs.hold("keeper", Duration::from_mins(5), true).await.unwrap().is_held);
        let (count, lost) = (written.clone(), gaps.clone());
        let keep = Retention { entries, idle: Duration::from_mins(1) };
        let task = tokio::spawn(async move {
            let mut signals = Vec::new();
            loop {
                ear.hear(100, &mut signals).await;
                let mut entries = Vec::new();
                for signal in signals.drain(..) {
                    let Signal::Message { channel, payload } = signal else {
                        lost.fetch_add(1, Ordering::SeqCst);
                        continue;
                    };
                    let name = channel.strip_prefix("workflow:events:").unwrap();
                    entries.push(NewEntry {
                        log: format!("workflow:log:{name}"),
                        notice: format!("workflow:logged:{name}"),
                        payload,
                        token: "t".into(),
                    });
                }
                logs.append(&entries, keep, false).await.unwrap();
                count.fetch_add(entries.len(), Ordering::SeqCst);
            }
        });
        Self { written, gaps, task }
    }

    /// Until so many were written.
    pub async fn wrote(&self, count: usize) {
        eventually("logged", async || self.written.load(Ordering::SeqCst) >= count).await;
    }

    /// Until Redis is back.
    pub async fn writes_again(&self) {
        eventually("heard again", async || self.gaps.load(Ordering::SeqCst) >= 1).await;
    }
}

impl Drop for LogKeeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}
