//! WebSocket as it was in 2010, which the protocol's tests still speak: one more way to fetch a session. For conformance
//! services alone.

use std::{future::poll_fn, io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Departure, Session, Taken};
use crate::protocol::sockjs::{
    frames,
    hixie76::{CLOSE, Challenge, Decoder, Incoming, NONCE_BYTES, text},
    incoming,
};

const MAX_MESSAGE: usize = 1 << 20;
/// Bytes of frames in one message.
const MAX_TAKEN: usize = 64 * 1024;
/// Time for the peer to hang up.
const GOODBYE: Duration = Duration::from_secs(1);

/// Carries a session until one of the two ends it. `head`: of the answer to the handshake. `bytes`: what followed the
/// request's head.
pub(crate) async fn carry<S: Session>(
    mut stream: TcpStream,
    challenge: Challenge,
    head: String,
    mut bytes: Vec<u8>,
    session: S,
) -> io::Result<()> {
    stream.write_all(head.as_bytes()).await?;
    let nonce = loop {
        if let Some(nonce) = bytes.first_chunk::<NONCE_BYTES>() {
            break *nonce;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    stream.write_all(&challenge.answer(nonce)).await?;
    stream.write_all(&text(&frames::OPEN)).await?;
    let (mut reader, mut writer) = stream.split();
    let ended = tokio::select! {
        result = hear(&mut reader, bytes.split_off(NONCE_BYTES), &session) => result,
        result = tell(&mut writer, &session) => result,
    };
    session.gone(Departure::Interrupted);
    ended?;
    stream.write_all(&CLOSE).await?;
    stream.shutdown().await?;
    let mut rest = [0; 1024];
    let hang_up = async { while stream.read(&mut rest).await.is_ok_and(|count| count > 0) {} };
    // one that does not is hung up on
    let _ = timeout(GOODBYE, hang_up).await;
    Ok(())
}

/// Until the peer closes.
async fn hear(reader: &mut (impl AsyncReadExt + Unpin), mut bytes: Vec<u8>, session: &impl Session) -> io::Result<()> {
    let mut decoder = Decoder::new(MAX_MESSAGE);
    loop {
        let mut input = &bytes[..];
        while let Some(incoming) = decoder.next(&mut input).map_err(io::Error::other)? {
            match incoming {
                Incoming::Text(text) => {
                    session.post(incoming::websocket(&text).map_err(io::Error::other)?).await;
                }
                Incoming::Close => return Ok(()),
            }
        }
        bytes.clear();
        if reader.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// Until the session is over.
async fn tell(writer: &mut (impl AsyncWriteExt + Unpin), session: &impl Session) -> io::Result<()> {
    loop {
        let mut messages = Vec::new();
        match poll_fn(|context| session.poll_take(context, MAX_TAKEN, &mut messages)).await {
            Taken::Messages => writer.write_all(&text(&frames::array(&messages))).await?,
            Taken::Closed(close) => return writer.write_all(&text(&close.frame())).await,
        }
    }
}
