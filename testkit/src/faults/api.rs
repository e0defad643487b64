//! A proxy in front of the Kubernetes API server: plain HTTP/1.1 to the client, TLS to the server, watches as they come.
//! The client's own token goes through, so the audit log and RBAC see who it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use axum::body::Body;
use futures_util::stream;
use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::plan::{Answer, Effect, Fault, Request, decide};
use super::runtime::listen;
use crate::kubernetes::ApiServer;

/// Of a manifest; the API server itself takes 3 MiB.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug)]
struct Shared {
    upstream: String,
    http: reqwest::Client,
    faults: Mutex<Vec<Fault>>,
    seen: Mutex<Vec<Request>>,
    /// True while cut.
    cut: watch::Sender<bool>,
}

/// Listens on 127.0.0.1 until dropped.
#[derive(Debug)]
pub struct ApiProxy {
    port: u16,
    shared: Arc<Shared>,
    _accepting: JoinSet<()>,
}

impl ApiProxy {
    pub async fn start(api: &ApiServer) -> Result<Self> {
        let (port, listener, handle) = listen().await?;
        let trusted = reqwest::Certificate::from_der(api.authority().der()).context("failed to read the authority")?;
        let http = reqwest::Client::builder().tls_certs_only([trusted]).build().context("failed to make a client")?;
        let shared = Arc::new(Shared {
            upstream: api.url(),
            http,
            faults: Mutex::default(),
            seen: Mutex::default(),
            cut: watch::Sender::new(false),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn_on(accept(listener, shared.clone()), handle);
        Ok(Self { port, shared, _accepting: accepting })
    }

    /// For [`crate::kubernetes::Access::through`].
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on, beside those that are there.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.lock().push(fault);
    }

    /// Drops every connection, and every new one until [`ApiProxy::heal`].
    pub fn cut(&self) {
        self.shared.cut.send_replace(true);
    }

    /// Forgets all faults and lets everything through again.
    pub fn heal(&self) {
        self.shared.faults.lock().clear();
        self.shared.cut.send_replace(false);
    }

    /// Whether a fault has cut everything, or [`ApiProxy::cut`] has.
    pub fn is_cut(&self) -> bool {
        *self.shared.cut.borrow()
    }

    /// Every request so far, those that met a fault as well.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.seen.lock().clone()
    }

    /// [`ApiProxy::requests`] by HTTP method; a watch is `WATCH`.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for request in self.shared.seen.lock().iter() {
            *counts.entry(request.verb().to_owned()).or_default() += 1;
        }
        counts
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // An error is that of one connection that was given up before it was taken.
            accepted = listener.accept() => if let Ok((client, _)) = accepted {
                connections.spawn(serve(client, shared.clone()));
            },
            Some(_) = connections.join_next() => (),
        }
    }
}

/// One connection, until it ends or everything is cut.
async fn serve(client: TcpStream, shared: Arc<Shared>) {
    let _ = client.set_nodelay(true);
    let mut cut = shared.cut.subscribe();
    let service = service_fn(|request| handle(request, shared.clone()));
    let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(client), service);
    tokio::select! {
        // First, so that an answer that is ready at the same moment is lost.
        biased;
        _ = cut.wait_for(|cut| *cut) => (),
        // An error is the connection's end, which the client knows better.
        _ = connection => (),
    }
}

/// An error closes the connection without an answer.
async fn handle(request: http::Request<Incoming>, shared: Arc<Shared>) -> Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = axum::body::to_bytes(Body::new(body), MAX_BODY_BYTES).await.context("failed to read a request")?;
    let path = head.uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
    let seen = Request { method: head.method.clone(), path: path.clone() };
    let effect = decide(&mut shared.faults.lock(), &seen);
    shared.seen.lock().push(seen);
    match &effect {
        Some(Effect::Answer(answer)) => return refuse(answer),
        Some(Effect::CutBefore) => {
            shared.cut.send_replace(true);
            bail!("cut before the server saw it");
        }
        Some(Effect::CutAfter) | None => (),
    }
    let forwarded = shared.http.request(head.method, format!("{}{path}", shared.upstream));
    let answer = forwarded.headers(passed_on(head.headers)).body(body).send().await;
    if effect.is_some() {
        // The server has answered, so it has done what it was asked for.
        drop(answer);
        shared.cut.send_replace(true);
        bail!("cut before the client saw the answer");
    }
    let answer = answer.context("failed to ask the API server")?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = passed_on(answer.headers().clone());
    let chunks = stream::unfold(answer, |mut answer| async {
        let chunk = answer.chunk().await.transpose()?;
        Some((chunk, answer))
    });
    *response.body_mut() = Body::from_stream(chunks);
    Ok(response)
}

/// Without what is about one connection, or said anew on the next.
fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    for name in [HOST, CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

/// A Status object, which is what clients of Kubernetes look into.
fn refuse(answer: &Answer) -> Result<Response<Body>> {
    let reason = match answer.status {
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        410 => "Expired",
        422 => "Invalid",
        429 => "TooManyRequests",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "InternalError",
    };
    let mut status = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": format!("the testkit's proxy says {}", answer.status),
        "reason": reason,
        "code": answer.status,
    });
    let mut response = Response::builder().status(answer.status).header(CONTENT_TYPE, "application/json");
    if let Some(after) = answer.retry_after {
        status["details"] = json!({"retryAfterSeconds": after.as_secs()});
        response = response.header(RETRY_AFTER, after.as_secs());
    }
    response.body(Body::from(status.to_string())).context("failed to write an answer")
}
