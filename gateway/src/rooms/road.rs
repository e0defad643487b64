//! What the channels of rooms bring, on its way to cursors and sockets: one loop, that waits for nobody.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use chatcluster_contracts::{
    log_id::LogId,
    room_message::{RoomMessage, record_frame},
    stream_entry::Recipients,
};
use chatcluster_transport::{
    channels::{Ear, Page},
    gateway_streams::{Signal, StreamError},
};

use super::{
    PAGE, Room, Rooms,
    records::{Numbered, Out, Records},
};
use crate::{
    delivery::{Delivery, Touched, cursor::Arrived},
    upstream::Backoff,
};

/// Messages taken at once; what belongs to one socket is written together.
const BATCH: usize = 256;
/// A record that overtook another is usually followed by it within this time.
const PATIENCE: Duration = Duration::from_millis(5);

impl Rooms {
    /// Listens until dropped.
    pub(crate) async fn run(self: Arc<Self>, mut ear: Box<dyn Ear>, delivery: Arc<Delivery>) {
        let mut signals = Vec::with_capacity(BATCH);
        loop {
            ear.hear(BATCH, &mut signals).await;
            let since = Instant::now();
            let mut touched = Touched::default();
            for signal in signals.drain(..) {
                match signal {
                    Signal::Message { channel, payload } => self.heard(&channel, &payload, &delivery, &mut touched),
                    Signal::Gap => self.missed_something(&delivery),
                }
            }
            delivery.settle(&mut touched);
            touched.flush(since);
            self.metrics.room_to_socket.observe(since.elapsed().as_secs_f64());
        }
    }

    fn heard(self: &Arc<Self>, channel: &str, payload: &Bytes, delivery: &Arc<Delivery>, touched: &mut Touched) {
        let Some(room) = channel.strip_prefix(&self.prefix).and_then(|id| self.find(id)) else { return };
        self.metrics.room_messages.inc();
        match RoomMessage::decode(payload) {
            Ok(RoomMessage::Event { seq, event_type, subject, payload, trace }) => {
                let event = Arrived { seq, event_type, subject, payload, trace };
                delivery.event(&room.id, event, &Recipients::default(), touched);
            }
            Ok(RoomMessage::Digest { head }) => delivery.raise_head(&room.id, head),
            Ok(RoomMessage::Record { id, before, frame }) => {
                if room.state.lock().is_heard() {
                    // what came before it on the channel goes out before it
                    delivery.settle(touched);
                    let record = Numbered::new(id, before, frame);
                    #[cfg(feature = "plants")]
                    if chatcluster_service::plants::planted_once_in("record-to-another-room", 10) {
                        let others: Vec<Arc<Room>> = self.needed.lock().values().cloned().collect();
                        for other in others.iter().filter(|other| other.id != room.id) {
                            other.state.lock().listeners.tell(&other.id, &[Out::Record(record.clone())], touched);
                        }
                    }
                    self.update(&room, touched, |records, out| records.heard(record, out));
                    self.read_if_missing(&room);
                }
            }
            Ok(RoomMessage::Foreign { data }) => {
                if serde_json::from_slice::<serde::de::IgnoredAny>(&data).is_ok() {
                    delivery.settle(touched);
                    let frame = record_frame(&room.id, None, data.trim_ascii());
                    let count = room.state.lock().listeners.tell_foreign(&room.id, &frame, touched);
                    self.metrics.room_deliveries.inc_by(count);
                }
            }
            Err(error) => {
                self.metrics.room_undecodable.inc();
                tracing::debug!(%error, "somebody published to a room what nobody can read");
            }
        }
    }

    /// The connection was lost and is back, with all its channels.
    fn missed_something(self: &Arc<Self>, delivery: &Arc<Delivery>) {
        self.metrics.room_gaps.inc();
        delivery.check_rooms();
        let rooms: Vec<Arc<Room>> = self.needed.lock().values().cloned().collect();
        for room in rooms {
            {
                let mut state = room.state.lock();
                if !state.is_heard() {
                    continue;
                }
                state.records.doubt();
            }
            self.read_if_missing(&room);
        }
    }

    /// Changes what is known of a room's records, and hands out what is due by that.
    pub(super) fn update(&self, room: &Room, touched: &mut Touched, change: impl FnOnce(&mut Records, &mut Vec<Out>)) {
        let mut out = Vec::new();
        let mut state = room.state.lock();
        change(&mut state.records, &mut out);
        let deliveries = state.listeners.tell(&room.id, &out, touched);
        self.metrics.room_deliveries.inc_by(deliveries);
    }

    fn read_if_missing(self: &Arc<Self>, room: &Arc<Room>) {
        let mut state = room.state.lock();
        if state.reading || !state.records.is_missing_something() {
            return;
        }
        state.reading = true;
        tokio::spawn(read_on(self.clone(), room.clone()));
    }
}

/// Reads a room's log until nothing is missing.
async fn read_on(rooms: Arc<Rooms>, room: Arc<Room>) {
    tokio::time::sleep(PATIENCE).await;
    let log = rooms.keys.room_log(&room.id);
    let mut backoff = Backoff::short();
    loop {
        let from = {
            let mut state = room.state.lock();
            let from = state.records.at().filter(|_| state.is_heard() && state.records.is_missing_something());
            state.reading = from.is_some();
            from.map(|from| (from, state.records.is_unsure()))
        };
        let Some((from, unsure)) = from else { return };
        match read(&rooms, &log, from, unsure).await {
            Ok((page, is_another)) => {
                backoff.reset();
                rooms.metrics.room_replayed.inc_by(page.entries.len() as u64);
                let mut touched = Touched::default();
                rooms.update(&room, &mut touched, |records, out| records.read(from, page, is_another, out));
            }
            Err(error) => {
                tracing::warn!(%error, "the log of a room is not reached; trying again");
                backoff.pause().await;
            }
        }
    }
}

/// A piece of the log behind `from`, and, where it is not known, whether it is another log than the one that `from` was in.
async fn read(rooms: &Rooms, log: &str, from: LogId, unsure: bool) -> Result<(Page, bool), StreamError> {
    let is_another = unsure && rooms.logs.last(log, 0).await?.reached < from;
    Ok((rooms.logs.after(log, from, PAGE).await?, is_another))
}
