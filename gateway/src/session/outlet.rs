//! Where a session's bytes go: into its own socket, or to whoever fetches them.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::net::TcpStream;

/// Bytes of posted messages that may wait for the session's task.
const MAX_POSTED: usize = 256 * 1024;

#[derive(Debug)]
pub(crate) enum Outlet {
    Socket(TcpStream),
    Fetched(Box<Fetched>),
}

/// The two ends of a session that HTTP requests of its client come by: what they post, and what they fetch.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    inbox: Mutex<Inbox>,
    /// Whoever fetches.
    taker: AtomicWaker,
    /// Nobody will fetch or hear anything any more.
    gone: AtomicBool,
}

#[derive(Debug, Default)]
struct Inbox {
    texts: VecDeque<String>,
    bytes: usize,
    posters: Vec<Waker>,
}

impl Fetched {
    /// Takes a client's messages, or keeps them and waits until there is room.
    pub(super) fn poll_post(&self, texts: &mut Vec<String>, context: &mut Context<'_>) -> Poll<()> {
        let mut inbox = self.inbox.lock();
        if self.is_gone() {
            return Poll::Ready(());
        }
        if inbox.bytes > MAX_POSTED {
            inbox.posters.push(context.waker().clone());
            return Poll::Pending;
        }
        inbox.bytes += texts.iter().map(String::len).sum::<usize>();
        inbox.texts.extend(texts.drain(..));
        Poll::Ready(())
    }

    pub(super) fn take_posted(&self) -> VecDeque<String> {
        let mut inbox = self.inbox.lock();
        inbox.bytes = 0;
        inbox.posters.drain(..).for_each(Waker::wake);
        std::mem::take(&mut inbox.texts)
    }

    pub(super) fn has_posted(&self) -> bool {
        !self.inbox.lock().texts.is_empty()
    }

    pub(super) fn wait_for_more(&self, context: &Context<'_>) {
        self.taker.register(context.waker());
    }

    pub(super) fn wake_taker(&self) {
        self.taker.wake();
    }

    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Relaxed);
        self.inbox.lock().posters.drain(..).for_each(Waker::wake);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

impl Outlet {
    pub(super) const fn fetched(&self) -> Option<&Fetched> {
        match self {
            Self::Fetched(fetched) => Some(fetched),
            Self::Socket(_) => None,
        }
    }

    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.try_read(buffer),
            Self::Fetched(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.try_write(bytes),
            Self::Fetched(fetched) => fetched.ask(),
        }
    }

    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Socket(stream) => stream.try_write_vectored(slices),
            Self::Fetched(fetched) => fetched.ask(),
        }
    }

    pub(super) fn poll_read_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(stream) => stream.poll_read_ready(context),
            // whoever posts or leaves wakes the session's task
            Self::Fetched(fetched) if fetched.has_posted() || fetched.is_gone() => Poll::Ready(Ok(())),
            Self::Fetched(_) => Poll::Pending,
        }
    }

    pub(super) fn poll_write_ready(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(stream) => stream.poll_write_ready(context),
            Self::Fetched(fetched) if fetched.is_gone() => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Self::Fetched(_) => Poll::Pending,
        }
    }

    /// Ends the sending half: the peer reads what was sent, then the end.
    pub(super) fn shut_write(&self) {
        if let Self::Socket(stream) = self {
            // the peer may be gone already, which is what is wanted
            let _ = rustix::net::shutdown(stream, rustix::net::Shutdown::Write);
        }
    }

    pub(super) fn shut(&self) {
        match self {
            Self::Socket(stream) => drop(rustix::net::shutdown(stream, rustix::net::Shutdown::Both)),
            Self::Fetched(fetched) => {
                fetched.leave();
                fetched.wake_taker();
            }
        }
    }
}

impl Fetched {
    /// There is something to fetch; it is never written from this side.
    fn ask(&self) -> io::Result<usize> {
        if self.is_gone() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.wake_taker();
        Err(io::ErrorKind::WouldBlock.into())
    }
}
