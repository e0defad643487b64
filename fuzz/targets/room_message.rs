//! What comes on a room's channel, where anybody may publish: no panic, nothing copied, and what is read means the same when
//! it is published again.
#![no_main]

use bytes::Bytes;
use chatcluster_fuzz::{allocation, room_message::RoomMessage};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let published = Bytes::copy_from_slice(data);
    // the fields of one line; the body stays where it is
    let decoded = allocation::within(16 << 10, || RoomMessage::decode(&published));
    if let Ok(message) = decoded {
        assert_eq!(RoomMessage::decode(&message.encode()), Ok(message));
    }
});
