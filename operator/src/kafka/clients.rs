//! Clients that are kept between passes: connecting costs more than asking.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chatcluster_kafka_admin::{Admin, ConnectionOptions, Error};
use parking_lot::Mutex;

/// A client has threads of its own, so that nobody asks for is not kept for long.
const IDLE: Duration = Duration::from_mins(5);
/// The most clients that are kept; beyond that the one longest unused goes.
const MOST: usize = 128;

/// One client for each way to connect: other credentials, another client. Clones share them.
#[derive(Debug, Clone)]
pub struct Clients {
    kept: Arc<Mutex<HashMap<ConnectionOptions, Kept>>>,
}

#[derive(Debug)]
struct Kept {
    admin: Admin,
    used: Instant,
}

impl Default for Clients {
    fn default() -> Self {
        Self::new()
    }
}

impl Clients {
    /// Unused clients are closed by a task that ends with the last clone; so this wants a Tokio runtime around it.
    pub fn new() -> Self {
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

    /// The client for these options. Making one connects to nothing yet.
    pub fn get(&self, options: &ConnectionOptions) -> Result<Admin, Error> {
        let now = Instant::now();
        let mut kept = self.kept.lock();
        if let Some(known) = kept.get_mut(options) {
            known.used = now;
            return Ok(known.admin.clone());
        }
        let admin = Admin::new(options)?;
        if kept.len() >= MOST
            && let Some(longest_unused) = kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| key.clone())
        {
            kept.remove(&longest_unused);
        }
        kept.insert(options.clone(), Kept { admin: admin.clone(), used: now });
        Ok(admin)
    }
}

fn close_unused(kept: &mut HashMap<ConnectionOptions, Kept>, now: Instant) {
    kept.retain(|_, kept| now.saturating_duration_since(kept.used) < IDLE);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(server: usize) -> ConnectionOptions {
        ConnectionOptions::plaintext(&format!("127.0.0.1:{server}"), Duration::from_secs(1))
    }

    #[tokio::test]
    async fn the_same_options_share_a_client_and_there_is_a_bound() {
        let clients = Clients::new();
        for server in 1..=MOST + 3 {
            clients.get(&to(server)).unwrap();
            clients.get(&to(1)).unwrap();
        }
        let kept = clients.kept.lock();
        assert_eq!(kept.len(), MOST);
        assert!(kept.contains_key(&to(1)), "in use all the time");
        assert!(!kept.contains_key(&to(2)), "the longest unused");
    }

    #[tokio::test]
    async fn an_unused_client_is_closed() {
        let clients = Clients::new();
        clients.get(&to(1)).unwrap();
        let mut kept = clients.kept.lock();
        close_unused(&mut kept, Instant::now() + IDLE / 2);
        assert_eq!(kept.len(), 1);
        close_unused(&mut kept, Instant::now() + IDLE * 2);
        assert!(kept.is_empty());
    }
}
