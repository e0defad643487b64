//! A WebSocket of the fleet; one that reads slowly if asked to.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Sleep;
use tokio_tungstenite::tungstenite::ClientRequestBuilder;
use tokio_tungstenite::{WebSocketStream, client_async};

pub(super) type Socket = WebSocketStream<Throttled>;

/// What a slow reader's kernel holds back for it, so that the server soon notices.
const SMALL_BUFFER: u32 = 8 * 1024;
const SEGMENT: usize = 256;

/// Bytes a second that are read; 0: as fast as can be. May be changed at any time.
pub(super) type Rate = Arc<AtomicU32>;

/// Connects and upgrades, offering a subprotocol; a slow one with a small receive buffer.
pub(super) async fn open(url: &str, subprotocol: Option<&str>, rate: &Rate, slow: bool) -> Result<Socket> {
    let mut request = ClientRequestBuilder::new(url.parse().context("no URL")?);
    if let Some(subprotocol) = subprotocol {
        request = request.with_sub_protocol(subprotocol);
    }
    upgrade(url, request, rate, slow).await
}

/// The same with a token.
pub(super) async fn open_as(url: &str, token: &str) -> Result<Socket> {
    let request = ClientRequestBuilder::new(url.parse().context("no URL")?);
    upgrade(url, request.with_header("Authorization", format!("Bearer {token}")), &Rate::default(), false).await
}

async fn upgrade(url: &str, request: ClientRequestBuilder, rate: &Rate, slow: bool) -> Result<Socket> {
    let address = url.trim_start_matches("ws://").split('/').next().unwrap_or_default();
    let socket = TcpSocket::new_v4().context("failed to make a socket")?;
    if slow {
        socket.set_recv_buffer_size(SMALL_BUFFER).context("failed to make the buffer small")?;
    }
    let stream = socket.connect(address.parse().context("no address")?).await.context("failed to connect")?;
    stream.set_nodelay(true).context("failed to set up the connection")?;
    let stream = Throttled { stream, rate: rate.clone(), pause: None };
    let (socket, _) = client_async(request, stream).await.context("the upgrade failed")?;
    Ok(socket)
}

pub(super) struct Throttled {
    stream: TcpStream,
    rate: Rate,
    pause: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for Throttled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let rate = self.rate.load(Ordering::Relaxed);
        if rate == 0 {
            return Pin::new(&mut self.stream).poll_read(context, into);
        }
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(context));
            self.pause = None;
        }
        let mut segment = [0; SEGMENT];
        let room = into.remaining().min(SEGMENT);
        let mut part = ReadBuf::new(&mut segment[..room]);
        std::task::ready!(Pin::new(&mut self.stream).poll_read(context, &mut part))?;
        into.put_slice(part.filled());
        let takes = Duration::from_secs_f64(part.filled().len() as f64 / f64::from(rate));
        self.pause = Some(Box::pin(tokio::time::sleep(takes)));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Throttled {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut TaskContext<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
