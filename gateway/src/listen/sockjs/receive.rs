//! Requests that wait for frames: one frame a response, or a stream of them.

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{
    body::Body,
    extract::{ConnectInfo, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderValue, StatusCode, header};
use tokio::time::{Instant, Sleep, sleep};

use super::{
    Service, Shared, answers, pages,
    sessions::{Opening, Session, Taken},
    store::{Attach, Receiver},
};
use crate::protocol::sockjs::{
    frames::{self, Message},
    transport::{Carrier, Transport},
};

pub(super) async fn receive<S: Service>(
    shared: &Shared<S>,
    transport: Transport,
    id: &str,
    request: Request,
) -> Response {
    let carrier = match transport.carrier(request.uri().query().unwrap_or_default()) {
        Ok(carrier) => carrier,
        Err(error) => return answers::text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    };
    let settings = &shared.settings;
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer);
    let opening = Opening { peer, headers: request.headers() };
    let mut waiting = None;
    let mut refused = None;
    match shared.store.attach(id, &opening).await {
        Attach::Receiver(receiver) => waiting = Some(Frames::new(receiver, settings.heartbeat)),
        Attach::Refused(frame) => refused = Some(frame),
        Attach::NotOpened(problem) => return answers::problem(&problem),
    }
    let body = if transport.is_streaming() {
        let mut ready: VecDeque<Bytes> = carrier.prelude().into_iter().collect();
        ready.extend(refused.map(|frame| carrier.wrap(&frame)));
        Body::from_stream(Streaming { ready, waiting, carrier, left: settings.response_limit })
    } else {
        let frame = match waiting {
            Some(mut frames) => {
                let (frame, _) = poll_fn(|context| frames.poll_next(context, settings.response_limit)).await;
                frames.finish();
                frame
            }
            None => refused.unwrap_or_default(),
        };
        Body::from(carrier.wrap(&frame))
    };
    let mut answer = ([(header::CONTENT_TYPE, transport.content_type())], body).into_response();
    if transport.is_streaming() {
        // nginx would collect what is to be seen now
        answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    }
    if transport == Transport::HtmlFile {
        pages::limit_frames(&mut answer, &settings.origins);
    }
    answer
}

/// The frames of a session, for as long as one response lasts.
struct Frames<S: Session> {
    receiver: Receiver<S>,
    heartbeat: Duration,
    silence: Pin<Box<Sleep>>,
    taken: Vec<Message>,
}

impl<S: Session> Frames<S> {
    fn new(receiver: Receiver<S>, heartbeat: Duration) -> Self {
        Self { receiver, heartbeat, silence: Box::pin(sleep(heartbeat)), taken: Vec::new() }
    }

    /// The next frame, and whether it is the last.
    fn poll_next(&mut self, context: &mut Context<'_>, max_bytes: usize) -> Poll<(Bytes, bool)> {
        if self.receiver.greets() {
            return Poll::Ready((frames::OPEN, false));
        }
        match self.receiver.session().poll_take(context, max_bytes, &mut self.taken) {
            Poll::Ready(Taken::Messages) => {
                self.silence.as_mut().reset(Instant::now() + self.heartbeat);
                // an idle response keeps no buffer
                Poll::Ready((frames::array(&std::mem::take(&mut self.taken)), false))
            }
            Poll::Ready(Taken::Closed(close)) => {
                let frame = close.frame();
                self.receiver.close(frame.clone());
                Poll::Ready((frame, true))
            }
            Poll::Pending => {
                ready!(self.silence.as_mut().poll(context));
                self.silence.as_mut().reset(Instant::now() + self.heartbeat);
                Poll::Ready((frames::HEARTBEAT, false))
            }
        }
    }

    fn finish(self) {
        self.receiver.finish();
    }
}

/// The body of a response that streams: each frame becomes a chunk of its own.
struct Streaming<S: Session> {
    ready: VecDeque<Bytes>,
    waiting: Option<Frames<S>>,
    carrier: Carrier,
    /// Bytes until the response has carried enough.
    left: usize,
}

impl<S: Session> Stream for Streaming<S> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(ready) = this.ready.pop_front() {
            return Poll::Ready(Some(Ok(ready)));
        }
        let Some(frames) = &mut this.waiting else { return Poll::Ready(None) };
        let (frame, last) = ready!(frames.poll_next(context, this.left));
        let chunk = this.carrier.wrap(&frame);
        this.left = this.left.saturating_sub(chunk.len());
        if (last || this.left == 0)
            && let Some(frames) = this.waiting.take()
        {
            frames.finish();
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}
