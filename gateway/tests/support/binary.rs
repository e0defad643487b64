//! The gateway's binary in conformance mode.

use std::{
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async_with_config, tungstenite::protocol::WebSocketConfig,
};

pub struct Binary {
    process: Child,
    pub address: SocketAddr,
}

impl Binary {
    pub fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_chatcluster-gateway"))
            .args(["--conformance", "--listen", "127.0.0.1:0", "--log-format", "json"])
            .env_clear()
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        let address = lines.find_map(|line| {
            let line: serde_json::Value = serde_json::from_str(&line).ok()?;
            line.pointer("/fields/address").or(line.get("address"))?.as_str()?.parse().ok()
        });
        // whoever does not read fills the pipe
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address: address.expect("it says where it listens") }
    }

    pub async fn socket(&self, path: &str) -> WebSocketStream<MaybeTlsStream<TcpStream>> {
        let url = format!("ws://{}{path}", self.address);
        let config = WebSocketConfig::default().max_frame_size(Some(32 << 20)).max_message_size(Some(32 << 20));
        connect_async_with_config(url, Some(config), false).await.unwrap().0
    }

    pub async fn publish(&self, room: &str, body: &'static str) -> reqwest::StatusCode {
        let url = format!("http://{}/pub/{room}", self.address);
        reqwest::Client::new().post(url).body(body).send().await.unwrap().status()
    }

    /// A metric's value, summed over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        super::metric(self.address, name).await
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// An address that nobody listens on at the moment.
pub fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
