//! Load: so many messages a second, whether or not the earlier ones were answered, but no more once hundreds are open: people
//! who get no answer stop talking, and a machine that is too slow must not be buried.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;

use super::Shared;
use super::cast::Room;
use super::client::Handle;
use crate::torture::history::Name;

/// Sends without an answer, of all clients together.
const OPEN: usize = 300;

/// Runs until the fleet ends.
pub(super) async fn send(shared: Arc<Shared>, clients: Vec<Handle>, rooms: Arc<[Room]>) {
    let mut devices: HashMap<Name, Vec<Handle>> = HashMap::new();
    for client in clients {
        devices.entry(client.user.clone()).or_default().push(client);
    }
    let (mut rate, mut over) = (shared.rate.subscribe(), shared.over.subscribe());
    let mut next = Instant::now();
    for number in 0_u64.. {
        let now = *rate.borrow_and_update();
        let sleep = async {
            if now == 0 {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep_until(next.into()).await;
        };
        tokio::select! {
            () = sleep => next += Duration::from_secs(1) / now.max(1),
            _ = rate.changed() => {
                next = Instant::now();
                continue;
            }
            _ = over.wait_for(|over| *over) => return,
        }
        if shared.recorder.progress().open >= OPEN {
            continue;
        }
        let room = pick(&rooms);
        let sender = room.and_then(|room| Some((room, pick(devices.get(pick(&room.members)?)?)?)));
        if let Some((room, sender)) = sender {
            sender.send(&shared, &room.id, format!("m{number}"), format!("message {number}, {}", "x".repeat(80)));
        }
    }
}

fn pick<T>(of: &[T]) -> Option<&T> {
    of.get(rand::rng().random_range(0..of.len().max(1)))
}
