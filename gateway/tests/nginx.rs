//! `examples/nginx`, by a real nginx: every request of a SockJS session reaches the gateway that has it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test says so the short way")]

mod support;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use chatcluster_gateway::Options;
use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use support::{
    Platform,
    binary::{Binary, free_port},
    client::Client,
    eventually,
    listeners::{self, Hall},
};
use tokio_tungstenite::{connect_async, tungstenite::Message};

const EXAMPLE: &str = include_str!("../../examples/nginx/chatcluster.conf");
const USER_EVENTS: &str = include_str!("../../examples/nginx/user-events.conf");

struct Nginx {
    process: Child,
    folder: PathBuf,
    address: SocketAddr,
}

impl Nginx {
    /// With the example as it stands, but for addresses. `base`: the path that SockJS has there.
    async fn start(gateways: [SocketAddr; 2], base: &str) -> Self {
        let [one, other] = gateways.map(|gateway| gateway.to_string());
        Self::serving(EXAMPLE, &[("127.0.0.1:8082", &one), ("127.0.0.1:8092", &other), ("/sockjs", base)]).await
    }

    /// `changes`: what stands elsewhere in the example.
    async fn serving(example: &str, changes: &[(&str, &str)]) -> Self {
        let address = free_port();
        let site = example.replace("listen 8080", &format!("listen {address}"));
        let site = changes.iter().fold(site, |site, (theirs, ours)| site.replace(theirs, ours));
        let folder = std::env::temp_dir().join(format!("chatcluster-nginx-{}", address.port()));
        std::fs::create_dir_all(&folder).unwrap();
        let place = folder.display();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {place}/{kind};"))
            .concat();
        let whole = format!(
            "daemon off; worker_processes 2; pid {place}/pid; error_log {place}/errors;\n\
             events {{ worker_connections 512; }}\nhttp {{ access_log off; {temporary}\n{site}\n}}\n"
        );
        std::fs::write(folder.join("nginx.conf"), whole).unwrap();
        let debian = Path::new("/usr/sbin/nginx");
        let process = Command::new(if debian.exists() { debian } else { Path::new("nginx") })
            .arg("-e")
            .arg(folder.join("errors"))
            .arg("-p")
            .arg(&folder)
            .arg("-c")
            .arg(folder.join("nginx.conf"))
            .stdout(Stdio::null())
            .spawn()
            .expect("nginx is installed (scripts/prepare test)");
        let nginx = Self { process, folder, address };
        eventually("nginx listens", async || tokio::net::TcpStream::connect(address).await.is_ok()).await;
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // its workers go with it, which they would not if it was killed
        let id = i32::try_from(self.process.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(id) = id {
            let _ = rustix::process::kill_process(id, rustix::process::Signal::TERM);
        }
        let _ = self.process.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What a transport without a socket does with one session: it opens, sends, and gets everything back in order.
struct Fetcher {
    http: reqwest::Client,
    url: String,
}

impl Fetcher {
    fn new(nginx: &Nginx, session: &str) -> Self {
        // a new client a session, as a browser page would be; it keeps its connections
        Self { http: reqwest::Client::new(), url: format!("http://{}/echo/000/{session}", nginx.address) }
    }

    async fn receive(&self, transport: &str) -> reqwest::Response {
        let url = format!("{}/{transport}", self.url);
        let request = if transport.starts_with("xhr") { self.http.post(url) } else { self.http.get(url) };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{transport}");
        answer
    }

    async fn send(&self, inlet: &str, text: &str) {
        let body = format!("[\"{text}\"]");
        let answer = self.http.post(format!("{}/{inlet}", self.url)).body(body).send().await.unwrap();
        let wanted = if inlet == "xhr_send" { StatusCode::NO_CONTENT } else { StatusCode::OK };
        assert_eq!(answer.status(), wanted, "{inlet} to the gateway that has the session");
    }

    /// Reads until `text` has come.
    async fn until(&self, answer: &mut reqwest::Response, so_far: &mut String, text: &str) {
        while !so_far.contains(text) {
            let chunk = tokio::time::timeout(Duration::from_secs(10), answer.chunk()).await.expect("at once");
            so_far.push_str(std::str::from_utf8(&chunk.unwrap().expect("it goes on")).unwrap());
        }
    }

    async fn streams(&self, transport: &str) {
        let mut answer = self.receive(transport).await;
        let mut so_far = String::new();
        self.until(&mut answer, &mut so_far, "o").await;
        for n in 0..5 {
            self.send("xhr_send", &format!("text-{n}")).await;
            self.until(&mut answer, &mut so_far, &format!("text-{n}")).await;
        }
    }

    async fn polls(&self, transport: &str, inlet: &str) {
        self.receive(transport).await;
        for n in 0..5 {
            self.send(inlet, &format!("text-{n}")).await;
            let text = self.receive(transport).await.text().await.unwrap();
            assert!(text.contains(&format!("text-{n}")), "{text}");
        }
    }
}

#[tokio::test]
async fn every_transport_works_in_front_of_two_gateways() {
    let gateways = [Binary::start(), Binary::start()];
    let nginx = Nginx::start([gateways[0].address, gateways[1].address], "/echo").await;
    for n in 0..12 {
        let fetcher = |transport: &str| Fetcher::new(&nginx, &format!("{transport}-{n}"));
        for transport in ["xhr_streaming", "eventsource", "htmlfile?c=f"] {
            fetcher(&transport[..5]).streams(transport).await;
        }
        fetcher("poll").polls("xhr", "xhr_send").await;
        fetcher("jsonp").polls("jsonp?c=f", "jsonp_send").await;
        let url = format!("ws://{}/echo/000/ws-{n}/websocket", nginx.address);
        let (mut socket, _) = connect_async(url).await.unwrap();
        socket.send(Message::text("[\"x\"]")).await.unwrap();
        for frame in ["o", "a[\"x\"]"] {
            assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(frame));
        }
    }
    for gateway in &gateways {
        assert!(gateway.metric("connections_opened").await > 10.0, "both have some");
    }
}

#[tokio::test]
async fn a_gateway_that_is_away_is_gone_around() {
    let [one, other] = [Binary::start(), Binary::start()];
    let nginx = Nginx::start([one.address, other.address], "/echo").await;
    drop(one);
    for n in 0..12 {
        Fetcher::new(&nginx, &format!("poll-{n}")).polls("xhr", "xhr_send").await;
    }
}

#[tokio::test]
async fn websockets_and_event_streams_pass_and_bring_their_addresses() {
    let options = Options { trusted_proxies: 1, max_address_connections: 2, ..Options::default() };
    let platform = Platform::with(options).await;
    platform.core.create("c1", &["ann", "bob"]);
    let nginx = Nginx::start([platform.address; 2], "/sockjs").await;
    let url = format!("ws://{}/ws", nginx.address);
    let mut client = Client::open(&url).await;
    client.send(serde_json::json!({"type": "CONNECT", "token": platform.issuer.token("ann")})).await;
    client.until("CONNECTED").await;
    let events = reqwest::Client::new()
        .get(format!("http://{}/events", nginx.address))
        .bearer_auth(platform.issuer.token("bob"));
    let mut events = events.send().await.unwrap();
    platform.registered("bob", 1).await;
    platform.core.post("c1", "bob", "hello").await;
    client.until_seq("c1", 1).await;
    let mut text = String::new();
    while !text.contains("hello") {
        let chunk = tokio::time::timeout(Duration::from_secs(10), events.chunk()).await.expect("not held back");
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    // the limit is that of this client's address, which the two share; a forged one is not believed
    let page = |origin: String| {
        let request = reqwest::Client::new().post(format!("http://{}/sockjs/000/s/xhr", nginx.address));
        request.header("X-Forwarded-For", "10.0.0.9").header("origin", origin).send()
    };
    assert_eq!(page(format!("http://{}", nginx.address)).await.unwrap().status(), 429, "its own host's page");
    assert_eq!(page("https://evil.example".into()).await.unwrap().status(), 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn listeners_to_user_events_are_spread_and_none_is_forgotten() {
    let options = Options {
        user_events_open: true,
        user_events_max_connections: 1000,
        user_events_connect_rate: 0,
        ..Options::default()
    };
    let hall = Hall::with(options.clone()).await;
    let others = [hall.another("gateway-2", options.clone()).await, hall.another("gateway-3", options).await];
    let [one, two, three] = [hall.address, others[0].address, others[1].address].map(|it| it.to_string());
    let places = [("127.0.0.1:8084", &*one), ("127.0.0.1:8085", &*two), ("127.0.0.1:8086", &*three)];
    let nginx = Nginx::serving(USER_EVENTS, &places).await;
    let mut sockets = Vec::new();
    // three in a row are of one user: they go to one gateway each
    let user_of = |n: usize| n / 3 % 3;
    for n in 0..30 {
        let url = format!("ws://{}/ws?username=user-{}", nginx.address, user_of(n));
        sockets.push(connect_async(url).await.unwrap().0);
    }
    for address in [hall.address, others[0].address, others[1].address] {
        let here = support::metric(address, "user_event_connections ").await;
        assert!((8.0..=12.0).contains(&here), "the fewest get the next: {here}");
    }
    for user in 0..3 {
        assert_eq!(hall.publish(&format!("user-{user}"), &format!("for {user}")).await, 3, "all gateways listen");
    }
    for (n, socket) in sockets.iter_mut().enumerate() {
        assert_eq!(listeners::next_text(socket).await, format!("for {}", user_of(n)));
    }
    let stream = reqwest::Client::new()
        .get(format!("http://{}/user-events?username=user-0", nginx.address))
        .header("accept", "text/event-stream");
    let mut stream = stream.send().await.unwrap();
    let mut text = String::new();
    while !text.contains("data: streamed\n\n") {
        hall.publish("user-0", "streamed").await;
        let chunk = tokio::time::timeout(Duration::from_secs(10), stream.chunk()).await.expect("not held back");
        text.push_str(std::str::from_utf8(&chunk.unwrap().unwrap()).unwrap());
    }
    // a gateway that goes takes its listeners with it, and they find another one
    others[0].shutdown.request();
    let mut again = 0;
    for socket in &mut sockets {
        while let Ok(Some(Ok(message))) = tokio::time::timeout(Duration::from_millis(1500), socket.next()).await {
            again += usize::from(message.is_close());
        }
    }
    assert!((8..=12).contains(&again), "{again} were told to come back");
    for n in 0..again {
        let url = format!("ws://{}/ws?username=late-{n}", nginx.address);
        let (mut socket, _) = connect_async(url).await.unwrap();
        hall.publish(&format!("late-{n}"), "here").await;
        assert_eq!(listeners::next_text(&mut socket).await, "here");
    }
}
