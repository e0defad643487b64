//! What a client of a base sees, request by request, over a service that lives in memory.

mod refusals;
mod talking;

use std::{
    collections::VecDeque,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use axum::{Router, body::Body};
use bytes::Bytes;
use chatcluster_contracts::problem::Problem;
use futures_util::StreamExt;
use http::{HeaderMap, Request, StatusCode};
use parking_lot::Mutex;
use tower::ServiceExt;

use super::{Departure, Opening, Service, Session, Settings, Taken, router};
use crate::protocol::sockjs::{
    frames::{Close, Message},
    route::Base,
};

const SHORT: Duration = Duration::from_millis(60);
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers every message with itself, and ends at the message `bye`.
#[derive(Clone, Default)]
struct Echo(Arc<Mutex<Inside>>);

#[derive(Default)]
struct Inside {
    opened: usize,
    waiting: VecDeque<Message>,
    over: bool,
    receiver: Option<Waker>,
    gone: Vec<Departure>,
}

impl Service for Echo {
    type Session = Self;

    async fn open(&self, _: &Opening<'_>) -> Result<Self, Problem> {
        let mut inside = self.0.lock();
        inside.opened += 1;
        inside.over = false;
        Ok(self.clone())
    }
}

impl Session for Echo {
    async fn post(&self, messages: Vec<String>) {
        let mut inside = self.0.lock();
        inside.over |= messages.iter().any(|text| text == "bye");
        inside.waiting.extend(messages.iter().filter(|text| *text != "bye").map(|text| Message::new(text)));
        inside.receiver.take().map(Waker::wake).unwrap_or_default();
    }

    fn poll_take(&self, context: &mut Context<'_>, _: usize, into: &mut Vec<Message>) -> Poll<Taken> {
        let mut inside = self.0.lock();
        into.extend(inside.waiting.drain(..));
        match (into.is_empty(), inside.over) {
            (false, _) => Poll::Ready(Taken::Messages),
            (true, true) => Poll::Ready(Taken::Closed(Close::fixed(3000, "Go away!"))),
            (true, false) => {
                inside.receiver = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn gone(&self, why: Departure) {
        self.0.lock().gone.push(why);
    }
}

struct Client {
    router: Router,
    echo: Echo,
}

impl Client {
    fn new(base: Base, settings: Settings) -> Self {
        let echo = Echo::default();
        Self { router: router(base, echo.clone(), settings), echo }
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = Request::builder().method(method).uri(path).header("host", "chat.example");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (parts, body) = answer.into_parts();
        Answer { status: parts.status, headers: parts.headers, chunks: Box::pin(body.into_data_stream()) }
    }

    async fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[], body).await
    }

    async fn gone(&self, count: usize) -> Vec<Departure> {
        let waiting = async {
            while self.echo.0.lock().gone.len() < count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap();
        self.echo.0.lock().gone.clone()
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    chunks: std::pin::Pin<Box<axum::body::BodyDataStream>>,
}

impl Answer {
    async fn chunk(&mut self) -> Option<Bytes> {
        tokio::time::timeout(PATIENCE, self.chunks.next()).await.unwrap().map(Result::unwrap)
    }

    async fn text(mut self) -> String {
        let mut all = Vec::new();
        while let Some(chunk) = self.chunk().await {
            all.extend_from_slice(&chunk);
        }
        String::from_utf8(all).unwrap()
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

fn client() -> Client {
    Client::new(Base::new("/s"), Settings { disconnect: SHORT, ..Settings::default() })
}
