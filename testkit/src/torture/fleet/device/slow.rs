//! Those who hardly read.

use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::StreamExt;
use tokio_tungstenite::tungstenite::Message;

use super::{Device, Role, said};
use crate::torture::history::{Conduct, EndedBy};
use crate::torture::socket::Socket;

/// How long one that hardly read may take to read the rest.
const READ_ON: Duration = Duration::from_secs(20);

impl Device {
    /// Reads hardly anything until the load is over, then whatever is left: there must be an end to it.
    pub(super) async fn dawdle(&mut self, socket: &mut Socket, session: usize) {
        let mut load_over = self.common.load_over.subscribe();
        if self.role == Role::Never {
            said(&mut load_over).await;
        }
        let mut deadline = None;
        let ended = loop {
            if *load_over.borrow_and_update() && deadline.is_none() {
                self.rate.store(0, Ordering::Relaxed);
                deadline = Some(tokio::time::Instant::now() + READ_ON);
            }
            let patience = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => self.hear(session, &text),
                    Some(Ok(Message::Close(close))) => break Some(close.map(|close| u16::from(close.code))),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break Some(None),
                },
                _ = load_over.changed() => {}
                () = patience => break None,
            }
        };
        match ended {
            Some(code) => self.common.recorder.ended(session, code, EndedBy::Server),
            None => self.common.recorder.ended(session, None, EndedBy::Client),
        }
        // from now on like everybody else
        self.rate.store(0, Ordering::Relaxed);
        self.conduct = Conduct::Reading;
    }
}
