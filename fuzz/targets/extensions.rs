//! What a client may write in `Sec-WebSocket-Extensions`: no panic, and what is agreed to can be said and read again.
#![no_main]

use chatcluster_fuzz::{allocation, websocket::negotiate};

libfuzzer_sys::fuzz_target!(|data: &str| {
    let agreement = allocation::within(1024 + 64 * data.len(), || negotiate(data.split('\n')));
    if let Some(agreement) = agreement {
        let answer = agreement.to_string();
        assert_eq!(negotiate([answer.as_str()]), Some(agreement), "{answer}");
    }
});
