//! Open-loop load: so many messages a second, whether or not the earlier ones were answered.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Common;
use super::cast::Room;
use super::device::Handle;

/// Every second message goes to the same conversation.
const HOT_PERCENT: u64 = 50;
const LOUD_BYTES: usize = 20 * 1024;

pub(super) async fn steady(common: Arc<Common>, senders: Vec<Handle>, rooms: Vec<Room>, rate: u32) {
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / rate.max(1));
    // a tick that came late is made up for: the load is the same whatever happens
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut load_over = common.load_over.subscribe();
    for number in 0_u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = load_over.wait_for(|over| *over) => return,
        }
        let room = if common.chance(HOT_PERCENT) { &rooms[0] } else { &rooms[common.index(rooms.len())] };
        let fitting: Vec<&Handle> = senders.iter().filter(|sender| room.members.contains(&sender.user)).collect();
        if let Some(sender) = fitting.get(common.index(fitting.len())) {
            let content = format!("message {number} of the steady load, {}", "x".repeat(80));
            sender.send(&common, &room.id, format!("s{number}"), content);
        }
    }
}

/// Fills the queues of those who hardly read.
pub(super) async fn loud(common: Arc<Common>, sender: Handle, room: Room) {
    let mut ticks = tokio::time::interval(Duration::from_millis(common.size.loud_ms));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut load_over = common.load_over.subscribe();
    for number in 0_u64.. {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = load_over.wait_for(|over| *over) => return,
        }
        sender.send(&common, &room.id, format!("l{number}"), "y".repeat(LOUD_BYTES));
    }
}
