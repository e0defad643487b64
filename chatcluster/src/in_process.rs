//! gRPC without a port: the same client and server code over a pipe in memory.

use std::io;

use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tower::service_fn;

/// What may be on its way in each direction, in bytes.
const PIPE: usize = 1 << 20;

/// A channel, and the connections it opens, for `tonic`'s `serve_with_incoming`.
pub(crate) fn channel() -> (Channel, ReceiverStream<io::Result<DuplexStream>>) {
    let (connections, incoming) = tokio::sync::mpsc::channel(4);
    let connector = service_fn(move |_| {
        let connections = connections.clone();
        async move {
            let (client, server) = tokio::io::duplex(PIPE);
            let closed = |_| io::Error::new(io::ErrorKind::ConnectionRefused, "core has stopped");
            connections.send(Ok(server)).await.map_err(closed)?;
            Ok::<_, io::Error>(TokioIo::new(client))
        }
    });
    // the address is never looked up
    let channel = Endpoint::from_static("http://in-process").connect_with_connector_lazy(connector);
    (channel, ReceiverStream::new(incoming))
}
