//! Clients of other servers that are kept between passes: connecting costs more than asking.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// A client costs connections and sometimes threads, so that one nobody asks for is not kept for long.
const IDLE: Duration = Duration::from_mins(5);
/// The most clients that are kept; beyond that the one longest unused goes.
const MOST: usize = 128;

/// One client for each way to connect: another password, another client. Clones share them.
pub(crate) struct ClientCache<Options, Client> {
    kept: Arc<Mutex<HashMap<Options, Kept<Client>>>>,
}

struct Kept<Client> {
    client: Client,
    used: Instant,
}

impl<Options, Client> Clone for ClientCache<Options, Client> {
    fn clone(&self) -> Self {
        Self { kept: self.kept.clone() }
    }
}

impl<Options, Client> fmt::Debug for ClientCache<Options, Client> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCache").field("kept", &self.kept.lock().len()).finish()
    }
}

impl<Options, Client> Default for ClientCache<Options, Client>
where
    Options: Clone + Eq + Hash + Send + 'static,
    Client: Clone + Send + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<Options, Client> ClientCache<Options, Client>
where
    Options: Clone + Eq + Hash + Send + 'static,
    Client: Clone + Send + 'static,
{
    /// Unused clients are closed by a task that ends with the last clone; so this wants a Tokio runtime around it.
    pub(crate) fn new() -> Self {
        let kept = Arc::new(Mutex::new(HashMap::new()));
        let looked_after = Arc::downgrade(&kept);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(IDLE / 5).await;
                let Some(kept) = looked_after.upgrade() else { return };
                close_unused(&mut kept.lock(), Instant::now());
            }
        });
        Self { kept }
    }

    /// The client for these options, made by `make` when there is none yet.
    pub(crate) fn get<E>(
        &self,
        options: &Options,
        make: impl FnOnce(&Options) -> Result<Client, E>,
    ) -> Result<Client, E> {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        if let Some(known) = kept.get_mut(options) {
            known.used = now;
            return Ok(known.client.clone());
        }
        let client = make(options)?;
        if kept.len() >= MOST
            && let Some(longest_unused) = kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone())
        {
            kept.remove(&longest_unused);
        }
        kept.insert(options.clone(), Kept { client: client.clone(), used: now });
        Ok(client)
    }
}

fn close_unused<Options, Client>(kept: &mut HashMap<Options, Kept<Client>>, now: Instant) {
    kept.retain(|_, kept| now.saturating_duration_since(kept.used) < IDLE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_same_options_share_a_client_and_there_is_a_bound() {
        let clients = ClientCache::new();
        for server in 1..=MOST + 3 {
            clients.get(&server, |server| Ok::<_, &str>(*server)).unwrap();
            clients.get(&1, |_| Err("made again")).unwrap();
        }
        let kept = clients.kept.lock();
        assert_eq!(kept.len(), MOST);
        assert!(kept.contains_key(&1), "in use all the time");
        assert!(!kept.contains_key(&2), "the longest unused");
    }

    #[tokio::test]
    async fn an_unused_client_is_closed() {
        let clients = ClientCache::new();
        clients.get(&1, |_| Ok::<_, &str>(1)).unwrap();
        let mut kept = clients.kept.lock();
        close_unused(&mut kept, Instant::now() + IDLE / 2);
        assert_eq!(kept.len(), 1);
        close_unused(&mut kept, Instant::now() + IDLE * 2);
        assert!(kept.is_empty());
    }
}
